"""Lambda's part between a queue and a function: receive batches, invoke the function, and delete the messages that are
done.

While a message is being handled, SQS hides it from other receivers for the visibility timeout. If an invocation fails,
its messages are received again after at most 60 s (backoff_seconds), so that a person who has fixed the function does
not wait for that timeout. A message that the handler has postponed is received again at the time that it has set. SQS
moves a message that was received too often to the queue's dead-letter queue.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from deploy.dev.aws import environments, stack
from deploy.dev.faults import FaultPlan
from shared.cloud.aws.client import AwsClient, AwsPlace, error_name
from shared.jsontext import Json, JsonObject, from_json, mapping_at, objects_at, texts_json, value_at
from shared.logs import log

BATCH_SIZE: Final = 10
WAIT_SECONDS: Final = 1
"""How long SQS waits for a message. It is short, because a poller that ends waits for its last receive: without a
receiver, the messages of this receive would stay hidden until the end of the visibility timeout."""
CALL_SECONDS: Final = 10.0
PAUSE_SECONDS: Final = 0.5
"""The pause after SQS did not answer."""
END_SECONDS: Final = 2.0
"""How long a running invocation may continue after the poller is cancelled."""
MAX_DETAIL: Final = 500
"""The most characters of an error in a log line."""
MIN_BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 60

Invoke = Callable[[bytes], Awaitable[bytes]]
"""Takes an event and returns the handler's result. Raises InvocationFailed."""


class QueueFault(Exception):
    """SQS rejected a call."""


@dataclass(slots=True)
class Poller:
    """A poller of one queue. `function` is for its log lines; `arn` is the queue's, `url` its URL."""

    function: str
    invoke: Invoke
    place: AwsPlace
    url: str
    arn: str
    faults: FaultPlan = field(default_factory=FaultPlan)
    _sqs: AwsClient = field(init=False)
    _polling: "asyncio.Task[int] | None" = None
    _copies: "set[asyncio.Task[None]]" = field(default_factory=set)
    _is_ending: bool = False

    def __post_init__(self) -> None:
        self._sqs = AwsClient(self.place, "sqs")

    async def run(self) -> None:
        """Poll until cancelled. An invocation that is not done END_SECONDS later is repeated at the next start."""
        try:
            while True:
                self._polling = asyncio.create_task(self.poll())
                try:
                    await asyncio.shield(self._polling)
                except (QueueFault, OSError):  # the local AWS is starting or stopping, and says so itself
                    await asyncio.sleep(PAUSE_SECONDS)
        finally:
            self._is_ending = True
            if self._polling:
                await asyncio.wait([self._polling], timeout=END_SECONDS)
                self._polling.cancel()
                await asyncio.gather(self._polling, return_exceptions=True)
            for copy in self._copies:
                copy.cancel()
            await asyncio.gather(*self._copies, return_exceptions=True)
            self._sqs.close()

    async def poll(self, wait_seconds: int = WAIT_SECONDS) -> int:
        """Receive one batch, handle it, and return its number of messages. Raises QueueFault and OSError."""
        messages = await self._receive(wait_seconds)
        if self._is_ending:
            await self._postpone(dict.fromkeys([_text(each, "ReceiptHandle") for each in messages], 0))
            return len(messages)
        not_delayed = await self._apply_faults(messages)
        if not_delayed:
            await self._handle(not_delayed)
        return len(messages)

    async def _apply_faults(self, messages: Sequence[JsonObject]) -> Sequence[JsonObject]:
        """Delay and duplicate messages as the faults on demand require, and return the messages to be handled now."""
        late: dict[str, int] = {}
        for message in messages:
            arrival = self.faults.arrival()
            if arrival.copy_after_seconds is not None:
                copy = asyncio.create_task(self._hand_over_copy(message, arrival.copy_after_seconds))
                self._copies.add(copy)
                copy.add_done_callback(self._copies.discard)
            if arrival.delay_seconds:
                late[_text(message, "ReceiptHandle")] = math.ceil(arrival.delay_seconds)
        await self._postpone(late)
        return [each for each in messages if _text(each, "ReceiptHandle") not in late]

    async def _hand_over_copy(self, message: JsonObject, after_seconds: float) -> None:
        """Invoke the function with the message alone. The result of a copy has no effect on the message."""
        await asyncio.sleep(after_seconds)
        with contextlib.suppress(environments.InvocationFailed):
            await self.invoke(texts_json({"Records": [record_of(message, self.arn, self.place.region)]}))

    async def _handle(self, messages: Sequence[JsonObject]) -> None:
        """Invoke the function, and delete the messages that it has handled. Raises QueueFault and OSError."""
        handle_by_id = {_text(each, "MessageId"): _text(each, "ReceiptHandle") for each in messages}
        records: list[Json] = [record_of(each, self.arn, self.place.region) for each in messages]
        prolonging = asyncio.create_task(self._prolong(handle_by_id.values()))
        try:
            failed_ids = failed_items(await self.invoke(texts_json({"Records": records})), handle_by_id)
        except (environments.InvocationFailed, ValueError) as error:
            detail = str(error)[:MAX_DETAIL]
            log("ERROR", "invocation failed", function=self.function, count=len(messages), detail=detail)
            await self._postpone(
                {_text(each, "ReceiptHandle"): backoff_seconds(receives_of(each)) for each in messages}
            )
        except asyncio.CancelledError:
            with contextlib.suppress(QueueFault, OSError):
                await self._postpone(dict.fromkeys(handle_by_id.values(), 0))
            raise
        else:
            done = [handle for message_id, handle in handle_by_id.items() if message_id not in failed_ids]
            # The fault `nack`: an acknowledgement is lost, so the message is received again, here after 1 s.
            undeleted = dict.fromkeys([each for each in done if self.faults.happens(self.faults.faults.nack)], 1)
            await self._batch("DeleteMessageBatch", [{"ReceiptHandle": each} for each in done if each not in undeleted])
            await self._postpone(undeleted)
        finally:
            prolonging.cancel()

    async def _prolong(self, handles: Collection[str]) -> None:
        """Keep the messages hidden from other receivers until cancelled, also while they wait for an environment."""
        while True:
            await asyncio.sleep(stack.VISIBILITY_SECONDS / 3)
            with contextlib.suppress(QueueFault, OSError):
                await self._postpone(dict.fromkeys(handles, stack.VISIBILITY_SECONDS))

    async def _receive(self, wait_seconds: int) -> list[JsonObject]:
        document = await self._call(
            "ReceiveMessage",
            {
                "MaxNumberOfMessages": BATCH_SIZE,
                "WaitTimeSeconds": wait_seconds,
                "AttributeNames": ["All"],
                "MessageAttributeNames": ["All"],
            },
            wait_seconds,
        )
        return objects_at(document, "Messages")

    async def _postpone(self, waits: Mapping[str, int]) -> None:
        """Let SQS deliver messages again after a time. `waits` has the seconds by receipt handle."""
        entries: list[JsonObject] = [
            {"ReceiptHandle": handle, "VisibilityTimeout": seconds} for handle, seconds in waits.items()
        ]
        await self._batch("ChangeMessageVisibilityBatch", entries)

    async def _batch(self, action: str, entries: Sequence[JsonObject]) -> None:
        if entries:
            await self._call(action, {"Entries": [{"Id": str(n), **entry} for n, entry in enumerate(entries)]})

    async def _call(self, action: str, arguments: JsonObject, wait_seconds: int = 0) -> JsonObject:
        body = texts_json({"QueueUrl": self.url, **arguments})
        answer = await self._sqs.action(f"AmazonSQS.{action}", body, CALL_SECONDS + wait_seconds, may_repeat=True)
        if answer.status != 200:
            raise QueueFault(f"SQS answered {answer.status} {error_name(answer)}")
        return mapping_at(from_json(answer.body)) if answer.body else {}


