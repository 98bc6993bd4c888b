"""A cloud's journal as its readers see it: synchronous, over ports on an event loop of its own."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Final, Literal, Protocol, TypeVar

from deploy.history.journal_view import (
    Bucket,
    DeadLetterRow,
    EventPage,
    EventQuery,
    EventRecord,
    RequestRow,
    Totals,
)

COUNTED_EVENTS: Final = 200
"""The statuses of this many of the newest events are counted: counting all would read all."""

Result = TypeVar("Result")


class Port(Protocol):
    def close(self) -> None: ...


AnyPort = TypeVar("AnyPort", bound=Port)


@asynccontextmanager
async def closing(port: AnyPort) -> AsyncIterator[AnyPort]:
    try:
        yield port
    finally:
        port.close()
        await asyncio.sleep(0)  # lets its connections close


class Letters(Protocol):
    """The dead letters of a cloud's journal. Each method does as JournalView's of about the same name."""

    async def newest(self, limit: int, state: str | None, before: int | None) -> tuple[DeadLetterRow, ...]: ...

    async def one(self, dead_letter_id: str) -> DeadLetterRow | None: ...

    async def letters_of_event(self, event_id: str) -> tuple[DeadLetterRow, ...]: ...

    async def mark(self, ids: Sequence[str], state: str) -> int: ...

    async def kept(self) -> int: ...

    async def erase(self, event_id: str) -> None: ...


class Events(Protocol):
    """The events of a cloud's journal. Each method does as JournalView's of the same name."""

    @property
    def letters(self) -> Letters: ...

    async def version(self) -> int: ...

    async def events(self, query: EventQuery) -> EventPage: ...

    async def event(self, event_id: str) -> EventRecord | None: ...

    async def ids_beginning(self, kind: Literal["events", "dead_letters"], start: str, limit: int) -> list[str]: ...

    async def with_document(self, event_ids: Sequence[str]) -> frozenset[str]: ...

    async def stored_document(self, event_id: str) -> str | None: ...

    async def series(self, now: float, span_seconds: float, count: int) -> tuple[Bucket, ...]: ...

    async def counts(self, newest_events: int) -> dict[str, int]: ...

    async def erase(self, event_id: str) -> None: ...


class _LoopThread:
    """An event loop in a thread of its own, for callers that are not asynchronous or run on another loop.

    `before` is done once, before the first work.
    """

    def __init__(self, before: Callable[[], Awaitable[None]] | None) -> None:
        self.before = before
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cloud", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[None, None, Result]) -> Result:
        """Wait for the result. Raises what `work` raises."""
        return asyncio.run_coroutine_threadsafe(self._after_first(work), self._loop).result()

    async def _after_first(self, work: Coroutine[None, None, Result]) -> Result:
        with contextlib.closing(work):  # nobody awaits it if what comes before fails
            if self.before is not None:
                await self.before()
                self.before = None
            return await work

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class CloudJournal:
    """A JournalView. `ports` are what `events` reads, used here only: their connections belong to its event loop.

    `before` is done once, before the first call.
    """

    def __init__(
        self, events: Events, ports: Sequence[Port], before: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._thread = _LoopThread(before)
        self._reader = events
        self._ports = ports

    def version(self) -> int:
        return self._thread.run(self._reader.version())

    def index(self) -> int:
        return 0

    def events(self, query: EventQuery) -> EventPage:
        return self._thread.run(self._reader.events(query))

    def event(self, event_id: str) -> EventRecord | None:
        return self._thread.run(self._reader.event(event_id))

    def rejected(self, limit: int, before: int | None = None) -> tuple[RequestRow, ...]:  # noqa: ARG002 the protocol's
        return ()

    def dead_letters(
        self, limit: int, *, state: str | None = "kept", before: int | None = None
    ) -> tuple[DeadLetterRow, ...]:
        return self._thread.run(self._reader.letters.newest(limit, state, before))

    def dead_letter(self, dead_letter_id: str) -> DeadLetterRow | None:
        return self._thread.run(self._reader.letters.one(dead_letter_id))

    def letters_of_event(self, event_id: str) -> tuple[DeadLetterRow, ...]:
        return self._thread.run(self._reader.letters.letters_of_event(event_id))

    def mark_dead_letters(self, ids: Sequence[str], state: str) -> int:
        return self._thread.run(self._reader.letters.mark(ids, state))

    def ids_beginning(self, kind: Literal["events", "dead_letters"], beginning: str, limit: int) -> list[str]:
        return self._thread.run(self._reader.ids_beginning(kind, beginning, limit))

    def with_document(self, event_ids: Sequence[str]) -> frozenset[str]:
        return self._thread.run(self._reader.with_document(event_ids))

    def stored_document(self, event_id: str) -> str | None:
        return self._thread.run(self._reader.stored_document(event_id))

    def series(self, now: float, span_seconds: float, count: int) -> tuple[Bucket, ...]:
        return self._thread.run(self._reader.series(now, span_seconds, count))

    def counts(self) -> dict[str, int]:
        return self._thread.run(self._reader.counts(COUNTED_EVENTS))

    def totals(self) -> Totals:
        """Rejected requests are in receive's log only, so none are counted."""
        return Totals(0, self._thread.run(self._reader.letters.kept()))

    def erase(self, event_ids: Sequence[str]) -> None:
        self._thread.run(self._erase(event_ids))

    def count_answers(self, deliveries: Sequence[tuple[str, str]]) -> int:  # noqa: ARG002 the protocol's
        """Count none: the ledger has all attempts."""
        return 0

    def erase_answers(self, deliveries: Sequence[tuple[str, str]]) -> None:
        """Erase nothing: the ledger has all attempts."""

    async def _erase(self, event_ids: Sequence[str]) -> None:
        """Erase one after the other: what is done stays done where a later one fails."""
        for event_id in event_ids:
            await self._reader.erase(event_id)
            await self._reader.letters.erase(event_id)

    def close(self) -> None:
        self._thread.before = None  # nothing is read any more
        self._thread.run(self._close())
        self._thread.close()

    async def _close(self) -> None:
        for port in self._ports:
            port.close()
        await asyncio.sleep(0)  # lets their connections close
