"""The sweep: publish the rows of the ledger that are due, at the pace of each destination.

A sweep purges old rows, looks for reasons for alerts, closes groups of digests, and publishes the rows that are due. It
handles several pages of rows at once. Each row is moved ten minutes ahead before it is published, so that it is due
again if this process dies in between. Sweeps may overlap, because only one of them can move a row. Requests to other
systems are sent by tasks beside the sweep (side_tasks.py).

Ten thousand deliveries that failed together are due together. A destination that has just come back gets at most
MAX_PER_SECOND of them a second. The others wait for their turn, and deliveries to other destinations pass them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.notify.waiting.due import (
    BACK_SECONDS,
    SLOTS_AHEAD_SECONDS,
    TIMER_SECONDS,
    due_message,
    move_rows,
    waits_for_slot,
)
from functions.notify.waiting.pauses import Pauses
from shared import delivery, errors, ports, retention
from shared.ledger import POSTPONE_SECONDS, Ledger, LedgerRow, Move
from shared.subscribers.names import SEPARATOR

if TYPE_CHECKING:
    from functions.notify.alerts.monitor import Monitor
    from functions.notify.digests.closing import Closer
    from functions.notify.waiting.side_tasks import SideTasks

PURGE_EVERY_SECONDS: Final = 3_600.0
"""How often a sweep purges. Such a sweep also looks for all due rows, however old they are."""
CLOSE_SECONDS: Final = 20.0
"""The part of a sweep in which groups are closed. The rest is for deliveries outside groups."""
CLOSE_AGAIN_SECONDS: Final = 5.0
"""The time for closing groups again at the end of a sweep, if there is time left."""
END_SECONDS: Final = 57.0
"""A sweep begins nothing after this time, because the scheduler waits a minute for its answer."""
BATCH_ROWS: Final = 200
"""The rows of a page."""
PAGES_AT_ONCE: Final = 3
"""The pages that are moved and published while the next one is read. A row has up to 200 KiB, so these pages take up to
120 MB of an instance's 512."""
SWEEP_SECONDS: Final = 45.0
"""The time in which pages are begun. The last ones need the rest of the scheduler's minute."""
STAY_SECONDS: Final = 53.0
"""The same on a bus without delays. There, a sweep stays as long as it can, because rows that become due between two
sweeps are published late."""
NEXT_SWEEP_SECONDS: Final = 61.0
"""The next sweep has begun so long after the beginning of this one."""
TURN_SECONDS: Final = 0.5
"""The wait between two searches while deliveries wait for their turn at a destination's pace."""
LOOK_SECONDS: Final = 5.0
"""The longest wait between two searches for rows that are due before the next sweep: a new row may become due in the
meantime."""
MAX_PER_SECOND: Final = 400
"""The pace of each destination."""
REPORT_SECONDS: Final = 59.0
"""How often the backlog of each destination is reported: once a minute, or in each sweep, which may come a little
early."""


class DueCount(NamedTuple):
    """The number of deliveries that were due, and the age of the oldest one."""

    due: int
    oldest_seconds: float


