"""The Bus port over SQS: each topic is a queue, and each message of the bus a message of SQS.

Messages that are published at the same time share requests. sqs_messages.py has the form of a message.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Final

from shared import batching, errors, ports, settings
from shared.cloud.aws.client import TEMPORARY_ERRORS, AwsClient, AwsPlace, error_name, is_temporary_answer
from shared.cloud.aws.sqs_messages import MAX_DELAY_SECONDS, MAX_MESSAGE_BYTES, Entry, entry_of
from shared.cloud.retries import with_retries
from shared.jsontext import JsonObject, from_json, objects_at, texts_json
from shared.outgoing.http_client import Answer

SEND_SECONDS: Final = 2.0
MAX_ENTRIES: Final = 10
"""The number of messages that SQS accepts in one request."""
MAX_REQUEST_BYTES: Final = 262_144
"""The size of messages that share a request. SQS accepts 1 MiB, but several smaller requests are sent at once."""
MAX_REQUESTS: Final = 16
"""The number of requests for one topic that are sent at once."""
MAX_WAITING: Final = 2_000
"""The number of requests for one topic that may wait."""
CAUSES: Final[Mapping[str, str]] = {
    "AccessDenied": ": the function's role lacks sqs:SendMessage on it",
    "AccessDeniedException": ": the function's role lacks sqs:SendMessage on it",
    "KmsAccessDenied": ": the function's role lacks kms:GenerateDataKey on the key that encrypts it",
    "QueueDoesNotExist": ": the queue does not exist; a deployment creates it",
}


class SqsBus:
    """The bus. `queues` has the URL of the queue of each topic.

    `batches`: messages that are published at the same time share requests. False in a process where that never happens.
    """

    max_delay_seconds = float(MAX_DELAY_SECONDS)

    def __init__(self, place: AwsPlace, queues: Mapping[str, str], *, batches: bool = True) -> None:
        self._client = AwsClient(place, "sqs")
        self._queues = queues
        self._batches = batches
        self._topics: dict[str, batching.Batcher[Sequence[Entry], str | None]] = {}

    async def publish(self, topic: str, messages: Sequence[ports.BusMessage]) -> None:
        self._queue_url(topic)
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
                raise errors.Temporary("bus_unavailable", fault)

    def close(self) -> None:
        self._client.close()

    def _queue_url(self, topic: str) -> str:
        """Return the URL of the topic's queue. That of a tap is derived from another queue's URL. Raises Temporary."""
        if topic in self._queues:
            return self._queues[topic]
        if topic.startswith(f"{ports.TAP}-") and self._queues:
            other_topic, url = next(iter(self._queues.items()))
            return f"{url.removesuffix(other_topic)}{topic}"
        raise errors.Temporary(
            "bus_unavailable", f"no queue for topic {topic!r}: set {settings.QUEUE_VARIABLES.get(topic, topic)}"
        )

    def _batcher(self, topic: str) -> batching.Batcher[Sequence[Entry], str | None]:
        batcher = self._topics.get(topic)
        if batcher is None:

            async def call(groups: Sequence[Sequence[Entry]]) -> Sequence[str | None]:
                return await self._send_groups(topic, groups)

            batcher = batching.Batcher(
                call,
                max_batch=MAX_REQUESTS * MAX_ENTRIES,
                max_waiting=MAX_WAITING,
                weigh=_weight,
                max_weight=MAX_REQUESTS * MAX_REQUEST_BYTES,
            )
            self._topics[topic] = batcher
        return batcher

    async def _send_groups(self, topic: str, groups: Sequence[Sequence[Entry]]) -> Sequence[str | None]:
        """Send the groups. Return for each why SQS did not accept one of its messages; None if it accepted all."""
        requests = [*_requests([entry for group in groups for entry in group])]
        if len(requests) == 1:  # almost always
            answers = [await self._send(topic, requests[0])]
        else:
            answers = await asyncio.gather(*(self._send(topic, request) for request in requests))
        faults = chain.from_iterable(answers)  # one for each message of all groups, in their order
        first_faults: list[str | None] = []
        for group in groups:
            faults_of_group = list(islice(faults, len(group)))
            first_faults.append(next(filter(None, faults_of_group), None))
        return first_faults

    async def _send(self, topic: str, entries: Sequence[Entry]) -> list[str | None]:
        """Send one request, and send messages again that SQS could not accept for a moment.

        Return for each message why it was not accepted; None if it was.
        """
        faults = dict.fromkeys(range(len(entries)), "")

        async def send_rest() -> bool:
            nonlocal faults
            faults, is_passing = await self._send_once(topic, {number: entries[number] for number in faults})
            return is_passing

        await with_retries(send_rest, bool)
        return [faults.get(number) for number in range(len(entries))]

    async def _send_once(self, topic: str, entries: Mapping[int, Entry]) -> tuple[dict[int, str], bool]:
        """Send the messages. Return the faults of those that SQS did not accept, by their numbers, and whether it may
        accept one of them a moment later."""
        body: JsonObject = {
            "QueueUrl": self._queue_url(topic),
            "Entries": [entry.document(str(number)) for number, entry in entries.items()],
        }
        try:
            answer = await self._client.action(
                "AmazonSQS.SendMessageBatch", texts_json(body), SEND_SECONDS, may_repeat=True
            )
        except errors.Temporary as error:  # there are no credentials
            return dict.fromkeys(entries, error.detail), False
        except OSError as error:
            return dict.fromkeys(entries, f"SQS did not confirm: {type(error).__name__}"), False
        if answer.status != 200:
            return dict.fromkeys(entries, _fault(topic, answer.status, error_name(answer))), is_temporary_answer(answer)
        return _faults_in(topic, answer, entries)


def _others_run() -> bool:
    """Return whether another task may publish at the same time. On Lambda, most messages come alone."""
    return len(asyncio.all_tasks()) > 1


def _faults_in(topic: str, answer: Answer, entries: Mapping[int, Entry]) -> tuple[dict[int, str], bool]:
    """Return what `_send_once` returns, from SQS's answer. A message that it does not confirm was not accepted."""
    try:
        document = from_json(answer.body)
    except (ValueError, RecursionError):
        document = None
    confirmed_ids = {result.get("Id") for result in objects_at(document, "Successful")}
    missing = [number for number in entries if str(number) not in confirmed_ids]
    failed = {result.get("Id"): result for result in objects_at(document, "Failed")} if missing else {}
    faults: dict[int, str] = {}
    is_passing = False
    for number in missing:
        failure = failed.get(str(number), {})
        code = str(failure.get("Code", "no confirmation"))
        faults[number] = _fault(topic, answer.status, code)
        is_passing = is_passing or not failure.get("SenderFault") or code in TEMPORARY_ERRORS
    return faults, is_passing


def _fault(topic: str, status: int, code: str) -> str:
    return f"SQS answered {status} {code} to a send to the queue of {topic!r}{CAUSES.get(code, '')}"


def _fitting(entry: Entry) -> Entry:
    if entry.weight > MAX_MESSAGE_BYTES:
        rule = f"SQS takes messages of at most {MAX_MESSAGE_BYTES} bytes; got one of {entry.weight}"
        raise errors.Temporary("bus_unavailable", rule)
    return entry


def _requests(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield the messages of each request."""
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
    """Return the weight in bytes. A small message counts as a tenth of a request, which has at most MAX_ENTRIES."""
    return sum([max(entry.weight, MAX_REQUEST_BYTES // MAX_ENTRIES) for entry in group])
