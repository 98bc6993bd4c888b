"""How many messages go into one request to SQS, how many requests are in flight, and what its answers mean."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from shared.cloud.aws.client import AwsPlace
from shared.cloud.aws.sqs import SqsBus
from shared.cloud.aws.sqs_messages import MAX_MESSAGE_BYTES
from shared.errors import Temporary
from shared.ports import BusMessage
from tests.aws.local_aws import KEYS, REGION
from tests.aws.sqs_stand_in import SqsServer
from tests.gcp.serving import served

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
