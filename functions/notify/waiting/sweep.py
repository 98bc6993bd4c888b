"""The sweep: find the rows of the ledger that are due, and publish them (publication.py).

A sweep looks for reasons for alerts, closes groups of digests, and publishes the rows that are due. It handles several
pages of rows at once. Each row is moved ten minutes ahead before it is published, so that it is due again if this
process dies in between. Sweeps may overlap, because only one of them can move a row. Requests to other systems are sent
by tasks beside the sweep (side_tasks.py).

A row can become due between two sweeps. `Ahead` tells what a sweep does about it, which depends on the bus.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from functions.notify.waiting.due import BACK_SECONDS, SLOTS_AHEAD_SECONDS, TIMER_SECONDS, waits_for_slot
from functions.notify.waiting.pauses import SweepPauses
from functions.notify.waiting.publication import Backlog, DueCount, DuePublisher, Pace
from shared import errors, ports
from shared.ledger import Ledger, LedgerRow

if TYPE_CHECKING:
    from functions.notify.alerts.monitor import Monitor
    from functions.notify.digests.closing import Closer
    from functions.notify.waiting.side_tasks import SideTasks

ALL_EVERY_SECONDS: Final = 3_600.0
"""The time between two sweeps that look for all due rows, however old they are."""
CLOSE_SECONDS: Final = 20.0
"""The part of a sweep in which groups are closed. The rest is for deliveries outside groups."""
CLOSE_AGAIN_SECONDS: Final = 5.0
"""The time for closing groups again at the end of a sweep, if there is time left."""
BATCH_ROWS: Final = 200
"""The rows of a page."""
PAGES_AT_ONCE: Final = 3
"""The pages that are moved and published while the next one is read. A row has up to 200 KiB, so these pages take up to
120 MB of an instance's 512."""
TURN_SECONDS: Final = 0.5
"""The wait between two searches while deliveries wait for their turn at a destination's pace."""
LOOK_SECONDS: Final = 5.0
"""The longest wait between two searches for rows that are due before the next sweep: a new row may become due in the
meantime."""

# The minute of a sweep, in seconds after its beginning:
SWEEP_SECONDS: Final = 45.0
"""No page is read after this. The last pages need the rest of the scheduler's minute."""
STAY_SECONDS: Final = 53.0
"""The same if the sweep stays (`Ahead.STAY`). It stays as long as it can, because rows that become due after it are
published late, by the next sweep."""
END_SECONDS: Final = 57.0
"""Nothing is begun after this, because the scheduler waits a minute for the sweep's answer."""
NEXT_SWEEP_SECONDS: Final = 61.0
"""By then, the next sweep has begun."""


class Ahead(Enum):
    """A way to treat the rows that become due before the next sweep.

    NOTHING  leave them to the next sweep. Locally, that comes each second
    DELAY    publish them at the end of the sweep, each with a delay
    STAY     stay until the next sweep, and publish them at their times, because the bus has no delays
    """

    NOTHING = "nothing"
    DELAY = "delay"
    STAY = "stay"


FindDue: TypeAlias = Callable[[float, int, float], Awaitable[Sequence[LedgerRow]]]
"""Takes `until`, `limit` and `since`, as `Ledger.due` does, and returns the due rows. Raises Temporary."""