class Backlog:
    """The deliveries that sweeps found due since the last report, by destination."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}
        self._reported_at = 0.0

    def note(self, rows: Iterable[LedgerRow]) -> None:
        for row in rows:
            # The destination's name alone: no metric has a label for each endpoint.
            name = row.destination.partition(SEPARATOR)[0]
            count, oldest_at = self._counts.get(name, (0, row.created_at))
            self._counts[name] = count + 1, min(oldest_at, row.created_at)

    def report(self, now: float) -> Mapping[str, DueCount]:
        """Return the numbers since the last report, and begin again; nothing within REPORT_SECONDS of it."""
        if now < self._reported_at + REPORT_SECONDS:
            return {}
        counts = {name: DueCount(count, max(0.0, now - at)) for name, (count, at) in self._counts.items()}
        self._counts, self._reported_at = {}, now
        return counts


@dataclass(slots=True)
class _Second:
    """The last second in which a destination has turns, and the number of its turns in that second."""

    start: float
    count: int = 0


@dataclass(slots=True)
class Pace:
    """The turns of the deliveries that a sweep publishes. `latest` is the time of the last turn."""

    latest: float = 0.0
    _seconds: dict[str, _Second] = field(default_factory=dict)
    _turns: set[tuple[str, int]] = field(default_factory=set)

    def begin(self, now: float) -> None:
        """Begin a sweep. Later turns that an earlier sweep gave out are forgotten, and given out again from now on."""
        self.latest = now
        self._turns.clear()
        for second in self._seconds.values():
            if second.start > now:
                second.start, second.count = now, MAX_PER_SECOND

    def split(self, rows: Iterable[LedgerRow], now: float) -> tuple[list[LedgerRow], dict[float, list[LedgerRow]]]:
        """Return the rows whose turn is now, and the others by the time of their turn."""
        ready: list[LedgerRow] = []
        later: dict[float, list[LedgerRow]] = {}
        for row in rows:
            turn = now if self.has_turn(row) else self._next_turn(row.destination, now)
            if turn <= now:
                self._turns.discard((row.key, row.fence))
                ready.append(row)
            else:
                later.setdefault(turn, []).append(row)
        return ready, later

    def has_turn(self, row: LedgerRow) -> bool:
        """Return whether the row got a turn before, and was moved to it."""
        return (row.key, row.fence) in self._turns

    def give_turn(self, row: LedgerRow, fence: int, at: float) -> None:
        """Remember that the row, which has this fence now, was moved to its turn at `at`."""
        self._turns.add((row.key, fence))
        self.latest = max(self.latest, at)

    def _next_turn(self, destination: str, now: float) -> float:
        """Return the time of the destination's next free turn. There are MAX_PER_SECOND turns in each second."""
        second = self._seconds.get(destination)
        if second is None or second.start + 1 <= now:
            second = self._seconds[destination] = _Second(now)
        if second.count == MAX_PER_SECOND:
            second.start, second.count = second.start + 1, 0
        second.count += 1
        return second.start


class Sweeper:
    """Sweeps the ledger again and again."""

    def __init__(
        self,
        ledger: Ledger,
        bus: ports.Bus,
        clock: ports.Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        looks_ahead: bool = False,
        pauses: Pauses | None = None,
        groups: "Closer | None" = None,
        monitor: "Monitor | None" = None,
        side_tasks: "SideTasks | None" = None,
    ) -> None:
        """Create the sweeper.

        looks_ahead  a sweep also publishes the rows that become due before the next sweep, at their times
        groups       None if no destination gathers
        monitor      None if nobody gets alerts
        """
        self._ledger = ledger
        self._groups = groups
        self._monitor = monitor
        self._side_tasks = side_tasks
        self._bus = bus
        self._clock = clock
        self._sleep = sleep
        self._looks_ahead = looks_ahead
        self._pauses = pauses
        self._pace = Pace()
        self._backlog = Backlog()
        self._purge_at = 0.0
        self._complete_at: float | None = None
        self._purge_clock: retention.PurgeClock | None = None
        self._faults: list[errors.Temporary] = []

    async def sweep(self) -> int:
        """Purge, look for alerts, close groups, publish what is due, and close groups again if the sweep looks ahead.

        Return how many deliveries were published. Raises Temporary at the end if something failed: rows that were not
        moved or published stay due.
        """
        if self._side_tasks is None:
            return await self._sweep()
        self._side_tasks.start()
        try:
            return await self._sweep()
        finally:
            if self._looks_ahead:
                await self._side_tasks.finish()

    async def _sweep(self) -> int:
        start = self._clock.now()
        await self._purge()
        self._faults = []
        await self._check()
        closed = await self._close_groups(CLOSE_SECONDS)
        self._pace.begin(self._clock.now())
        run = SweepRun(
            self._ledger,
            self._groups.due_alone if self._groups else self._ledger.due,
            self._bus,
            self._clock,
            self._pace,
            self._sleep,
            self._looks_ahead,
            self._pauses,
            self._backlog,
        )
        since = 0.0 if self._complete_at is None else max(0.0, self._complete_at - BACK_SECONDS)
        complete_at = await run.drain(since, start)
        if self._looks_ahead:  # it took most of a minute
            left = start + END_SECONDS - self._clock.now()
            closed += await self._close_groups(min(CLOSE_AGAIN_SECONDS, left)) if left > 0 else 0
        if faults := [*self._faults, *run.faults]:
            raise faults[0]
        self._complete_at = complete_at or self._complete_at
        return run.count + closed

    async def _check(self) -> None:
        """Look for reasons for alerts. Note a fault, so that the sweep goes on."""
        try:
            if self._monitor:
                await self._monitor.check()
        except errors.Temporary as error:
            self._faults.append(error)

    async def _close_groups(self, seconds: float) -> int:
        """Close groups, and return how many deliveries were published. Note a fault, so that the sweep goes on."""
        try:
            return await self._groups.close(seconds) if self._groups else 0
        except errors.Temporary as error:
            self._faults.append(error)
            return 0

    def backlog(self) -> Mapping[str, DueCount]:
        """Return what the sweeps found due since the last report, as `Backlog.report` does."""
        return self._backlog.report(self._clock.now())

    async def _purge(self) -> None:
        now = self._clock.now()
        if now >= self._purge_at:
            self._purge_at = now + PURGE_EVERY_SECONDS
            self._complete_at = None  # this sweep looks for all due rows, however old they are
            # If the clock jumps by years, the rows of past deliveries must stay: without them, events would be
            # delivered again.
            if self._purge_clock is None:
                newest_at = next((row.created_at for row in await self._ledger.rows(1)), None)
                self._purge_clock = retention.PurgeClock(newest_at, self._clock.now)
            await self._ledger.purge(self._purge_clock.now() - delivery.REMEMBERED_SECONDS)


