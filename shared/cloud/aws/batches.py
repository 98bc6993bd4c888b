"""Batches of messages that Lambda reads from a queue of SQS, and the answer that says which of them are to come again.

The messages of a batch are taken at the same time, and the outcome of one message does not affect another.
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
from shared.cloud.aws import client, invocations, sqs
from shared.jsontext import Json, JsonObject, from_json, mapping_at, objects_at, texts_json
from shared.push import Push

MAX_RECEIVES: Final = 100
"""After so many, SQS moves a message to the queue of what is undelivered: the `maxReceiveCount` of a deployment."""
MIN_WAIT_SECONDS: Final = 10
MAX_WAIT_SECONDS: Final = 600
"""As Pub/Sub waits: together with MAX_RECEIVES, an outage of our own parts may take about 16 hours."""
SUSPECT_RECEIVES: Final = 3
"""A message that is received for the third time may be one that ends the process, and its batch with it."""
CANCEL_SECONDS: Final = 0.25
_UNAVAILABLE: Final[outcomes.RequestOutcome] = "unavailable"

Take = Callable[[Push], Awaitable[bool]]
"""Takes a message, and returns False if it is to come again."""


class MessageQueues(Protocol):
    """The calls to SQS, by the queue's ARN and the messages' receipt handles. None of them raises."""

    async def postpone(self, arn: str, messages: Sequence[tuple[str, int]]) -> None: ...

    async def delete(self, arn: str, handles: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A message as Lambda reads it. `receives` counts how often it was received, this time included."""

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
    """Return how long a message that was received so often waits for its next try."""
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
        push = sqs.message_of(written)
    except errors.Permanent:  # not written by us: it becomes a dead letter with its text
        push = Push(_text(written, "body").encode("utf-8", "replace"), message_id=_text(written, "messageId"))
    receives = int(count) if count.isascii() and count.isdigit() and len(count) < 9 else 1
    return Record(_text(written, "messageId"), _text(written, "receiptHandle"), max(1, receives), push)


def _text(values: JsonObject, name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


async def take_batch(function: str, batch: Batch, take: Take, queues: MessageQueues, deadline: float) -> JsonObject:
    """Take the messages by a time of the loop, postpone those to come again, and return Lambda's answer about them.

    A message that was received several times is taken alone, in no fixed order, once those that are done are deleted:
    if it ends the process, it does not keep the others of its batch from ever being done.
    """
    groups = [batch.records] if len(batch.records) == 1 else _groups(batch.records)
    done: set[Record] = set()
    for left, group in zip(range(len(groups) - 1, -1, -1), groups, strict=True):
        just_done = await _take_together(function, group, take, deadline)
        if left and just_done:
            await queues.delete(batch.queue_arn, [record.receipt_handle for record in just_done])
        done |= just_done
    again = [record for record in batch.records if record not in done]
    if again:
        waits = [(record.receipt_handle, wait_seconds(record.receives)) for record in again]
        await queues.postpone(batch.queue_arn, waits)
    return {"batchItemFailures": [{"itemIdentifier": record.message_id} for record in again]}


def _groups(records: Sequence[Record]) -> list[Sequence[Record]]:
    """Return the records that are taken together, and then each of the suspects."""
    suspects = [record for record in records if record.receives >= SUSPECT_RECEIVES]
    random.shuffle(suspects)
    fresh = [record for record in records if record.receives < SUSPECT_RECEIVES]
    return [group for group in (fresh, *([suspect] for suspect in suspects)) if group]


async def _take_together(function: str, records: Sequence[Record], take: Take, deadline: float) -> set[Record]:
    """Return those that are done by the deadline. The others are cancelled."""
    left_seconds = deadline - asyncio.get_running_loop().time()
    if left_seconds <= 0:  # a message that was not begun has no half-done effect
        _log_late(function, len(records))
        return set()
    if len(records) == 1:  # as good as always, and in no task of its own
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
    except BaseException as error:  # whatever it is, also SystemExit: it is this message's alone
        _log_unavailable(function, "internal_error", errors.place_of(error), 1)
        return False


def _log_late(function: str, count: int) -> None:
    error = invocations.too_late()
    _log_unavailable(function, error.code, error.detail, count)


def _log_unavailable(function: str, code: errors.TemporaryCode, detail: str, count: int) -> None:
    logs.log("ERROR", _UNAVAILABLE, function=function, outcome=_UNAVAILABLE, code=code, detail=detail, count=count)


CALL_SECONDS: Final = 1.0
MAX_ENTRIES: Final = 10
"""SQS takes as many messages in one request."""


def queue_name(arn: str) -> str:
    return arn.rpartition(":")[2]


class Queues:
    """The queues by their ARN. No call raises: one that fails is logged, and costs time alone.

    What could not be postponed comes again after the queue's own visibility timeout. What could not be deleted comes
    again, and is recognized.
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
        """Return what went wrong, without any text of a message; empty if nothing did."""
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
