"""A message of the bus in SQS: it comes back as it was, SQS takes it whatever is in it, and an event always fits."""

import json
from dataclasses import replace

import pytest
from hypothesis import example, given, strategies as st

from shared.claim_check import MAX_INLINE_BYTES
from shared.cloud.aws.sqs_messages import ATTRIBUTES, BODY, MAX_MESSAGE_BYTES, entry_of, message_of
from shared.dead_letter_message import dead_letter_message
from shared.delivery import Delivery, delivery_message
from shared.errors import Permanent
from shared.event import MAX_ATTRIBUTE_CHARACTERS, Event, event_json
from shared.journal import DeadLetter
from shared.jsontext import Json
from shared.ports import BusMessage
from shared.push import Push
from tests.aws.sqs_stand_in import check_message, lambda_record, size
from tests.unit.shared.json_values import texts, values_of

ANY_TEXT = st.text(st.characters(codec=None))  # halves of surrogate pairs too
MESSAGES = st.builds(
    BusMessage,
    st.one_of(st.binary(), ANY_TEXT.map(lambda text: text.encode("utf-8", "surrogatepass"))),
    st.dictionaries(st.one_of(ANY_TEXT, st.sampled_from(["ce-id", BODY, ATTRIBUTES, "AWS.x", "a..b", ""])), ANY_TEXT),
)


@given(MESSAGES)
@example(BusMessage(b""))
@example(BusMessage(b"a\r\nb", {"ce-id": "", "x": "a\rb"}))
@example(BusMessage("\ufffe".encode(), {"half": "\ud800", "\ud800": "half"}))
@example(BusMessage(b"{}", {f"name-{number}": "value" for number in range(11)}))
@example(BusMessage(b"{}", {BODY: "base64", ATTRIBUTES: "{}"}))
def test_a_message_comes_back_as_it_was(message: BusMessage) -> None:
    record = lambda_record(entry_of(message).document("0"))
    assert message_of(record) == Push(message.data, dict(message.attributes), str(record["messageId"]))


@given(MESSAGES)
@example(BusMessage(b""))
@example(BusMessage(b"\x00", {f"name-{number}": "\x00" for number in range(11)}))
@example(BusMessage("\uffff".encode(), {f"name-{number}": "value" for number in range(11)}))
def test_sqs_takes_any_message_and_counts_its_bytes_as_we_do(message: BusMessage) -> None:
    entry = entry_of(message)
    check_message(entry.document("0"))
    assert entry.weight == size(entry.document("0"))


def test_an_event_is_readable_in_the_queue() -> None:
    entry = entry_of(BusMessage('{"data":"grüße"}'.encode(), {"ce-id": "e1", "ce-source": "/sources/s"}))
    assert entry.body == '{"data":"grüße"}'
    assert entry.attributes == {"ce-id": "e1", "ce-source": "/sources/s"}


LONGEST = "\U0001f600" * MAX_ATTRIBUTE_CHARACTERS
ATTRIBUTED = {"ce-id": LONGEST, "ce-type": LONGEST, "ce-source": LONGEST, "replay": LONGEST, "only": LONGEST}


def largest_event(filler: str) -> tuple[Event, bytes]:
    """An event that travels inline at the limit, its data of one repeated text."""
    event = Event("e" * 32, f"/sources/{LONGEST}", LONGEST, "2026-03-01T12:00:05.000Z", "0" * 64, "")
    event = replace(event, subject=LONGEST, actor=LONGEST, deliveryid=LONGEST, traceparent=LONGEST)
    room = MAX_INLINE_BYTES - len(event_json(event))
    each = len(json.dumps(filler, ensure_ascii=False).encode()) - 2
    event.data = filler * (room // each)
    content = event_json(event)
    assert MAX_INLINE_BYTES - each < len(content) <= MAX_INLINE_BYTES
    return event, content


@pytest.mark.parametrize("filler", ['"', "\x01", '"\uffff', "\U0001f600"])
def test_the_largest_event_its_delivery_and_its_dead_letter_fit(filler: str) -> None:
    """Escaped once more, a JSON text doubles at most; in base64 it grows by a third: 2.7 times 200 KiB, of 1 MiB."""
    event, content = largest_event(filler)
    delivery = delivery_message(Delivery(event, LONGEST, LONGEST), content, "2026-03-01T12:00:05.000Z", ATTRIBUTED)
    letter = DeadLetter(
        id="d" * 64,
        code="lint_failed",
        reason=LONGEST,
        at=1_790_000_000.0,
        message=delivery.data,
        topic="deliveries",
        event_id=event.id,
        route=LONGEST,
        destination=LONGEST,
    )
    for message in (BusMessage(content, ATTRIBUTED), delivery, dead_letter_message(letter)):
        entry = entry_of(message)
        check_message(entry.document("0"))
        assert entry.weight <= 0.6 * MAX_MESSAGE_BYTES


@given(
    st.one_of(
        values_of(texts),
        st.fixed_dictionaries({"body": values_of(texts)}, optional={"messageAttributes": values_of(texts)}),
    )
)
def test_a_record_that_is_not_ours_is_a_message_or_permanent(record: Json) -> None:
    try:
        message_of(record)
    except Permanent as error:
        assert error.code == "malformed_push"


@pytest.mark.parametrize(
    ("body", "attributes"),
    [("not base64!", {BODY: "base64"}), ("{}", {ATTRIBUTES: "{"}), ("{}", {ATTRIBUTES: "[" * 100_000}), ("\ud800", {})],
)
def test_a_record_that_cannot_be_read_is_permanent(body: str, attributes: dict[str, str]) -> None:
    written = {name: {"StringValue": value, "DataType": "String"} for name, value in attributes.items()}
    with pytest.raises(Permanent, match="malformed_push"):
        message_of(lambda_record({"Body": body, "MessageAttributes": written}))
