"""Batches of messages that Lambda reads from an SQS queue, and the answer that says which of them must come again.

The messages of a batch are handled at the same time, and the outcome of one message does not affect the others.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessageBatch.html
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from shared import batching, errors, logs, outcomes
from shared.cloud.aws import client, invocations, sqs_messages
from shared.jsontext import Json, JsonObject, from_json, mapping_at, objects_at, texts_json
from shared.push import Push

MAX_RECEIVES: Final = 100
"""After it was received so often, SQS moves a message to the queue of undelivered messages. A deployment sets it as
`maxReceiveCount`."""
MIN_WAIT_SECONDS: Final = 10
MAX_WAIT_SECONDS: Final = 600
"""The waits before a message comes again, as on Pub/Sub. With MAX_RECEIVES, messages outlast an outage of about 16
hours."""
SUSPECT_RECEIVES: Final = 3
"""A message that is received for the third time may be one that ends the process, and so the other messages' work."""
CANCEL_SECONDS: Final = 0.25
"""The time that cancelled messages have to end."""
_UNAVAILABLE: Final[outcomes.RequestOutcome] = "unavailable"

Take = Callable[[Push], Awaitable[bool]]
"""Handles a message. Returns False if it must come again."""


class MessageQueues(Protocol):
    """The calls to SQS, with the queue's ARN and the messages' receipt handles. They raise nothing."""

    async def postpone(self, arn: str, messages: Sequence[tuple[str, int]]) -> None: ...

    async def delete(self, arn: str, handles: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A message that Lambda read from a queue. `receives` is how often it was received, including this time."""

    message_id: str
    receipt_handle: str
    receives: int
    push: Push


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of one invocation, all from one queue."""

    queue_arn: str
    records: tuple[Record, ...]


def wait_seconds(receives: int) -> int:
    """Return how long a message waits before it comes again, after it was received `receives` times. It doubles."""
    return min(MAX_WAIT_SECONDS, MIN_WAIT_SECONDS << min(receives - 1, 6))


def batch_of(event: JsonObject) -> Batch:
    """Return the batch. Raises ValueError for an event of another kind."""
    records = objects_at(event, "Records")
    if not records:
        raise ValueError("Records: is missing; this function takes the messages of its queue")
    return Batch(_text(records[0], "eventSourceARN"), tuple([_record(each) for each in records]))


def _record(written: JsonObject) -> Record:
    count = _text(mapping_at(written, "attributes"), "ApproximateReceiveCount")
    try:
        push = sqs_messages.message_of(written)
    except errors.Permanent:  # Hookchain did not write it. With this data, it becomes a dead letter
        push = Push(_text(written, "body").encode("utf-8", "replace"), message_id=_text(written, "messageId"))
    receives = int(count) if count.isascii() and count.isdigit() and len(count) < 9 else 1
    return Record(_text(written, "messageId"), _text(written, "receiptHandle"), max(1, receives), push)


def _text(values: JsonObject, name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


async def take_batch(function: str, batch: Batch, take: Take, queues: MessageQueues, deadline: float) -> JsonObject:
    """Handle the messages until `deadline`, a time of the event loop. Postpone those that must come again, and return
    the answer for Lambda, which names them.

    A message that was received several times is handled alone, after the others were handled and deleted. So if it ends
    the process, the others need not come again. The order of such messages is random, so that each one is first at
    times.
    """
    groups = _groups(batch.records)
    done: set[Record] = set()
    for group in groups:
        just_done = await _take_together(function, group, take, deadline)
        if just_done and group is not groups[-1]:  # Lambda deletes those of the last group after the answer
            await queues.delete(batch.queue_arn, [record.receipt_handle for record in just_done])
        done |= just_done
    again = [record for record in batch.records if record not in done]
    if again:
        waits = [(record.receipt_handle, wait_seconds(record.receives)) for record in again]
        await queues.postpone(batch.queue_arn, waits)
    return {"batchItemFailures": [{"itemIdentifier": record.message_id} for record in again]}


def _groups(records: Sequence[Record]) -> list[Sequence[Record]]:
    """Return the records that are handled together, and then each suspect in a group of its own."""
    suspects = [record for record in records if record.receives >= SUSPECT_RECEIVES]
    random.shuffle(suspects)
    fresh = [record for record in records if record.receives < SUSPECT_RECEIVES]
    return [group for group in (fresh, *([suspect] for suspect in suspects)) if group]


async def _take_together(function: str, records: Sequence[Record], take: Take, deadline: float) -> set[Record]:
    """Handle the records at the same time. Return those that are done by the deadline, and cancel the others."""
    left_seconds = deadline - asyncio.get_running_loop().time()
    if left_seconds <= 0:  # it is better not to begin than to cancel: then nothing is half done
        _log_late(function, len(records))
        return set()
    if len(records) == 1:  # almost always; it needs no task of its own
        try:
            return {*records} if await invocations.in_time(_take_one(function, records[0], take), deadline) else set()
        except errors.Temporary:
            _log_late(function, 1)
            return set()
    tasks = {asyncio.create_task(_take_one(function, record, take)): record for record in records}
    _, late = await asyncio.wait(tasks, timeout=left_seconds)
    if late:
        for task in late:
            task.cancel()
        await asyncio.wait(late, timeout=CANCEL_SECONDS)
        _log_late(function, len(late))
    return {record for task, record in tasks.items() if task.done() and not task.cancelled() and task.result()}


async def _take_one(function: str, record: Record, take: Take) -> bool:
    try:
        return await take(record.push)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # also SystemExit: only this message must come again
        _log_unavailable(function, "internal_error", errors.place_of(error), 1)
        return False


def _log_late(function: str, count: int) -> None:
    error = invocations.too_late()
    _log_unavailable(function, error.code, error.detail, count)


def _log_unavailable(function: str, code: errors.TemporaryCode, detail: str, count: int) -> None:
    logs.log("ERROR", _UNAVAILABLE, function=function, outcome=_UNAVAILABLE, code=code, detail=detail, count=count)


CALL_SECONDS: Final = 1.0
MAX_ENTRIES: Final = 10
"""The number of messages that SQS accepts in one request."""


def queue_name(arn: str) -> str:
    return arn.rpartition(":")[2]


class Queues:
    """The calls to SQS about the messages of a batch. A call that fails is logged, and only costs time.

    A message that could not be postponed comes again after the queue's visibility timeout. A message that could not be
    deleted comes again, and is recognised as done.
    """

    def __init__(self, place: client.AwsPlace) -> None:
        self._client = client.AwsClient(place, "sqs")
        self._base_url = place.endpoint or f"https://sqs.{place.region}.amazonaws.com"

    async def postpone(self, arn: str, messages: Sequence[tuple[str, int]]) -> None:
        """Let SQS deliver each message again after the seconds given for its receipt handle."""
        entries: list[JsonObject] = [
            {"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle, seconds in messages
        ]
        await self._call("ChangeMessageVisibilityBatch", arn, entries)

    async def delete(self, arn: str, handles: Sequence[str]) -> None:
        await self._call("DeleteMessageBatch", arn, [{"ReceiptHandle": handle} for handle in handles])

    def close(self) -> None:
        self._client.close()

    async def _call(self, action: str, arn: str, entries: Sequence[JsonObject]) -> None:
        account = arn.split(":")[4]
        url = f"{self._base_url}/{account}/{queue_name(arn)}"
        for batch in batching.batches(entries, MAX_ENTRIES):
            numbered: list[Json] = [{"Id": str(number), **entry} for number, entry in enumerate(batch)]
            body = texts_json({"QueueUrl": url, "Entries": numbered})
            if fault := await self._fault(f"AmazonSQS.{action}", body):
                logs.log(
                    "WARNING", "queue call failed", topic=queue_name(arn), count=len(batch), detail=f"{action}: {fault}"
                )

    async def _fault(self, target: str, body: bytes) -> str:
        """Make the call. Return why it failed, without any text of a message; an empty text if it succeeded."""
        try:
            answer = await self._client.action(target, body, CALL_SECONDS, may_repeat=True)
        except OSError as error:
            return f"SQS did not answer: {type(error).__name__}"
        except errors.Temporary as error:
            return error.detail
        if answer.status != 200:
            return f"SQS answered {answer.status} {client.error_name(answer)}".rstrip()
        try:
            document = from_json(answer.body)
        except ValueError:
            return "SQS did not answer with JSON"
        codes = {str(each.get("Code")) for each in objects_at(document, "Failed")}
        return f"SQS did not do it for all: {', '.join(sorted(codes))}" if codes else ""