def record_of(message: JsonObject, arn: str, region: str) -> JsonObject:
    """Return the record in a function's event for a message, as received from SQS."""
    attributes = message.get("MessageAttributes")
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value.get("DataType"),
            }
            for name, value in (attributes.items() if isinstance(attributes, dict) else ())
            if isinstance(value, dict)
        },
        "md5OfBody": message.get("MD5OfBody", ""),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": region,
    }


def failed_items(result: bytes, message_ids: Collection[str]) -> set[str]:
    """Return the ids in the handler's result, such as `{"batchItemFailures": [{"itemIdentifier": "…"}]}`.

    Raises ValueError for another form or an unknown id. Lambda then treats the whole batch as failed.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
    """
    items = value_at(from_json(result), "batchItemFailures")
    if items is None:
        return set()
    if not isinstance(items, list):
        raise ValueError("batchItemFailures: must be a list")
    failed_ids: set[str] = set()
    for item in items:
        message_id = value_at(item, "itemIdentifier")
        if not isinstance(message_id, str) or message_id not in message_ids:
            raise ValueError("batchItemFailures: must name messages of the batch")
        failed_ids.add(message_id)
    return failed_ids


def receives_of(message: JsonObject) -> int:
    count = value_at(message, "Attributes", "ApproximateReceiveCount")
    return int(count) if isinstance(count, str) and count.isdecimal() else 1


def backoff_seconds(receives: int) -> int:
    """Return the wait after a failure, in whole seconds as SQS requires: 0, 1, 2, 4 … 32, then MAX_BACKOFF_SECONDS."""
    return int(min(MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS * 2.0 ** (min(receives, 10) - 1)))


def _text(values: JsonObject, name: str) -> str:
    return str(values[name])
