"""One rule for all kinds: a key, token or address that the service calls wrong holds the destination."""

import importlib
from types import ModuleType

import pytest

from functions.notify.destination import kind_module
from shared.delivery import Disabled, Failed, RetryLater
from shared.jsontext import Json
from tests.unit.notify.http_kinds import outcome_of
from tests.unit.notify.test_kind_examples import kinds

KEY_IS_WRONG: list[tuple[str, int, Json]] = [
    ("slack", 403, "invalid_token"),
    ("slack", 404, "no_service"),
    ("slack", 200, {"ok": False, "error": "token_revoked"}),
    ("teams", 401, None),
    ("discord", 401, {"code": 50027}),
    ("google_chat", 400, {"error": {"details": [{"reason": "API_KEY_INVALID"}]}}),
    ("telegram", 401, {"ok": False, "description": "Unauthorized"}),
    ("pagerduty", 400, {"status": "invalid event", "errors": ["Length of 'routing_key' is incorrect"]}),
    ("pagerduty", 400, {"status": "invalid key", "message": "Invalid routing key"}),
    ("pagerduty", 403, None),
    ("sms", 401, {"code": 20003}),
    ("sms", 403, None),
    ("sms", 404, {"code": 20404}),
    ("sms", 400, {"code": 21212}),
    ("push", 401, {"error": {"status": "UNAUTHENTICATED"}}),
    ("push", 401, {"error": {"details": [{"errorCode": "THIRD_PARTY_AUTH_ERROR"}]}}),
    ("push", 403, {"error": {"status": "PERMISSION_DENIED"}}),
    ("push", 404, {"error": {"status": "NOT_FOUND"}}),
    ("ntfy", 401, {"code": 40101}),
    ("ntfy", 403, {"code": 40301}),
    ("github", 401, {"message": "Bad credentials"}),
    ("gitlab", 404, {"message": "404 Not Found"}),
    ("jenkins", 401, None),
    ("cloud_build", 403, {"error": {"status": "PERMISSION_DENIED"}}),
    ("bigquery", 403, {"error": {"errors": [{"reason": "accessDenied"}]}}),
    ("object", 401, {"error": {"message": "Invalid Credentials"}}),
    ("bus", 400, {"__type": "com.amazonaws.sqs#QueueDoesNotExist"}),
    ("bus", 403, {"error": {"status": "PERMISSION_DENIED"}}),
]
"""Answers that say that the key, token or address is wrong; further kinds have tests of their own."""


def module_of(name: str) -> ModuleType:
    return importlib.import_module(kind_module(name))


@pytest.mark.parametrize(("name", "status", "body"), KEY_IS_WRONG)
def test_a_wrong_key_holds_the_destination_and_says_what_to_correct(name: str, status: int, body: Json) -> None:
    outcome = outcome_of(module_of(name), status, body)

    assert isinstance(outcome, Disabled)
    assert any(word in outcome.reason for word in ("correct", "set ", "create", "turn it on", "allow"))


def test_every_kind_that_speaks_http_is_held_by_a_wrong_key_except_webhook() -> None:
    assert {name for name, _, _ in KEY_IS_WRONG} | {"webhook"} == {
        kind.__name__.split(".")[3] for kind in kinds() if hasattr(kind, "outcome")
    }


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_webhook_is_tried_again_because_a_receivers_fault_is_often_repaired(status: int) -> None:
    assert isinstance(outcome_of(module_of("webhook"), status), RetryLater)


@pytest.mark.parametrize("name", ["slack", "teams", "discord", "google_chat", "telegram", "pagerduty", "sms", "ntfy"])
def test_a_400_about_one_message_fails_that_message_alone(name: str) -> None:
    assert isinstance(outcome_of(module_of(name), 400, {"message": "text is empty"}), Failed)
