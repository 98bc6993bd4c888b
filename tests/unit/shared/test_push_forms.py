"""Transform and notify take a push as Pub/Sub sends it, and as Eventarc does: other headers, the same body.

https://cloud.google.com/pubsub/docs/push#receive_push
https://cloud.google.com/eventarc/docs/cloudevents#pubsub
"""

import base64
import contextlib
import json
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.notify import entry as notify_entry
from functions.notify.entry import Service
from functions.notify.waiting.sweep import Sweeper
from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared.errors import Permanent
from shared.event import to_cloudevent
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.ports import DELIVERIES
from shared.push import Push, parse_push
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal
from tests.fakes.notifier import DELIVERY, EVENT, FakeNotifier, message_of
from tests.fakes.pushes import from_anybody
from tests.unit.shared.json_values import floats, texts, values_of


@dataclass(frozen=True, slots=True)
class Form:
    """What stands around a message: `extra` beside `message`, and in it `named` as well."""

    name: str
    headers: tuple[tuple[str, str], ...]
    subscription: str
    extra: JsonObject
    has_both_spellings: bool = True

    def body(self, data: bytes) -> bytes:
        message: JsonObject = {
            "attributes": {"ce-id": "e1", "googclient_schemaencoding": "JSON"},
            "data": base64.b64encode(data).decode(),
            "messageId": "2070443601311540",
            "publishTime": "2021-02-26T19:13:55.749Z",
        }
        if self.has_both_spellings:
            message |= {"message_id": message["messageId"], "publish_time": message["publishTime"]}
        return json.dumps({"message": message, "subscription": self.subscription, **self.extra}).encode()


AGENT = ("user-agent", "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)")
SUBSCRIPTION = "projects/a-project/subscriptions/hookchain-events-transform"
PUSHED = Form(
    "Pub/Sub, of a subscription with a dead-letter policy",
    (("content-type", "application/json"), ("authorization", "Bearer x"), ("from", "noreply@google.com"), AGENT),
    SUBSCRIPTION,
    {"deliveryAttempt": 5},
)
FIRST = Form("Pub/Sub, without a policy", PUSHED.headers, SUBSCRIPTION, {})
EVENTARC = Form(
    "Eventarc",
    (
        ("content-type", "application/json"),
        ("ce-id", "2070443601311540"),
        ("ce-source", "//pubsub.googleapis.com/projects/a-project/topics/hookchain-events"),
        ("ce-specversion", "1.0"),
        ("ce-type", "google.cloud.pubsub.topic.v1.messagePublished"),
        ("ce-time", "2021-02-26T19:13:55.749Z"),
        AGENT,
    ),
    "projects/a-project/subscriptions/eventarc-europe-west1-trigger-sub-123",
    {},
)
OLDER = Form("Eventarc, in one spelling", EVENTARC.headers, EVENTARC.subscription, {}, has_both_spellings=False)
FORMS = pytest.mark.parametrize("form", [PUSHED, FIRST, EVENTARC, OLDER], ids=lambda form: form.name)


@FORMS
def test_a_push_is_read_whole(form: Form) -> None:
    push = parse_push(form.body(b"the message"))
    assert (push.data, push.attributes["ce-id"], push.message_id) == (b"the message", "e1", "2070443601311540")


@FORMS
async def test_transform_takes_it(form: Form) -> None:
    bus = FakeBus()
    routes = read_program({"routes": [{"name": "all", "to": ["crm"]}]}).routes
    transformer = Transformer(routes, bus, FakeBlobs(), FakeJournal(), FakeClock())
    transformed = await transformer.take(parse_push(form.body(json.dumps(to_cloudevent(EVENT)).encode())))
    assert transformed.event == EVENT
    assert len(bus.on(DELIVERIES)) == 1


@FORMS
async def test_notify_takes_it(form: Form) -> None:
    notifier = FakeNotifier()
    service = Service(
        notifier.parts, Sweeper(notifier.ledger, notifier.bus, notifier.clock), notifier.journal, from_anybody
    )
    body = form.body(message_of(DELIVERY, notifier.clock.now()))
    reply = await notify_entry.answer(lambda: service, Request("POST", "/", "", form.headers), reading(body))
    assert reply.status == 204
    assert (await notifier.row()).state == "delivered"


integers = st.integers() | st.integers(2**63 - 1, 2**64 + 1) | st.integers(-(2**64), -(2**63))


@given(values_of(st.none() | st.booleans() | integers | floats | texts), st.sampled_from([None, 2]), st.booleans())
def test_an_event_on_the_bus_is_read_as_the_standard_library_reads_it(
    value: Json, indent: int | None, is_ascii: bool
) -> None:
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
