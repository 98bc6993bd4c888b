"""What lint says of routes, chains and durations that no one means to write."""

import ast
import json
from typing import Final

import pytest
from jsonschema import Draft202012Validator

from deploy.cli.lint import unused_secrets
from deploy.config.config_schema import config_schema
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.provider_event_types import LIST, MAX_SELECTED, known_event_types
from deploy.config.warnings import SHORTEST_SECONDS
from shared.jsontext import list_at, value_at
from tests.fakes.configurations import warnings_of_text
from tests.running.processes import ROOT

CONFIG = """\
sources:
  shop: {auth: none}
chains:
  clean: [{drop: [data.password]}]
routes:
  - {name: orders, from: shop, types: [order.*], where: data.paid, steps: clean, to: people}
  - {name: rest, else: true, to: people}
destinations:
  people: {email: {to: [team], subject: x}}
lists:
  team: [ann@example.com]
"""


def warnings(text: str) -> list[str]:
    found = warnings_of_text(text)
    about = ("route", "chain", "list")
    return [f"{fault.line} {fault.where}: {fault.rule}" for fault in found if fault.where.startswith(about)]


def test_a_configuration_as_it_is_meant_has_no_warning() -> None:
    assert warnings(CONFIG) == []


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (
            ("steps: clean", "steps: [{filter: '`1` > `2`'}, {chain: clean}]"),
            "6 route 'orders': step 1 'filter' always ends the chain",
        ),
        (("name: orders,", "name: orders, enabled: false,"), "6 route 'orders': is disabled (`enabled: false`)"),
        (("steps: clean, ", ""), "4 chain 'clean': no route and no step uses it; only POST /chains/ on transform"),
        (
            (
                "  - {name: rest, else: true",
                "  - {name: twice, from: shop, types: [order.*], where: data.paid, steps: clean",
            ),
            "7 route 'twice': sends the same events to the same destinations as 'orders': each is delivered twice",
        ),
        (
            ("steps: clean", "steps: [{set: {data.email: data.user.mail}}, {chain: clean}]"),
            "6 route 'orders': step 1 'set' sets data.email to the text 'data.user.mail' itself: to copy the value, "
            "write {from: data.user.mail}",
        ),
        (
            ("types: [order.*]", "types: 'order.*, cart.*'"),
            "6 route 'orders': `types` has 'order.*, cart.*', which is one type with a comma or a space in it: write a "
            "list, [order.*, cart.*]",
        ),
        (
            ("types: [order.*]", "types: ['order\\..*']"),
            "6 route 'orders': `types` has 'order\\\\..*', and takes no regular expressions: `*` is any text",
        ),
        (
            ("types: [order.*]", "types: [“order.*”]"),
            "6 route 'orders': `types` has '“order.*”', whose quotation marks are part of the type: write plain ones",
        ),
        (
            ("where: data.paid", "where: '!data.paid'"),
            "6 route 'orders': where: negates data alone, before the path goes on, which finds nothing: write !(…)",
        ),
        (("where: data.paid", "where: '!(data.a.b).c'"), "6 route 'orders': where: negates data.a.b alone, before"),
        (("where: data.paid", "where: '!data[0].paid'"), "6 route 'orders': where: negates a part alone, before"),
        (
            ("steps: clean", "steps: [{template: {data.a: 'for {data.name}'}}, {chain: clean}]"),
            "6 route 'orders': step 1 'template': data.a has data.name in single braces, which stay as they are",
        ),
        (
            ("steps: clean", "steps: [{template: {data.a: data.name}}, {chain: clean}]"),
            "6 route 'orders': step 1 'template': data.a is the text 'data.name' itself: to fill in the value",
        ),
        (("where: data.paid", "where: '`false`'"), "6 route 'orders': can never match: `where: `false`` is"),
    ],
)
def test_what_is_seldom_meant_is_a_warning_with_its_line(change: tuple[str, str], warning: str) -> None:
    text = CONFIG.replace(*change).replace("routes:", "  other: [{drop: [data.x]}]\nroutes:", "other" in str(change))

    assert any(each.startswith(warning) for each in warnings(text)), warnings(text)


GITHUB: Final = "git: {provider: github, secret: s}"
GITLAB: Final = "lab: {provider: gitlab, secret: s}"


