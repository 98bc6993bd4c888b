"""The body of a push as Pub/Sub sends it, directly or through Eventarc, and the JSON of its message.

https://cloud.google.com/pubsub/docs/push#receive_push
https://cloud.google.com/eventarc/docs/cloudevents#pubsub
"""

import base64
import contextlib
import json

import pytest
from hypothesis import example, given, strategies as st

from shared.errors import Permanent
from shared.jsontext import Json, JsonObject
from shared.push import Push, parse_push
from tests.unit.shared.json_values import floats, texts, values_of

MESSAGE: JsonObject = {
    "attributes": {"ce-id": "e1", "googclient_schemaencoding": "JSON"},
    "data": base64.b64encode(b"the message").decode(),
    "messageId": "2070443601311540",
    "publishTime": "2021-02-26T19:13:55.749Z",
}
BOTH_SPELLINGS: JsonObject = {**MESSAGE, "message_id": MESSAGE["messageId"], "publish_time": MESSAGE["publishTime"]}


@pytest.mark.parametrize(
    "body",
    [
        {"message": BOTH_SPELLINGS, "subscription": "projects/a/subscriptions/s", "deliveryAttempt": 5},
        {"message": BOTH_SPELLINGS, "subscription": "projects/a/subscriptions/s"},
        {"message": MESSAGE, "subscription": "projects/a/subscriptions/eventarc-europe-west1-trigger-sub-123"},
    ],
    ids=["of a subscription with a dead-letter policy", "without a policy", "of Eventarc, in one spelling"],
)
def test_a_push_is_read_whole(body: JsonObject) -> None:
    push = parse_push(json.dumps(body).encode())
    assert (push.data, push.attributes["ce-id"], push.message_id) == (b"the message", "e1", "2070443601311540")


integers = st.integers() | st.integers(2**63 - 1, 2**64 + 1) | st.integers(-(2**64), -(2**63))


@given(values_of(st.none() | st.booleans() | integers | floats | texts), st.sampled_from([None, 2]), st.booleans())
def test_an_event_on_the_bus_is_read_as_json_loads_reads_it(value: Json, indent: int | None, is_ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)
    assert exact(Push(text.encode()).document()) == exact(json.loads(text))


@given(st.text(st.sampled_from('0123456789+-.eE"\\ud8[]{}:, \ufeffNaInfty')))
@example('"\\ud800"')
@example("1e400")
@example("-0")
@example("-0.0")
@example('{"a": 1, "b": 2, "a": 3}')
@example("[" * 1_500 + "]" * 1_500)
@example("NaN")
@example("\ufeff1")
def test_a_text_is_json_where_the_standard_library_says_so(text: str) -> None:
    try:
        expected = exact(json.loads(text, parse_constant=lambda name: pytest.fail(name)))
    except RecursionError:  # Python 3.12 reads fewer levels; no other error may come
        with contextlib.suppress(Permanent):
            Push(text.encode()).document()
    except (ValueError, pytest.fail.Exception):
        with pytest.raises(Permanent):
            Push(text.encode()).document()
    else:
        assert exact(Push(text.encode()).document()) == expected


def exact(value: Json) -> str:
    """Return text in which 1, 1.0 and true differ, and the order of keys counts."""
    return json.dumps(value)