class Sweeper:
    """Sweeps the ledger, with what one sweep has to know of the sweeps before it.

    _none_left_at  when a sweep last found no due row left, so that the next one looks for rows since then; None if it
                   looks for all due rows, however old they are
    _all_at        when a sweep looks for all of them again
    _pace          the turns of destinations, of which later ones come in the next sweep
    _backlog       what was found due since the last report
    """

    def __init__(
        self,
        ledger: Ledger,
        bus: ports.Bus,
        clock: ports.Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        looks_ahead: bool = False,
        pauses: SweepPauses | None = None,
        closer: "Closer | None" = None,
        monitor: "Monitor | None" = None,
        side_tasks: "SideTasks | None" = None,
    ) -> None:
        """Create the sweeper.

        looks_ahead  a sweep also publishes the rows that become due before the next sweep, at their times
        closer       None if no destination has groups to close
        monitor      None if nobody gets alerts
        """
        self._ledger = ledger
        self._closer = closer
        self._monitor = monitor
        self._side_tasks = side_tasks
        self._bus = bus
        self._clock = clock
        self._sleep = sleep
        self._ahead = Ahead.NOTHING
        if looks_ahead:
            self._ahead = Ahead.DELAY if bus.max_delay_seconds > 0 else Ahead.STAY
        self._pauses = pauses
        self._pace = Pace()
        self._backlog = Backlog()
        self._all_at = 0.0
        self._none_left_at: float | None = None

    async def sweep(self) -> int:
        """Look for alerts, close groups, publish what is due, and close groups again if the sweep looks ahead.

        Return how many deliveries were published. A part that fails does not keep the others from running. At the end,
        the sweep raises the first fault, a Temporary. Rows that were not moved or published stay due.
        """
        if self._side_tasks is None:
            return await self._sweep()
        self._side_tasks.start()
        try:
            return await self._sweep()
        finally:
            if self._ahead is not Ahead.NOTHING:  # locally, they run on: see side_tasks.py
                await self._side_tasks.finish()

    async def _sweep(self) -> int:
        """Run the parts of the sweep one after another. As `sweep`, without the side tasks."""
        start = self._clock.now()
        if start >= self._all_at:
            self._all_at = start + ALL_EVERY_SECONDS
            self._none_left_at = None
        faults: list[errors.Temporary] = []
        if self._monitor:
            await _run_part(self._monitor.check(), faults)
        closed = await self._close_groups(CLOSE_SECONDS, faults)
        self._pace.begin(self._clock.now())
        publisher = DuePublisher(
            self._ledger, self._bus, self._clock, self._pauses, self._pace, self._backlog, faults=faults
        )
        run = SweepRun(
            publisher=publisher,
            find_due=self._closer.due_alone if self._closer else self._ledger.due,
            clock=self._clock,
            sleep=self._sleep,
            ahead=self._ahead,
            start=start,
            since=0.0 if self._none_left_at is None else max(0.0, self._none_left_at - BACK_SECONDS),
        )
        await run.drain()
        if self._ahead is not Ahead.NOTHING:  # it took most of a minute
            left = start + END_SECONDS - self._clock.now()
            closed += await self._close_groups(min(CLOSE_AGAIN_SECONDS, left), faults) if left > 0 else 0
        if faults:
            raise faults[0]
        if run.none_left_at is not None:
            self._none_left_at = run.none_left_at
        return publisher.count + closed

    async def _close_groups(self, seconds: float, faults: list[errors.Temporary]) -> int:
        """Close groups, and return how many deliveries were published."""
        return await _run_part(self._closer.close(seconds), faults) if self._closer else 0

    def backlog(self) -> Mapping[str, DueCount]:
        """Return what the sweeps found due since the last report, as `Backlog.report` does."""
        return self._backlog.report(self._clock.now())


async def _run_part(part: Awaitable[int | None], faults: list[errors.Temporary]) -> int:
    """Return what the part of the sweep counts. Note its fault, so that the sweep goes on."""
    try:
        return await part or 0
    except errors.Temporary as error:
        faults.append(error)
        return 0