@pytest.mark.parametrize(
    ("sources", "types", "warning"),
    [
        (
            GITHUB,
            "[push, pull_requst]",
            "'pull_requst' matches no event type of GitHub that was known on 2026-12-01; did you mean 'pull_request'?",
        ),
        (GITHUB, "['isues*']", "'isues*' matches no event type of GitHub"),
        (GITHUB, "[push, 'pull_*', '*']", ""),
        (GITHUB, "[issues.opened, 'issues.*', repository_dispatch.deploy]", ""),
        (GITHUB, "[issues.opend]", "did you mean 'issues.opened'?"),
        (GITHUB, "[push.created]", "'push.created' matches no event type of GitHub"),
        ("shop: {provider: stripe, secret: s}", "[invoice.paid.twice]", "did you mean 'invoice.paid'?"),
        ("lin: {provider: linear, secret: s}", "[Issue.create]", ""),
        (GITLAB, "[Issue Hook]", ""),
        (GITLAB, "[Isue Hook]", "did you mean 'Issue Hook'?"),
        (GITHUB, "'push, issues'", "write a list, [push, issues]"),
        ("app: {provider: slack, secret: s}", "[message, /deploy, view_submission]", ""),
        (f"{GITHUB}, shop: {{auth: none, id: data.id}}", "[pull_requst]", ""),
        ("git: {provider: github, secret: s, type: data.kind}", "[pull_requst]", ""),
        ("git: {provider: github, secret: s, action: data.kind}", "[push.main]", ""),
        (
            f"{GITHUB}, {GITLAB}",
            "[push, Push Hook, Pus Hook]",
            "'Pus Hook' matches no event type of GitHub or GitLab",
        ),
    ],
)
def test_an_event_type_that_no_provider_of_the_route_sends_is_a_warning(sources: str, types: str, warning: str) -> None:
    text = f"""\
sources: {{{sources}}}
routes: [{{name: all, types: {types}, to: people}}]
destinations: {{people: {{email: {{to: ann@example.com, subject: x}}}}}}
"""
    found = warnings(text)

    assert len(found) == bool(warning), found
    assert all(warning in each for each in found)


def test_a_secret_that_nothing_asks_for_is_named_with_the_likely_one() -> None:
    variables = ["SHOP_SECRETT", "SHOP_SECRET", "EMAIL_FROM", "PORT_BASE", "HOOKCHAIN_STATE", "STRANGE_THING"]
    text = [f"{fault.where}: {fault.rule}" for fault in unused_secrets(".env", variables, ["shop-secret"])]

    assert text == [
        ".env: SHOP_SECRETT: no needed secret and no setting has this name; did you mean 'SHOP_SECRET'?",
        ".env: STRANGE_THING: no needed secret and no setting has this name",
    ]


@pytest.mark.parametrize(
    ("source", "route", "is_warned"),
    [
        ("body: xml", "where: data.total > `1000`", True),
        ("body: xml, cast: {data.total: number}", "where: data.total > `1000`", False),
        ("body: xml", "where: to_number(data.total) > `1000`", False),
        ("provider: jamf_pro", "where: data.total > `1000`", True),
    ],
)
def test_a_number_is_not_compared_with_what_can_only_be_text(source: str, route: str, is_warned: bool) -> None:
    text = f"""\
sources: {{shop: {{auth: none, {source}}}}}
routes: [{{name: large, {route}, to: people}}]
destinations: {{people: {{email: {{to: [ann@example.com], subject: x}}}}}}
"""
    found = [fault.rule for fault in warnings_of_text(text) if "with a number" in fault.rule]

    rule = (
        "compares data.total with a number, but source 'shop' can get XML, forms or CSV, where every value is text: "
        "write to_number(data.total), or `cast: {data.total: number}` on the source"
    )
    assert found == ([rule] if is_warned else [])


def compared(route: str, chain: str = "drop: [data.x]", destination: str = "email: {to: a@example.com}") -> list[str]:
    """Return the warnings about comparisons."""
    text = f"""\
sources: {{shop: {{auth: none}}}}
chains: {{c: [{{drop: [data.x]}}, {{{chain}}}]}}
routes: [{{name: r, {route}, to: d}}]
destinations: {{d: {{{destination}}}}}
"""
    found = warnings_of_text(text)
    return [f"{each.where}: {each.rule}" for each in found if "compares" in each.rule]


