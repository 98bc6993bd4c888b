"""The list of the event types that providers send."""

import json

import pytest
from jsonschema import Draft202012Validator

from deploy.config.config_schema import config_schema
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.provider_event_types import LIST, MAX_SELECTED, known_event_types
from shared.jsontext import value_at


def test_each_list_belongs_to_a_provider_and_names_its_sources() -> None:
    listed = json.loads(LIST.read_text(encoding="utf-8"))
    assert listed.keys() <= load_catalogue().keys()
    assert known_event_types().keys() == listed.keys()
    for entry in listed.values():
        assert entry["sources"]
        assert entry["read_on"] >= "2026-12-01"


@pytest.mark.parametrize(
    ("provider", "count", "names"),
    [
        ("github", 75, ["push", "issues", "pull_request_review", "ping"]),
        ("gitlab", 21, ["Push Hook", "Merge Request Hook"]),
        ("openai", 34, ["response.completed"]),
        ("paddle", 62, ["transaction.completed"]),
        ("slack", 100, ["app_mention", "message", "view_submission"]),
        ("stripe", 275, ["checkout.session.completed", "invoice.payment_failed"]),
        ("telegram", 25, ["message", "callback_query"]),
    ],
)
def test_a_list_has_the_event_types_that_the_package_had(provider: str, count: int, names: list[str]) -> None:
    types = known_event_types()[provider].types
    assert len(types) == count
    assert set(names) <= types.keys()


REVIEWS = ["pull_request_review", "pull_request_review_comment", "pull_request_review_thread"]


@pytest.mark.parametrize(
    ("patterns", "selected"),
    [
        (["push"], ["push"]),
        (["star", "pull_request_review*"], ["star", *REVIEWS]),
        (["*"], ["*"]),
        (["issues.opened", "issues.closed"], ["issues"]),
        (["repository_dispatch.deploy"], ["repository_dispatch"]),
        (["issues.opend"], []),
        (["pull_requst"], []),
    ],
)
def test_patterns_become_the_event_types_to_select_unless_they_are_many(
    patterns: list[str], selected: list[str]
) -> None:
    github = known_event_types()["github"]
    assert github.selected(patterns) == selected
    assert len(github.types) > MAX_SELECTED


def test_editors_complete_event_types_and_any_other_text_is_valid() -> None:
    schema = config_schema({})
    offered = value_at(schema, "$defs", "EventType", "anyOf", 0, "enum")
    assert isinstance(offered, list)
    assert {"push", "issues.opened", "checkout.session.completed", "Push Hook"} <= set(offered)
    validator = Draft202012Validator({"$defs": schema["$defs"], "$ref": "#/$defs/RouteConfig"})
    for types in ("push", ["order.*", "my own type"]):
        assert validator.is_valid({"name": "a", "types": types, "to": "b"})
