"""The Bus port over SQS: a queue for each topic.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from types import MappingProxyType
from typing import Final

from shared.batching import Batcher
from shared.cloud.aws.client import PASSING_ERRORS, AwsClient, AwsPlace, error_name, is_passing_answer
from shared.cloud.aws.queue_messages import MAX_DELAY_SECONDS, MAX_MESSAGE_BYTES, Entry, entry_of
from shared.cloud.retries import with_retries
from shared.errors import Temporary
from shared.http_client import Answer
from shared.jsontext import Json, JsonObject, from_json, texts_json
from shared.ports import BusMessage
from shared.settings import QUEUE_VARIABLES

SEND_SECONDS: Final = 2.0
MAX_ENTRIES: Final = 10
"""SQS takes as many messages in one request."""
MAX_REQUEST_BYTES: Final = 262_144
"""Of messages that share a request. SQS takes 1 MiB, and requests are sent side by side."""
MAX_REQUESTS: Final = 16
"""For each topic, as many are in flight."""
MAX_WAITING: Final = 2_000
WHY: Final[Mapping[str, str]] = MappingProxyType(
    {
        "AccessDenied": ": the function's role lacks sqs:SendMessage on it",
        "AccessDeniedException": ": the function's role lacks sqs:SendMessage on it",
        "KmsAccessDenied": ": the function's role lacks kms:GenerateDataKey on the key that encrypts it",
        "QueueDoesNotExist": ": the queue does not exist; a deployment creates it",
    }
)


class SqsBus:
    """`queues` is the URL of each topic's queue. `batches` is False where nobody publishes while another one does."""

    max_delay_seconds = float(MAX_DELAY_SECONDS)

    def __init__(self, place: AwsPlace, queues: Mapping[str, str], *, batches: bool = True) -> None:
        self._client = AwsClient(place, "sqs")
        self._queues = queues
        self._batches = batches
        self._topics: dict[str, Batcher[Sequence[Entry], str | None]] = {}

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        if topic not in self._queues:
            raise Temporary("bus_unavailable", f"no queue for topic {topic!r}: set {QUEUE_VARIABLES[topic]}")
        requests = [*_requests([_fitting(entry_of(message)) for message in messages])]
        batcher = self._batcher(topic)
        if len(requests) != 1:
            faults = await asyncio.gather(*(batcher.submit(request) for request in requests))
        elif self._batches and (batcher.is_busy or _others_run()):
            faults = [await batcher.submit(requests[0])]
        else:
            faults = await self._send(topic, requests[0])
        for fault in faults:
            if fault is not None:
                raise Temporary("bus_unavailable", fault)

    def close(self) -> None:
        self._client.close()

    def _batcher(self, topic: str) -> Batcher[Sequence[Entry], str | None]:
        batcher = self._topics.get(topic)
        if batcher is None:

            async def call(groups: Sequence[Sequence[Entry]]) -> Sequence[str | None]:
                return await self._send_groups(topic, groups)

            batcher = Batcher(
                call,
                max_batch=MAX_REQUESTS * MAX_ENTRIES,
                max_waiting=MAX_WAITING,
                weigh=_weight,
                max_weight=MAX_REQUESTS * MAX_REQUEST_BYTES,
            )
            self._topics[topic] = batcher
        return batcher

    async def _send_groups(self, topic: str, groups: Sequence[Sequence[Entry]]) -> Sequence[str | None]:
        """Return for each group why SQS did not take one of its messages; None if it took all."""
        requests = [*_requests([entry for group in groups for entry in group])]
        if len(requests) == 1:  # as good as always
            answers = [await self._send(topic, requests[0])]
        else:
            answers = await asyncio.gather(*(self._send(topic, request) for request in requests))
        faults = chain.from_iterable(answers)
        return [next(filter(None, list(islice(faults, len(group)))), None) for group in groups]

    async def _send(self, topic: str, entries: Sequence[Entry]) -> list[str | None]:
        """Send one request, and again what SQS did not take for a moment. Return the fault of each message."""
        faults = dict.fromkeys(range(len(entries)), "")

        async def send_rest() -> bool:
            nonlocal faults
            faults, is_passing = await self._send_once(topic, {number: entries[number] for number in faults})
            return is_passing

        await with_retries(send_rest, bool)
        return [faults.get(number) for number in range(len(entries))]

    async def _send_once(self, topic: str, entries: Mapping[int, Entry]) -> tuple[dict[int, str], bool]:
        """Return the faults of the messages that SQS did not take, and whether it may take one a moment later."""
        body: JsonObject = {
            "QueueUrl": self._queues[topic],
            "Entries": [entry.document(str(number)) for number, entry in entries.items()],
        }
        try:
            answer = await self._client.action(
                "AmazonSQS.SendMessageBatch", texts_json(body), SEND_SECONDS, may_repeat=True
            )
        except Temporary as error:  # there are no credentials
            return dict.fromkeys(entries, error.detail), False
        except OSError as error:
            return dict.fromkeys(entries, f"SQS did not confirm: {type(error).__name__}"), False
        if answer.status != 200:
            return dict.fromkeys(entries, _fault(topic, answer.status, error_name(answer))), is_passing_answer(answer)
        return _faults_in(topic, answer, entries)


def _others_run() -> bool:
    """Return whether another task may publish meanwhile. On Lambda, a message mostly comes alone."""
    return len(asyncio.all_tasks()) > 1


def _faults_in(topic: str, answer: Answer, entries: Mapping[int, Entry]) -> tuple[dict[int, str], bool]:
    """Read an answer about each message: one that it does not confirm was not taken."""
    try:
        document = from_json(answer.body)
    except (ValueError, RecursionError):
        document = None
    confirmed_ids = {result.get("Id") for result in _results(document, "Successful")}
    missing = [number for number in entries if str(number) not in confirmed_ids]
    failed = {result.get("Id"): result for result in _results(document, "Failed")} if missing else {}
    faults: dict[int, str] = {}
    is_passing = False
    for number in missing:
        failure = failed.get(str(number), {})
        code = str(failure.get("Code", "no confirmation"))
        faults[number] = _fault(topic, answer.status, code)
        is_passing = is_passing or not failure.get("SenderFault") or code in PASSING_ERRORS
    return faults, is_passing


def _results(document: Json, name: str) -> list[JsonObject]:
    results = document.get(name) if isinstance(document, dict) else None
    return [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []


def _fault(topic: str, status: int, code: str) -> str:
    return f"SQS answered {status} {code} to a send to the queue of {topic!r}{WHY.get(code, '')}"


def _fitting(entry: Entry) -> Entry:
    if entry.weight > MAX_MESSAGE_BYTES:
        rule = f"SQS takes messages of at most {MAX_MESSAGE_BYTES} bytes; got one of {entry.weight}"
        raise Temporary("bus_unavailable", rule)
    return entry


def _requests(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield the messages of one request after another."""
    request: list[Entry] = []
    weight = 0
    for entry in entries:
        weight += entry.weight
        if request and (len(request) == MAX_ENTRIES or weight > MAX_REQUEST_BYTES):
            yield request
            request, weight = [], entry.weight
        request.append(entry)
    if request:
        yield request


def _weight(group: Sequence[Entry]) -> int:
    """Return the weight in bytes; a small message weighs as much as lets MAX_ENTRIES of them into a request."""
    return sum([max(entry.weight, MAX_REQUEST_BYTES // MAX_ENTRIES) for entry in group])
