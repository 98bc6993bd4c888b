"""Storing, delivering and dead-lettering messages: the decisions, without a socket or a clock."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.pubsub.messages import Message, draft_of, drafts_from, push_body
from deploy.dev.pubsub.resources import ApiError, RetryPolicy
from deploy.dev.pubsub.subscriber import retry_delay
from shared.push import parse_push

SUBSCRIPTION = "projects/p1/subscriptions/to-transform"
TOPIC = "projects/p1/topics/events"


@pytest.mark.parametrize(("failures", "seconds"), [(1, 0.5), (7, 32.0), (8, 60.0), (10_000, 60.0)])
def test_the_wait_doubles_from_the_minimum_to_the_maximum(failures: int, seconds: float) -> None:
    assert retry_delay(RetryPolicy(0.5, 60.0), failures) == seconds


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