@pytest.mark.parametrize(
    ("condition", "rule"),
    [
        ("data.total > '1000'", "with the text '1000', but a number is never less than, equal to or more than a text"),
        ("data.items[?price > '10']", "the text '10'"),
        ("data.total > 'many'", "compares with the text 'many' character by character"),
        ("data.total > `true`", "`true`, which is no number"),
        ("length(data.items) == '3'", "compares a number with the text '3': they are never equal. Write `3`"),
        ("'3' != to_number(data.count)", "a number with the text '3'"),
    ],
)
def test_a_comparison_that_no_number_can_meet_is_a_warning(condition: str, rule: str) -> None:
    [found] = compared(f"where: {json.dumps(condition)}")
    assert found.startswith("route 'r': where: compares")
    assert rule in found


@pytest.mark.parametrize("condition", ["data.total > `1000`", "data.day >= '2026-01-01'", "length(data.items) == `3`"])
def test_a_comparison_that_can_be_true_is_none(condition: str) -> None:
    assert compared(f"where: {json.dumps(condition)}") == []


@pytest.mark.parametrize(
    ("place", "settings"),
    [
        ("route 'r': step 1 'filter' compares", {"route": "steps: [{filter: data.total > '1'}]"}),
        ("route 'r': step 1 'map' compares", {"route": "steps: [{map: \"data.items[?price > '1']\"}]"}),
        (
            "destination 'd': success_when: compares a number with the text '200'",
            {
                "route": "from: shop",
                "destination": "webhook: {url: 'https://example.com/'}, success_when: \"status == '200'\"",
            },
        ),
        ("route 'r': step 1 'stop' compares", {"route": "steps: [{stop: {reason: x, when: data.total > '1'}}]"}),
        ("route 'r': step 1 'switch' compares", {"route": "steps: [{switch: {to: c, when: data.total > '1'}}]"}),
    ],
)
def test_each_condition_of_the_file_is_checked(place: str, settings: dict[str, str]) -> None:
    [found] = compared(**settings)
    assert found.startswith(place)


@pytest.mark.parametrize(
    ("subject", "warning"),
    [
        ('"Order ${data.number}"', "9 destination 'people': subject has data.number in single braces"),
        (
            '"Order ${{ data.number }}"',
            "9 destination 'people': subject has `$` before {{ data.number }}, which stays as",
        ),
        ("data.number", "9 destination 'people': subject is the text 'data.number' itself"),
        ("Order #{{ data.number }}", "9 a value: ends before ` #`, and the rest is a comment"),
    ],
)
def test_a_template_whose_braces_are_missing_or_cut_off_is_a_warning(subject: str, warning: str) -> None:
    written = f"\n    email:\n      to: [team]\n      subject: {subject}"
    text = CONFIG.replace(" {email: {to: [team], subject: x}}", written)
    found = [f"{fault.line} {fault.where}: {fault.rule}" for fault in warnings_of_text(text)]
    line = warning.replace("9 ", "12 " if "value" in warning else "9 ", 1)
    assert any(each.startswith(line) for each in found), found


@pytest.mark.parametrize(
    ("subject", "count"),
    [
        ('"${{ data.name }} and ${{ data.city }}"', 1),
        ('"Paid: ${{ data.amount }}"', 0),
        ("\"${{ '%.2f' | format(data.cents) }}\"", 0),
        ('"{{ data.name }}$"', 0),
    ],
)
def test_a_dollar_sign_before_braces_is_one_warning_unless_it_looks_like_money(subject: str, count: int) -> None:
    text = CONFIG.replace("subject: x", f"subject: {subject}")
    assert len([fault.rule for fault in warnings_of_text(text) if "has `$`" in fault.rule]) == count


@pytest.mark.parametrize(
    "subject",
    [
        "|\n        Order: no. #{{ data.number }}",
        "'Order\n        no. #{{ data.number }}'",
        "Order#{{ data.number }}",
        "x # not {{ data.number }}",
    ],
    ids=["block", "quoted", "no space", "comment"],
)
def test_a_sign_that_begins_no_comment_and_a_comment_are_no_warning(subject: str) -> None:
    written = f"\n    email:\n      to: [team]\n      subject: {subject}"
    text = CONFIG.replace(" {email: {to: [team], subject: x}}", written)
    assert [fault.rule for fault in warnings_of_text(text) if "comment" in fault.rule] == []


