"""Stored messages: what is in them, and how they are published again, many at a bounded rate."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Self, TextIO, TypeVar

from deploy.history.journal_view import DeadLetterRow
from deploy.terminal.output import PassingLine
from shared.delivery import delivery_from
from shared.errors import Permanent
from shared.journal import DeadLetter
from shared.jsontext import Json, JsonObject, from_json, to_json
from shared.ports import DELIVERIES, EVENTS, Blobs, BusMessage

REPLAYABLE: Final = (EVENTS, DELIVERIES)
DEFAULT_RATE: Final = 20.0
BATCH_SECONDS: Final = 0.1
QUIET_SECONDS: Final = 2.0

Item = TypeVar("Item")


def make_event_replay(document: JsonObject, replay_id: str, only: str | None = None, force: bool = False) -> BusMessage:
    """Return a message for the topic `events`.

    `only` names one destination; `force` also repeats finished deliveries, as a new generation.
    """
    attributes = _attributes(document, replay_id)
    if only:
        attributes["only"] = only
    if force:
        attributes["force"] = "true"
    return BusMessage(to_json(document).encode(), attributes)


def is_replayable(letter: DeadLetter) -> bool:
    return letter.topic in REPLAYABLE and _document(letter.message) is not None


def make_dead_letter_replay(letter: DeadLetter, replay_id: str) -> BusMessage:
    """Return a message for the letter's own topic. Raises Permanent for one that is not replayable."""
    document = _document(letter.message) if letter.topic in REPLAYABLE else None
    if document is None:
        raise Permanent("not_replayable", f"the dead letter {letter.id!r} has no message that can be replayed")
    attributes = _attributes(document, replay_id)
    if letter.topic == DELIVERIES:
        # The ledger has it as failed, which is finished: without force nothing would happen. An event is replayed
        # without force, because with it the routes that did not fail would deliver again.
        attributes["force"] = "true"
    return BusMessage(letter.message, attributes)


def _document(message: bytes) -> JsonObject | None:
    try:
        document: Json = json.loads(message)
    except (ValueError, RecursionError):
        return None
    is_ours = isinstance(document, dict) and all(isinstance(document.get(n), str) for n in ("id", "type", "source"))
    return document if isinstance(document, dict) and is_ours else None


def _attributes(document: JsonObject, replay_id: str) -> dict[str, str]:
    return {f"ce-{name}": str(document[name]) for name in ("id", "type", "source")} | {"replay": replay_id}


async def send_at_rate(
    items: Sequence[Item],
    rate: float,
    send: Callable[[Sequence[Item]], Awaitable[None]],
    report: Callable[[int], None],
) -> None:
    """Send the items in small batches, at most `rate` a second, and report how many are sent after each batch.

    Raises what `send` raises. A slow batch is not made up for, so the rate is never exceeded.
    """
    now = asyncio.get_running_loop().time
    size = max(1, int(rate * BATCH_SECONDS))
    for start in range(0, len(items), size):
        began, batch = now(), items[start : start + size]
        await send(batch)
        report(start + len(batch))
        if start + size < len(items):
            await asyncio.sleep(began + len(batch) / rate - now())


class Progress:
    """A line on a terminal that shows the progress of longer work, and is removed after it.

    Where the work ends early, by a fault or Ctrl-C, the line says how far it came.
    """

    def __init__(self, total: int, done_word: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.done = 0
        self._total = total
        self._word = done_word
        self._stream = stream
        self._line = PassingLine(stream)
        self._clock = clock
        self._began = clock()

    def tell(self, done: int) -> None:
        self.done = done
        elapsed = self._clock() - self._began
        if elapsed > QUIET_SECONDS:
            left = elapsed / done * (self._total - done)
            self._line.show(f"{done:,} of {self._total:,} {self._word}, about {left:.0f} s left")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._line.clear()
        if error is not None:
            self._stream.write(f"stopped: {self.done:,} of {self._total:,} {self._word}\n")
            self._stream.flush()


async def renew_blobs(messages: Iterable[bytes], blobs: Blobs) -> None:
    """Begin the age of the blobs again that these stored events or deliveries name. Raises Temporary."""
    for name in filter(None, dict.fromkeys(map(dataref_of, messages))):
        content = await blobs.get(name)
        if content is not None:
            await blobs.put(name, content)


def merged_count(message: bytes) -> int:
    """Return how many deliveries the one in the message stands for: 0 for one that is no digest and no burst."""
    if b'"merged"' not in message:
        return 0
    try:
        return delivery_from(from_json(message)).merged
    except (Permanent, ValueError, RecursionError):
        return 0


def as_dead_letter(row: DeadLetterRow) -> DeadLetter:
    return DeadLetter(
        row.id, row.code, row.reason, row.at, row.message, row.topic, row.event_id, row.route, row.destination
    )


def event_in(message: Json) -> JsonObject | None:
    """Return the event that a delivery carries, or the message itself if it is an event; None if it is no object."""
    if not isinstance(message, dict):
        return None
    data = message.get("data")
    event = data.get("event") if isinstance(data, dict) and "route" in data and "destination" in data else None
    return event if isinstance(event, dict) else message


def event_of_message(message: bytes) -> JsonObject | None:
    """Return the event in a stored message, as `event_in`; None if it does not parse."""
    return event_in(_message(message))


def dataref_of(message: bytes) -> str | None:
    """Return the name of the blob with the data of the event in a stored message; None if the message has it."""
    event = event_of_message(message) if b'"dataref"' in message else None
    name = event.get("dataref") if event else None
    return name if isinstance(name, str) else None


def _message(message: bytes) -> Json:
    """Return the message as JSON where it parses, else as text."""
    try:
        document: Json = json.loads(message)
    except (ValueError, RecursionError):
        return message.decode("utf-8", errors="replace")
    return document