@dataclass(slots=True)
class SweepRun:
    """The search for due rows in one sweep. Each page of rows that it finds is published in a task of its own.

    find_due      reads the due rows as `Ledger.due` does, or only those that wait in no group
    ahead         what becomes of the rows that are due before the next sweep
    start         the time at which the sweep began, which decides how much time is left
    since         the time of the last row that was found, at which the next page begins
    none_left_at  the time at which no due row was left; None as long as some may be left
    _seen         the keys and fences of the rows that were found: a row that was moved since has another fence
    _pages        the tasks that publish a page each, with its rows
    """

    publisher: DuePublisher
    find_due: FindDue
    clock: ports.Clock
    sleep: Callable[[float], Awaitable[None]]
    ahead: Ahead
    start: float
    since: float
    none_left_at: float | None = None
    _seen: set[tuple[str, int]] = field(default_factory=set)
    _pages: dict[asyncio.Task[None], Sequence[LedgerRow]] = field(default_factory=dict)

    async def drain(self) -> None:
        """Publish the rows that are due, until none is left or time runs out."""
        try:
            await self._search()
            await asyncio.gather(*self._pages)
        except BaseException:  # cancelled too: no page outlives the sweep
            for page in self._pages:
                page.cancel()
            await asyncio.gather(*self._pages, return_exceptions=True)
            raise

    async def _search(self) -> None:
        """Read pages of due rows, and start a task for each. Return when no row is left or time runs out."""
        while (now := self.clock.now()) < self._end and not self.publisher.is_bus_down:
            try:
                rows = await self._due_rows(now)
            except errors.Temporary as error:
                self.publisher.faults.append(error)
                return
            unseen = self._unseen(rows)
            if unseen:
                self._pages[asyncio.create_task(self.publisher.publish(unseen))] = unseen
                self.since = min(now, unseen[-1].retry_at or self.since)
            elif not self._pages:
                if rows:
                    return  # all were found before: they cannot be moved, or others move them
                wait_seconds = await self._seconds_to_next_search(now)
                if wait_seconds is not None:
                    await self.sleep(wait_seconds)
                    continue
                if self.ahead is Ahead.DELAY:
                    await self._publish_ahead(now)
                self.none_left_at = now
                return
            may_read_on = unseen and len(self._pages) < PAGES_AT_ONCE
            if not may_read_on:
                await asyncio.wait(self._pages, return_when=asyncio.FIRST_COMPLETED)
            for page in [page for page in self._pages if page.done()]:
                del self._pages[page]
                page.result()

    @property
    def _end(self) -> float:
        """Return the time after which no page is read."""
        return self.start + (STAY_SECONDS if self.ahead is Ahead.STAY else SWEEP_SECONDS)

    async def _due_rows(self, now: float) -> Sequence[LedgerRow]:
        """Return a page of the rows whose time has come, or whose slot is near. Raises Temporary.

        The last search of a sweep that stays also returns the rows whose slot comes before the next sweep.
        """
        # `since` is the time of the last row that was found. Rows of that time whose page is still being published may
        # be read again, so the limit has room for them.
        read_again = sum(row.retry_at == self.since for rows in self._pages.values() for row in rows)
        limit = BATCH_ROWS + read_again
        if self.ahead is not Ahead.STAY:
            return await self.find_due(now, limit, self.since)
        is_last_search = now >= self._end - TURN_SECONDS
        until = self.start + NEXT_SWEEP_SECONDS if is_last_search else now + SLOTS_AHEAD_SECONDS
        rows = await self.find_due(until, limit, self.since)
        return [row for row in rows if waits_for_slot(row) or (row.retry_at or now) <= now]

    def _unseen(self, rows: Sequence[LedgerRow]) -> Sequence[LedgerRow]:
        """Return the rows that were not returned before."""
        unseen = [row for row in rows if (row.key, row.fence) not in self._seen]
        self._seen.update((row.key, row.fence) for row in unseen)
        return unseen

    async def _seconds_to_next_search(self, now: float) -> float | None:
        """Return how long this sweep waits until it looks for rows again; None if it does not.

        It waits for the turns of a destination's pace and, if it stays, for rows that are due before the next sweep.
        """
        if now < self.publisher.pace.latest:
            return TURN_SECONDS
        if self.ahead is not Ahead.STAY:
            return None
        next_rows = await self.find_due(self.start + NEXT_SWEEP_SECONDS, 1, now)
        if not next_rows:
            return None
        at = next_rows[0].retry_at or now
        if waits_for_slot(next_rows[0]):
            at -= SLOTS_AHEAD_SECONDS
        elif at > self._end:
            return None
        last_look = max(self._end - TURN_SECONDS - now, TURN_SECONDS)
        return min(max(at - now, TURN_SECONDS), LOOK_SECONDS, last_look)

    async def _publish_ahead(self, now: float) -> None:
        """Publish the rows that become due in the next minute, each with a delay.

        Rows with a short wait are left out, because they have a timer (see due.py).
        """
        since = now
        while self.clock.now() < self._end and not self.publisher.is_bus_down:
            rows = self._unseen(await self.find_due(now + TIMER_SECONDS, BATCH_ROWS, since))
            if not rows:
                return
            since = rows[-1].retry_at or since
            if without_timer := [row for row in rows if (row.retry_at or now) - row.updated_at > TIMER_SECONDS]:
                await self.publisher.publish_ahead(without_timer, now)