UNITS: Final = {
    "alerts.every": "alerts: {to: people, every: DURATION}",
    "destinations.*.breaker.max_pause": "breaker: {pause: 1s, max_pause: DURATION}",
    "destinations.*.breaker.pause": "breaker: {pause: DURATION}",
    "destinations.*.digest.every": "digest: {every: DURATION}",
    "destinations.*.expires_after": "expires_after: DURATION",
    "retention.bodies": "retention: {bodies: DURATION}",
    "retention.dead_letters": "retention: {dead_letters: DURATION}",
    "retention.events": "retention: {events: DURATION}",
    "sources.*.silence.after": "silence: {after: DURATION, to: people}",
    "sources.*.tolerance": "tolerance: DURATION",
    "subscribers.disable_after": "subscribers: {disable_after: DURATION}",
    "*.deduplicate.window": "steps: [{deduplicate: {key: data.id, window: DURATION}}, {chain: clean}]",
}
"""Each setting of the table, as a configuration writes it."""
IN_SECONDS: Final = {"cached", "leeway", "max_wait", "retry", "timeout", "ttl", "wait", "within"}
"""The durations that may be a few seconds."""
PLACES: Final = {
    "sources": ("shop: {auth: none}", "shop: {{provider: stripe, secret: shop-key, {}}}"),
    "*": ("steps: clean", "{}"),
    "destinations": ("subject: x}}", "subject: x}}, retry: [], {}}}"),
    "subscribers": ("  people:", "  own: {{subscribers: {{tenant: data.id}}}}\n  people:"),
}


@pytest.mark.parametrize(("pattern", "setting"), UNITS.items())
def test_a_duration_without_a_unit_that_is_too_short_to_be_meant_is_named(pattern: str, setting: str) -> None:
    least, unit = SHORTEST_SECONDS[pattern]
    short = 60 if pattern.endswith("silence.after") else 1 if "breaker" in pattern else least // 2
    section = pattern.partition(".")[0]
    old, new = PLACES.get(section, ("", ""))
    for written, is_named in ((f"{short}", True), (f"'{short}'", True), (f"{short}s", False), (f"{least}", False)):
        line = setting.replace("DURATION", written)
        text = CONFIG.replace(old, new.format(line)) if old else CONFIG
        text = text if "{}" in new else f"{text}{line}\n"
        found = [each.rule for each in warnings_of_text(text) if "without a unit" in each.rule]
        assert [rule.partition("did you mean ")[2] for rule in found] == [f"{short}{unit}?"] * is_named


def test_a_text_of_any_number_of_digits_is_no_fault() -> None:
    found = warnings_of_text(CONFIG.replace("subject: x", f"subject: '{'1' * 5_000}'"))
    assert not any("without a unit" in each.rule for each in found)


def test_each_duration_of_the_configuration_is_seconds_or_has_a_shortest_plausible_value() -> None:
    fields = [
        node.target.id
        for top in ("deploy/config", "functions")
        for path in (ROOT / top).rglob("*.py")
        if "Seconds" in (text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if any(getattr(each, "id", getattr(each, "attr", "")) == "Seconds" for each in ast.walk(node.annotation))
    ]
    assert UNITS.keys() == SHORTEST_SECONDS.keys()
    assert set(fields) == IN_SECONDS | {pattern.rpartition(".")[2] for pattern in SHORTEST_SECONDS}


# The list of the event types that providers send


def test_each_list_belongs_to_a_provider_and_names_its_sources() -> None:
    listed = json.loads(LIST.read_text(encoding="utf-8"))
    assert listed.keys() <= load_catalogue().keys()
    assert known_event_types().keys() == listed.keys()
    for entry in listed.values():
        assert entry["sources"]
        assert entry["read_on"] >= "2026-12-01"


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
def test_patterns_become_event_types_to_select_unless_they_are_many(patterns: list[str], selected: list[str]) -> None:
    github = known_event_types()["github"]
    assert github.selected(patterns) == selected
    assert len(github.types) > MAX_SELECTED


def test_editors_complete_event_types_and_any_other_text_is_valid() -> None:
    schema = config_schema({})
    offered = list_at(value_at(schema, "$defs", "EventType", "anyOf", 0, "enum"))
    assert {"push", "issues.opened", "checkout.session.completed", "Push Hook"} <= set(offered)
    validator = Draft202012Validator({"$defs": schema["$defs"], "$ref": "#/$defs/RouteConfig"})
    for types in ("push", ["order.*", "my own type"]):
        assert validator.is_valid({"name": "a", "types": types, "to": "b"})
