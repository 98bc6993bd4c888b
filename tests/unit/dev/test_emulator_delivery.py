"""Storing, delivering and dead-lettering messages: the decisions, without a socket or a clock."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.pubsub.messages import Message, draft_of, drafts_from, push_body
from deploy.dev.pubsub.resources import ApiError, RetryPolicy
from deploy.dev.pubsub.subscriber import Backlog, PendingDelivery, retry_delay
from shared.push import parse_push

SUBSCRIPTION = "projects/p1/subscriptions/to-transform"
TOPIC = "projects/p1/topics/events"


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.5), (7, 32.0), (8, 60.0), (10_000, 60.0)])
def test_the_wait_doubles_from_the_minimum_to_the_maximum(failures: int, seconds: float) -> None:
    assert retry_delay(RetryPolicy(0.5, 60.0), failures) == seconds


def test_the_sources_take_turns_so_that_a_flood_of_one_delays_no_other() -> None:
    backlog = Backlog()
    sources = ["loud"] * 1_000 + ["quiet"] * 2 + ["loud"] * 2
    for number, source in enumerate(sources):
        backlog.add(PendingDelivery(Message(number, TOPIC, "", {"ce-source": source}, 0.0)))
    order = [pending.message.id for _ in sources if (pending := backlog.take(0.0))]
    assert order[:5] == [0, 1_000, 1, 1_001, 2]
    assert sorted(order) == list(range(1_004))
    assert backlog.take(0.0) is None


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
        {"data": "not base64!"},
        {"data": "aGk=", "attributes": {"googclient": "x"}},
        {"data": "aGk=", "attributes": {"k": "x" * 1025}},
        "aGk=",
    ],
)
def test_a_message_that_google_rejects_is_rejected(message: object) -> None:
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        drafts_from(json.dumps({"messages": [message]}).encode())