@dataclass(slots=True)
class SweepRun:
    """The part of one sweep that publishes due rows.

    due     reads the due rows as `Ledger.due` does, or only those that wait in no group
    count   the number of deliveries that it has published
    faults  the errors so far, which do not keep other rows from being published
    """

    ledger: Ledger
    due: Callable[[float, int, float], Awaitable[Sequence[LedgerRow]]]
    bus: ports.Bus
    clock: ports.Clock
    pace: Pace
    sleep: Callable[[float], Awaitable[None]]
    looks_ahead: bool
    pauses: Pauses | None
    backlog: Backlog
    count: int = 0
    faults: list[errors.Temporary] = field(default_factory=list)
    _seen: set[tuple[str, int]] = field(default_factory=set)
    _pages: dict[asyncio.Task[None], Sequence[LedgerRow]] = field(default_factory=dict)
    _is_bus_down: bool = False

    async def drain(self, since: float, start: float) -> float | None:
        """Publish the rows that are due. The sweep began at `start`, which decides how much time is left.

        Return the time at which no due row was left; None if time ran out or a row could not be moved.
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
        """Read pages of due rows, and publish each in a task of its own. Return as `drain` does."""
        end = start + (STAY_SECONDS if self._stays else SWEEP_SECONDS)
        while (now := self.clock.now()) < end and not self._is_bus_down:
            try:
                found = await self._due(now, start, end, BATCH_ROWS + self._under_way_at(since), since)
            except errors.Temporary as error:
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
        """Return whether the sweep waits for the rows that become due before the next sweep, because it looks ahead and
        the bus has no delays."""
        return self.looks_ahead and not self.bus.max_delay_seconds

    async def _due(self, now: float, start: float, end: float, limit: int, since: float) -> Sequence[LedgerRow]:
        """Return the rows whose time has come, or whose slot is near.

        The last search of a sweep that stays also returns the rows whose slot comes before the next sweep.
        """
        if not self._stays:
            return await self.due(now, limit, since)
        until = start + NEXT_SWEEP_SECONDS if now >= end - TURN_SECONDS else now + SLOTS_AHEAD_SECONDS
        found = await self.due(until, limit, since)
        return [row for row in found if waits_for_slot(row) or (row.retry_at or now) <= now]

    async def _next_wait(self, now: float, start: float, end: float) -> float | None:
        """Return how long to wait for the next row that is due before the next sweep; None if there is none.

        If the bus has delays, publish such rows at once instead, and return None.
        """
        if not self._stays:
            if self.looks_ahead:
                await self._publish_ahead(now, end)
            return None
        soon = await self.due(start + NEXT_SWEEP_SECONDS, 1, now)
        if not soon:
            return None
        next_row = soon[0]
        at = next_row.retry_at or now
        if waits_for_slot(next_row):
            at -= SLOTS_AHEAD_SECONDS
        elif at > end:
            return None
        last_look = max(end - TURN_SECONDS - now, TURN_SECONDS)
        return min(max(at - now, TURN_SECONDS), LOOK_SECONDS, last_look)

    async def _publish_ahead(self, now: float, end: float) -> None:
        """Publish the rows that become due in the next minute, each with a delay.

        Rows with a short wait are left out, because they have a timer (see due.py).
        """
        since = now
        while self.clock.now() < end and not self._is_bus_down:
            rows = await self.due(now + TIMER_SECONDS, BATCH_ROWS, since)
            fresh = [row for row in rows if (row.key, row.fence) not in self._seen]
            if not fresh:
                return
            self._seen.update((row.key, row.fence) for row in fresh)
            since = fresh[-1].retry_at or since
            if ahead := [row for row in fresh if (row.retry_at or now) - row.updated_at > TIMER_SECONDS]:
                await self._publish_moved(await self._without_paused(ahead, now), now)

    def _under_way_at(self, since: float) -> int:
        """Return how many rows that are due at `since` are being moved now: the next page may still contain them."""
        return sum(row.retry_at == since for rows in self._pages.values() for row in rows)

    async def _publish(self, rows: Sequence[LedgerRow]) -> None:
        """Move the rows ahead, then publish them. A row whose turn is later is only moved to its turn.

        If this process dies in between, the rows are due again in ten minutes. A row that cannot be moved does not keep
        the others from being published.
        """
        now = self.clock.now()
        self.backlog.note(row for row in rows if not self.pace.has_turn(row))
        rows, later = self.pace.split(await self._without_paused(rows, now), now)
        for turn, waiting in later.items():
            await self._move_to_turn(waiting, now, turn)
        if rows:
            await self._publish_moved(rows, now)

    async def _without_paused(self, rows: Sequence[LedgerRow], now: float) -> Sequence[LedgerRow]:
        """Move the rows of paused destinations to the ends of their pauses, and return the other rows."""
        if self.pauses is None:
            return rows
        try:
            others, moves = await self.pauses.split(rows, now)
            if moves:
                await self._move_to_end(rows, moves, now)
        except errors.Temporary as error:
            self.faults.append(error)
            return []  # they stay due
        return others

    async def _move_to_end(self, rows: Sequence[LedgerRow], moves: Sequence[Move], now: float) -> None:
        """Move the rows to the ends of their pauses. Raises Temporary.

        If an operator ended a pause meanwhile, move its rows back, because `hookchain resume` could not find them.
        """
        assert self.pauses is not None
        by_key = {row.key: row for row in rows}
        fences = await self.ledger.postpone_all(moves, now)
        self.faults += [fence for fence in fences if isinstance(fence, errors.Temporary)]
        moved = [(by_key[key], fence) for (key, *_), fence in zip(moves, fences, strict=True) if isinstance(fence, int)]
        if resumed := await self.pauses.resumed([row for row, _ in moved]):
            back = [(row.key, fence, now) for row, fence in moved if row.destination in resumed]
            await self.ledger.postpone_all(back, now)

    async def _publish_moved(self, rows: Sequence[LedgerRow], now: float) -> None:
        """Move the rows ahead and publish those that were moved. Note faults."""
        moved, faults = await move_rows(self.ledger, rows, now, now + POSTPONE_SECONDS)
        self.faults += faults
        try:
            if moved:
                await self.bus.publish(ports.DELIVERIES, [due_message(row, fence, now) for row, fence in moved])
        except errors.Temporary as error:
            # Make the rows due again. With their new fence, a message that was published after all has no effect.
            self.faults.append(error)
            self._is_bus_down = True
            again_at = max([now, *[row.retry_at or now for row, _ in moved]])
            await self.ledger.postpone_all([(row.key, fence, again_at) for row, fence in moved], now)
        else:
            self.count += len(moved)

    async def _move_to_turn(self, rows: Sequence[LedgerRow], now: float, turn: float) -> None:
        """Move the rows to their turn, at which the sweep finds them again."""
        moved, faults = await move_rows(self.ledger, rows, now, turn)
        for row, fence in moved:
            self.pace.give_turn(row, fence, turn)
        self.faults += faults
