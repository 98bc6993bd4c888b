"""SQS: messages of the bus, whatever is in them, and how many go into a request."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hypothesis import example, given, strategies as st

from shared.claim_check import MAX_INLINE_BYTES
from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.sqs import SqsBus
from shared.cloud.aws.sqs_messages import ATTRIBUTES, BODY, MAX_MESSAGE_BYTES, entry_of, message_of
from shared.dead_letter_message import dead_letter_message
from shared.delivery import Delivery, delivery_message
from shared.errors import Permanent, Temporary
from shared.event import MAX_ATTRIBUTE_CHARACTERS, Event, event_json
from shared.journal import DeadLetter
from shared.jsontext import Json
from shared.ports import BusMessage
from shared.push import Push
from tests.aws.local_aws import KEYS, REGION
from tests.aws.sqs_stand_in import SqsServer, check_message, lambda_record, size
from tests.gcp.serving import served
from tests.unit.shared.json_values import texts, values_of

QUEUES = {topic: f"https://sqs.{REGION}.amazonaws.com/1/{topic}" for topic in ("events", "deliveries")}


@asynccontextmanager
async def bus(queues: Mapping[str, str] = QUEUES, *, batches: bool = True) -> AsyncIterator[tuple[SqsBus, SqsServer]]:
    server = SqsServer()
    with served(server.app()) as host:
        made = SqsBus(AwsPlace(REGION, lambda: KEYS, f"http://{host}"), queues, batches=batches)
        yield made, server
        made.close()
        await asyncio.sleep(0)  # in which its connections are gone
    assert server.problems == []


def numbered(count: int) -> list[BusMessage]:
    return [BusMessage(str(number).encode()) for number in range(count)]


async def test_a_batch_larger_than_the_queue_is_published_in_requests_of_ten() -> None:
    async with bus() as (made, server):
        await made.publish("events", numbered(2_500))
    assert server.counts == [10] * 250


async def test_without_gathering_a_message_is_sent_in_the_task_that_publishes_it() -> None:
    async with bus(batches=False) as (made, server):
        tasks = len(asyncio.all_tasks())
        first = asyncio.create_task(made.publish("events", numbered(1)))
        await asyncio.sleep(0)  # in which its request begins
        assert len(asyncio.all_tasks()) == tasks + 1
        await asyncio.gather(first, *(made.publish("events", [message]) for message in numbered(10)))
        await made.publish("events", numbered(20))
        await made.publish("events", [])
    assert sorted(server.counts) == [*[1] * 11, 10, 10]


async def test_large_messages_go_fewer_together() -> None:
    async with bus() as (made, server):
        await made.publish("events", [BusMessage(b"x" * 100_000)] * 9)
    assert (sum(server.counts), max(server.counts)) == (9, 2)


async def test_the_largest_message_goes_alone_and_a_larger_one_is_not_sent() -> None:
    async with bus() as (made, server):
        await made.publish("events", [BusMessage(b"x" * MAX_MESSAGE_BYTES), BusMessage(b"y")])
        with pytest.raises(Temporary, match="at most 1048576 bytes; got one of 1048577"):
            await made.publish("events", [BusMessage(b"y"), BusMessage(b"x" * (MAX_MESSAGE_BYTES + 1))])
    assert server.counts == [1, 1]


@pytest.mark.usefixtures("quick_back_off")
@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalFailure"), (503, "ServiceUnavailable"), (400, "RequestThrottled")]
)
async def test_what_is_rejected_for_a_moment_is_sent_again(status: int, code: str) -> None:
    """A sender that is told 503 may never send again."""
    async with bus() as (made, server):
        server.statuses = [(status, code)] * 2
        await made.publish("events", numbered(2))
    assert server.counts == [2, 2, 2]
    assert len(server.on(QUEUES["events"])) == 2


async def test_of_a_request_only_what_was_not_taken_is_sent_again() -> None:
    async with bus() as (made, server):
        server.failures = [[None, "InternalError", None]]
        await made.publish("events", numbered(3))
    assert server.counts == [3, 1]
    assert sorted(message.data for message in server.on(QUEUES["events"])) == [b"0", b"1", b"2"]


@pytest.mark.usefixtures("quick_back_off")
async def test_a_message_that_goes_on_being_rejected_is_not_confirmed() -> None:
    async with bus() as (made, server):
        server.failures = [["InternalError"]] * 3
        with pytest.raises(Temporary, match="SQS answered 200 InternalError to a send to the queue of 'events'"):
            await made.publish("events", numbered(1))
    assert server.counts == [1, 1, 1]


async def test_a_senders_fault_is_not_sent_again_and_fails_only_its_own_publish() -> None:
    async with bus() as (made, server):
        server.failures = [[None, None, "*InvalidMessageContents", None]]
        outcomes = await asyncio.gather(
            *(made.publish("events", [message]) for message in numbered(4)), return_exceptions=True
        )
    assert server.counts == [4]
    [fault] = [outcome for outcome in outcomes if outcome is not None]
    assert outcomes.index(fault) == 2
    assert isinstance(fault, Temporary)
    assert "InvalidMessageContents" in fault.detail


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        (400, "AccessDeniedException", "lacks sqs:SendMessage"),
        (400, "QueueDoesNotExist", "the queue does not exist"),
        (400, "KmsAccessDenied", "lacks kms:GenerateDataKey"),
    ],
)
async def test_a_rejection_says_what_is_missing_and_is_not_repeated(status: int, code: str, why: str) -> None:
    async with bus() as (made, server):
        server.statuses = [(status, code)]
        with pytest.raises(Temporary, match=why) as error:
            await made.publish("events", numbered(1))
    assert error.value.code == "bus_unavailable"
    assert server.counts == [1]


async def test_a_topic_without_a_queue_is_temporary_and_says_what_to_set() -> None:
    async with bus({}) as (made, _):
        with pytest.raises(Temporary, match="set HOOKCHAIN_DELIVERIES_QUEUE"):
            await made.publish("deliveries", numbered(1))


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
