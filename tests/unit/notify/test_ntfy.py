import pytest

from functions.notify.destinations import ntfy
from shared.delivery import Delivered, Disabled, Failed, RetryLater
from shared.errors import Permanent
from shared.jsontext import Json
from tests.unit.notify.http_kinds import HOSTILE, json_of, outcome_of, request_of

TOPIC: Json = "alerts"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_message_and_a_title_fit_into_what_the_server_takes(text: str) -> None:
    settings: Json = {"topic": TOPIC, "title": "{{ data }}", "text": "{{ data }}"}
    message = json_of(request_of(ntfy, settings, text))

    assert len(str(message["message"]).encode()) <= 4_096
    assert len(str(message["title"])) <= 250
    assert len(str(message["title"]).splitlines()) == 1


def test_a_cut_message_ends_with_a_mark_and_holds_whole_characters() -> None:
    message = json_of(request_of(ntfy, {"topic": TOPIC, "text": "{{ data }}"}, "é" * 3_000))["message"]

    assert message == "é" * 2_046 + "…"


def test_repeats_of_a_delivery_have_the_same_sequence_and_a_reopened_delivery_another_one() -> None:
    key = "a" * 64
    sequences = [
        json_of(request_of(ntfy, {"topic": TOPIC}, key=each))["sequence_id"] for each in (key, key, f"{key}-r1")
    ]

    assert sequences == [key, key, "a" * 61 + "-r1"]


def test_a_password_is_sent_with_its_user() -> None:
    request = request_of(
        ntfy, {"topic": TOPIC, "username": "phil", "secret": "ntfy-password"}, secrets={"ntfy-password": "pass"}
    )

    assert ("authorization", "Basic cGhpbDpwYXNz") in request.headers


def test_the_newest_value_of_a_rotated_token_is_sent() -> None:
    request = request_of(ntfy, {"topic": TOPIC, "secret": "token"}, secrets={"token": ("tk_new", "tk_old")})

    assert ("authorization", "Bearer tk_new") in request.headers


@pytest.mark.parametrize(
    ("url", "click"), [("https://shop.example.com/1", "https://shop.example.com/1"), ("intent://x", None), ("", None)]
)
def test_a_tap_opens_the_operators_address_or_a_web_address(url: str, click: str | None) -> None:
    assert json_of(request_of(ntfy, {"topic": "a", "click": "{{ data.url }}"}, {"url": url})).get("click") == click


def test_a_priority_may_depend_on_the_event() -> None:
    settings: Json = {"topic": TOPIC, "priority": "{{ 5 if data.urgent else 2 }}"}

    assert json_of(request_of(ntfy, settings, {"urgent": True}))["priority"] == 5
    with pytest.raises(Permanent, match="must result in one of 1, 2, 3, 4, 5"):
        request_of(ntfy, {"topic": TOPIC, "priority": "{{ data.level }}"}, {"level": 9})


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({}, "one of `topic`, `topic_secret` and `to`"),
        ({"topic": "a", "topic_secret": "b"}, "one of `topic`, `topic_secret` and `to`"),
        ({"topic": "a b"}, "pattern"),
        ({"topic": "a", "username": "u"}, "`username` needs `secret`"),
        ({"topic": "a", "priority": 6}, "one of 1, 2, 3, 4, 5"),
        ({"topic": "a", "text": "{{ order.id }}"}, "did you mean"),
        ({"topic": "a", "server": "ntfy.example.com"}, "https://"),
        ({"topic": "a", "sound": "bell"}, "Extra inputs"),
    ],
)
def test_settings_that_cannot_work_are_rejected(settings: Json, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        ntfy.Settings.model_validate(settings)


def test_only_a_request_that_can_never_be_accepted_fails() -> None:
    assert isinstance(outcome_of(ntfy, 200, {"id": "x"}), Delivered)
    assert isinstance(outcome_of(ntfy, 400, {"code": 40007}), Failed)
    assert isinstance(outcome_of(ntfy, 413, {"code": 41301}), Failed)
    assert isinstance(outcome_of(ntfy, 410), Disabled)
    for status in (500, 507):
        assert isinstance(outcome_of(ntfy, status), RetryLater)


def test_a_wait_that_the_server_asks_for_is_kept() -> None:
    outcome = outcome_of(ntfy, 429, {"code": 42901}, retry_after="120")

    assert isinstance(outcome, RetryLater)
    assert outcome.after_seconds == 120
