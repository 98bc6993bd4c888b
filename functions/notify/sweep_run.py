"""One sweep: pages of due rows, several of them at once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from functions.notify.backlog import Backlog
from functions.notify.pace import Pace
from functions.notify.pauses import Pauses
from functions.notify.timer import SLOTS_AHEAD_SECONDS, TIMER_SECONDS, due_message, waits_for_slot
from shared.errors import Temporary
from shared.ledger import POSTPONE_SECONDS, LedgerRow, Move
from shared.ports import DELIVERIES, Bus, Clock

BATCH_ROWS: Final = 200
PAGES_AT_ONCE: Final = 3
"""Pages that are moved and published while the next is read. A row has up to 200 KiB: 120 MB of an instance's 512."""
SWEEP_SECONDS: Final = 45.0
"""Less than the scheduler waits for an answer, by what the last pages may take."""
STAY_SECONDS: Final = 53.0
"""How long a sweep stays where the bus has no delays: what comes due between two sweeps comes late."""
NEXT_SWEEP_SECONDS: Final = 61.0
"""The next sweep is there by then."""
TURN_SECONDS: Final = 0.5
"""The wait between two looks while deliveries wait for their turn at a destination's pace."""
LOOK_SECONDS: Final = 5.0
"""The longest wait between two looks for what is due before the next sweep: a new one may be due meanwhile."""


class DueRows(Protocol):
    """The rows that a sweep publishes: a ledger's, or some of them."""

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]: ...

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | Temporary | None]: ...


async def move_rows(
    ledger: DueRows, rows: Sequence[LedgerRow], now: float, until: float
) -> tuple[list[tuple[LedgerRow, int]], list[Temporary]]:
    """Postpone the rows. Return those that nobody else moved, each with its new fence, and the faults of others."""
    fences = await ledger.postpone_all([(row.key, row.fence, until) for row in rows], now)
    moved = [(row, fence) for row, fence in zip(rows, fences, strict=True) if isinstance(fence, int)]
    return moved, [fence for fence in fences if isinstance(fence, Temporary)]


