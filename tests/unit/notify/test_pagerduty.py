import pytest

from functions.notify.destinations import pagerduty
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject
from tests.unit.notify.http_kinds import HOSTILE, json_of, request_of

SECRETS = {"key": "R0UT1NG"}


def message(settings: JsonObject, data: Json = None) -> JsonObject:
    return json_of(request_of(pagerduty, {"secret": "key", **settings}, data, SECRETS))


def payload(settings: JsonObject, data: Json = None) -> JsonObject:
    found = message(settings, data)["payload"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("text", HOSTILE)
def test_a_summary_has_one_line_and_at_most_1024_characters(text: str) -> None:
    summary = payload({"summary": "{{ data }}"}, text)["summary"]

    assert isinstance(summary, str)
    assert 0 < len(summary) <= 1_024
    assert len(summary.splitlines()) == 1


def test_details_that_would_exceed_the_size_of_a_request_are_left_out() -> None:
    found = payload({}, {"text": "x" * 450_000})

    assert found["custom_details"] == {"left_out": "the event's data, 450011 bytes"}


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_a_later_action_only_names_the_alert(action: str) -> None:
    assert message({"action": action, "dedup_key": "{{ data.id }}"}, {"id": "a1"}) == {
        "routing_key": "R0UT1NG",
        "event_action": action,
        "dedup_key": "a1",
    }


def test_keys_that_are_too_long_stay_different_and_repeatable() -> None:
    settings: JsonObject = {"dedup_key": "{{ data }}"}
    first, again, other = (message(settings, "x" * 300 + end)["dedup_key"] for end in ("a", "a", "b"))

    assert first == again != other
    assert len(str(first)) <= 255


def test_an_empty_key_is_a_fault_of_the_delivery() -> None:
    with pytest.raises(Permanent, match="needs a key"):
        message({"dedup_key": "{{ data }}"}, "")


def test_a_change_event_goes_to_its_own_address_and_has_no_key_and_no_severity() -> None:
    request = request_of(pagerduty, {"secret": "key", "action": "change", "link": "https://ci/1"}, {"a": 1}, SECRETS)

    assert request.url == "https://events.pagerduty.com/v2/change/enqueue"
    assert json_of(request) == {
        "routing_key": "R0UT1NG",
        "payload": {
            "summary": "order.created from shop",
            "source": "shop",
            "timestamp": "2026-03-01T12:00:04Z",
            "custom_details": {"a": 1},
        },
        "links": [{"href": "https://ci/1"}],
    }


def test_a_link_that_the_event_names_is_a_web_address() -> None:
    settings: JsonObject = {"secret": "key", "link": "{{ data.url }}"}
    links = [
        json_of(request_of(pagerduty, settings, {"url": url}, {"key": "R0UT1NGKEY"})).get("links")
        for url in ("https://shop.example.com/1", "javascript:alert(1)")
    ]
    assert links == [[{"href": "https://shop.example.com/1"}], None]


def test_a_severity_that_is_not_pagerdutys_is_a_fault_of_the_delivery() -> None:
    with pytest.raises(Permanent, match="one of critical, error, warning, info"):
        message({"severity": "{{ data.level }}"}, {"level": "<fatal>"})
