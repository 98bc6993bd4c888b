"""Storing, delivering and dead-lettering messages: the decisions, without a socket or a clock."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.pubsub.messages import (
    Message,
    draft_of,
    drafts_from,
    kept_back_seconds,
    push_body,
)
from deploy.dev.pubsub.resources import ApiError, RetryPolicy
from deploy.dev.pubsub.subscriber import (
    FAILURES_BEFORE_PAUSE,
    FIRST_PAUSE_SECONDS,
    IMMEDIATE_RETRY_SECONDS,
    LEAST_LIMIT,
    LONGEST_PAUSE_SECONDS,
    Backlog,
    Leases,
    PendingDelivery,
    Window,
    checked_ack_ids,
    retry_delay,
)
from shared.cloud.gcp.pubsub import NOT_BEFORE
from shared.cloud.platform import EMULATED_FIRST_PLACES, EMULATED_PLACES
from shared.push import parse_push

SUBSCRIPTION = "projects/p1/subscriptions/to-transform"
TOPIC = "projects/p1/topics/events"


def a_message(number: int = 1, data: bytes = b"hello", **attributes: str) -> Message:
    draft = draft_of(base64.b64encode(data).decode(), attributes)
    return Message(number, TOPIC, draft.content, draft.attributes, 1_790_000_000.25)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0.5), (2, 1.0), (3, 2.0), (7, 32.0), (8, 60.0), (100, 60.0), (10_000, 60.0)]
)
def test_the_wait_doubles_from_the_minimum_to_the_maximum(failures: int, seconds: float) -> None:
    assert retry_delay(RetryPolicy(0.5, 60.0), failures) == seconds


def test_without_a_policy_a_message_is_delivered_again_almost_at_once() -> None:
    assert retry_delay(None, 50) == IMMEDIATE_RETRY_SECONDS


def test_the_backlog_keeps_its_order_and_each_ones_time() -> None:
    backlog = Backlog()
    later, first, second = (PendingDelivery(a_message(n)) for n in (1, 2, 3))
    backlog.add_at(later, 5.0)
    backlog.add(first)
    backlog.add(second)
    assert (backlog.take(4.9), backlog.take(4.9), backlog.take(4.9)) == (first, second, None)
    assert backlog.next_time() == 5.0
    assert backlog.take(5.0) is later


@pytest.mark.parametrize(
    ("not_before", "seconds"), [("107.5", 7.5), ("100", 0), ("-1", 0), ("1e9", 900), ("inf", 900), ("nan", 0), ("x", 0)]
)
def test_a_message_is_kept_back_until_the_time_that_it_names(not_before: str, seconds: float) -> None:
    assert kept_back_seconds(replace(a_message(), attributes={NOT_BEFORE: not_before}), now=100.0) == seconds
    assert kept_back_seconds(a_message(), now=100.0) == 0


def test_a_lease_ends_at_its_deadline_and_not_before() -> None:
    leases = Leases()
    pending = PendingDelivery(a_message())
    ack_id = leases.grant(pending, until=10.0)
    assert leases.end(9.9) == []
    assert leases.end(10.0) == [pending]
    assert leases.release(ack_id) is None


def test_an_extended_lease_lives_longer_and_a_shortened_one_shorter() -> None:
    leases = Leases()
    long, short = PendingDelivery(a_message(1)), PendingDelivery(a_message(2))
    leases.extend(leases.grant(long, until=10.0), 30.0)
    leases.extend(leases.grant(short, until=10.0), 3.0)
    assert leases.next_time() == 3.0
    assert leases.end(10.0) == [short]
    assert leases.end(30.0) == [long]


@pytest.mark.parametrize("ack_ids", [[], [""], ["1-2", 3], ["1-2\n"], ["made up"]])
def test_an_impossible_ack_id_is_rejected(ack_ids: list[object]) -> None:
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        checked_ack_ids(ack_ids)


def test_the_window_opens_with_success_and_closes_by_half() -> None:
    window = Window()
    assert window.opens_at(EMULATED_FIRST_PLACES - 1, 0.0) == 0.0
    assert window.opens_at(EMULATED_FIRST_PLACES, 0.0) is None
    for _ in range(2 * EMULATED_PLACES):
        window.succeeded()
    assert window.limit == EMULATED_PLACES
    window.failed(0.0)
    assert window.limit == EMULATED_PLACES // 2
    for _ in range(20):
        window.failed(0.0)
    assert window.limit == LEAST_LIMIT


def test_nothing_but_failures_pause_delivery_longer_and_longer() -> None:
    window, now = Window(), 100.0
    for _ in range(FAILURES_BEFORE_PAUSE - 1):
        window.failed(now)
    assert window.opens_at(0, now) == now
    pauses: list[float] = []
    for _ in range(8):
        window.failed(now)
        opens_at = window.opens_at(0, now)
        assert opens_at is not None
        pauses.append(opens_at - now)
        now = opens_at
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(FIRST_PAUSE_SECONDS)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE_SECONDS)


@given(
    st.binary(min_size=1, max_size=50), st.dictionaries(st.text(min_size=1), st.text(), max_size=3), st.integers(1, 100)
)
def test_our_own_functions_read_every_push(data: bytes, attributes: dict[str, str], attempt: int) -> None:
    draft = draft_of(base64.b64encode(data).decode(), attributes)
    message = Message(7, TOPIC, draft.content, draft.attributes, 0.0)
    try:
        body = push_body(message, SUBSCRIPTION, attempt)
    except UnicodeEncodeError:  # half of a surrogate pair, which the API refuses at the door
        return
    push = parse_push(body)
    assert (push.data, push.attributes, push.message_id) == (data, attributes, "7")
    document = json.loads(body)
    assert (document["deliveryAttempt"], document["subscription"]) == (attempt, SUBSCRIPTION)


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"data": ""},
        {"data": "not base64!"},
        {"data": "aGk=", "attributes": {"": "x"}},
        {"data": "aGk=", "attributes": {"googclient": "x"}},
        {"data": "aGk=", "attributes": {"k" * 257: "x"}},
        {"data": "aGk=", "attributes": {"k": "x" * 1025}},
        {"data": "aGk=", "attributes": {str(n): "x" for n in range(101)}},
        {"data": "aGk=", "attributes": {"k": 1}},
        {"data": 7},
        "aGk=",
    ],
)
def test_a_message_that_google_rejects_is_rejected(message: object) -> None:
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        drafts_from(json.dumps({"messages": [message]}).encode())


@pytest.mark.parametrize("body", [b"{}", b'{"messages": []}', b'{"messages": {}}', b"[]", b""])
def test_a_publish_of_nothing_is_rejected(body: bytes) -> None:
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        drafts_from(body)


def test_more_than_a_thousand_messages_or_ten_megabytes_are_rejected() -> None:
    with pytest.raises(ApiError, match="maximum value is 1000"):
        drafts_from(json.dumps({"messages": [{"data": "aGk="}] * 1001}).encode())
    with pytest.raises(ApiError, match="exceeds the limit"):
        drafts_from(json.dumps({"messages": [{"data": "aGlo" * 3_400_000}]}).encode())
