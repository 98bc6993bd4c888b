import pytest

from functions.notify.destinations import ntfy
from shared.errors import Permanent
from shared.jsontext import Json
from tests.unit.notify.http_kinds import HOSTILE, json_of, request_of

TOPIC: Json = "alerts"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_message_and_a_title_fit_into_what_the_server_takes(text: str) -> None:
    settings: Json = {"topic": TOPIC, "title": "{{ data }}", "text": "{{ data }}"}
    message = json_of(request_of(ntfy, settings, text))

    assert len(str(message["message"]).encode()) <= 4_096
    assert len(str(message["title"])) <= 250
    assert len(str(message["title"]).splitlines()) == 1


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