@dataclass(slots=True)
class SweepRun:
    """A sweep. `count` are the deliveries that it published, `faults` what went wrong."""

    ledger: DueRows
    bus: Bus
    clock: Clock
    pace: Pace
    sleep: Callable[[float], Awaitable[None]]
    looks_ahead: bool
    pauses: Pauses | None
    backlog: Backlog
    count: int = 0
    faults: list[Temporary] = field(default_factory=list)
    _seen: set[tuple[str, int]] = field(default_factory=set)
    _pages: dict[asyncio.Task[None], Sequence[LedgerRow]] = field(default_factory=dict)
    _is_bus_down: bool = False

    async def drain(self, since: float, start: float) -> float | None:
        """Publish what is due, in the time that the sweep has which began at `start`.

        Return since when nothing was due; None if time ran out or a row could not be moved.
        """
        try:
            complete_at = await self._start_pages(since, start)
            await asyncio.gather(*self._pages)
        except BaseException:  # cancelled too: no page outlives the sweep
            for page in self._pages:
                page.cancel()
            await asyncio.gather(*self._pages, return_exceptions=True)
            raise
        return complete_at

    async def _start_pages(self, since: float, start: float) -> float | None:
        end = start + (STAY_SECONDS if self._stays else SWEEP_SECONDS)
        while (now := self.clock.now()) < end and not self._is_bus_down:
            try:
                found = await self._due(now, start, end, BATCH_ROWS + self._under_way_at(since), since)
            except Temporary as error:
                self.faults.append(error)
                return None
            if not found and not self._pages:
                wait = TURN_SECONDS if now < self.pace.latest else await self._next_wait(now, start, end)
                if wait is None:
                    return now
                await self.sleep(wait)
                continue
            fresh = [row for row in found if (row.key, row.fence) not in self._seen]
            if fresh:
                self._seen.update((row.key, row.fence) for row in fresh)
                self._pages[asyncio.create_task(self._publish(fresh))] = fresh
                since = min(now, fresh[-1].retry_at or since)
            elif not self._pages:
                return None  # they cannot be moved, or others move them: the next sweep looks again
            if not fresh or len(self._pages) >= PAGES_AT_ONCE:
                await asyncio.wait(self._pages, return_when=asyncio.FIRST_COMPLETED)
            for page in [page for page in self._pages if page.done()]:
                del self._pages[page]
                page.result()
        return None

    @property
    def _stays(self) -> bool:
        """Return whether it waits for what is due before the next sweep: the bus does not keep it back."""
        return self.looks_ahead and not self.bus.max_delay_seconds

    async def _due(self, now: float, start: float, end: float, limit: int, since: float) -> Sequence[LedgerRow]:
        """Return the rows whose time has come, or whose slot is near: in the last look, up to the next sweep."""
        if not self._stays:
            return await self.ledger.due(now, limit, since)
        until = start + NEXT_SWEEP_SECONDS if now >= end - TURN_SECONDS else now + SLOTS_AHEAD_SECONDS
        found = await self.ledger.due(until, limit, since)
        return [row for row in found if waits_for_slot(row) or (row.retry_at or now) <= now]

    async def _next_wait(self, now: float, start: float, end: float) -> float | None:
        """Return how long to wait for what is due before the next sweep; None if nothing is.

        Where the bus has delays, such rows go onto it at once instead.
        """
        if not self._stays:
            if self.looks_ahead:
                await self._publish_ahead(now, end)
            return None
        soon = await self.ledger.due(start + NEXT_SWEEP_SECONDS, 1, now)
        if not soon or (not waits_for_slot(soon[0]) and (soon[0].retry_at or now) > end):
            return None
        at = (soon[0].retry_at or now) - (SLOTS_AHEAD_SECONDS if waits_for_slot(soon[0]) else 0.0)
        last_look = max(end - TURN_SECONDS - now, TURN_SECONDS)
        return min(max(at - now, TURN_SECONDS), LOOK_SECONDS, last_look)

    async def _publish_ahead(self, now: float, end: float) -> None:
        """Publish with a delay what is due in the next minute, but for short waits: these have a timer of their own."""
        since = now
        while self.clock.now() < end and not self._is_bus_down:
            rows = await self.ledger.due(now + TIMER_SECONDS, BATCH_ROWS, since)
            fresh = [row for row in rows if (row.key, row.fence) not in self._seen]
            if not fresh:
                return
            self._seen.update((row.key, row.fence) for row in fresh)
            since = fresh[-1].retry_at or since
            if ahead := [row for row in fresh if (row.retry_at or now) - row.updated_at > TIMER_SECONDS]:
                await self._publish_moved(await self._without_paused(ahead, now), now)

    def _under_way_at(self, since: float) -> int:
        """Return how many rows at the lower bound are being moved: the next page may still show them."""
        return sum(row.retry_at == since for rows in self._pages.values() for row in rows)

    async def _publish(self, rows: Sequence[LedgerRow]) -> None:
        """Move the rows ahead, then publish them: if this process dies in between, they are due again in ten minutes.

        Those whose turn is later are only moved to it. One that cannot be moved holds up no other.
        """
        now = self.clock.now()
        self.backlog.note(row for row in rows if not self.pace.has_turn(row))
        rows, later = self.pace.split(await self._without_paused(rows, now), now)
        for turn, waiting in later.items():
            await self._move_to_turn(waiting, now, turn)
        if rows:
            await self._publish_moved(rows, now)

    async def _without_paused(self, rows: Sequence[LedgerRow], now: float) -> Sequence[LedgerRow]:
        """Move the rows of paused destinations to the end of the pause, and return the others."""
        if self.pauses is None:
            return rows
        try:
            others, moves = await self.pauses.split(rows, now)
            if moves:
                await self._move_to_end(rows, moves, now)
        except Temporary as error:
            self.faults.append(error)
            return []  # they stay due
        return others

    async def _move_to_end(self, rows: Sequence[LedgerRow], moves: Sequence[Move], now: float) -> None:
        """Move rows, and back where an operator ended the pause meanwhile: the resume did not find them waiting.

        Raises Temporary.
        """
        assert self.pauses is not None
        by_key = {row.key: row for row in rows}
        fences = await self.ledger.postpone_all(moves, now)
        self.faults += [fence for fence in fences if isinstance(fence, Temporary)]
        moved = [(by_key[key], fence) for (key, *_), fence in zip(moves, fences, strict=True) if isinstance(fence, int)]
        if resumed := await self.pauses.resumed([row for row, _ in moved]):
            back = [(row.key, fence, now) for row, fence in moved if row.destination in resumed]
            await self.ledger.postpone_all(back, now)

    async def _publish_moved(self, rows: Sequence[LedgerRow], now: float) -> None:
        moved, faults = await move_rows(self.ledger, rows, now, now + POSTPONE_SECONDS)
        self.faults += faults
        try:
            if moved:
                await self.bus.publish(DELIVERIES, [due_message(row, fence, now) for row, fence in moved])
        except Temporary as error:
            # Not confirmed: due again, under a new fence that leaves a message which did arrive without effect.
            self.faults.append(error)
            self._is_bus_down = True
            again_at = max(now, *(row.retry_at or now for row, _ in moved))
            await self.ledger.postpone_all([(row.key, fence, again_at) for row, fence in moved], now)
        else:
            self.count += len(moved)

    async def _move_to_turn(self, rows: Sequence[LedgerRow], now: float, turn: float) -> None:
        moved, faults = await move_rows(self.ledger, rows, now, turn)
        for row, fence in moved:
            self.pace.give_turn(row, fence, turn)
        self.faults += faults
