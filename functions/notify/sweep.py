"""The due sweep: what is to be tried again and whose time has come goes back onto the bus, at a destination's pace."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from functions.notify.backlog import Backlog, Found
from functions.notify.pace import Pace
from functions.notify.pauses import Pauses
from functions.notify.sweep_run import DueRows, SweepRun
from shared.delivery import REMEMBERED_SECONDS
from shared.errors import Temporary
from shared.ledger import Ledger
from shared.ports import Bus, Clock
from shared.retention import PurgeClock

CLOSE_SECONDS: Final = 20.0
"""The part of a sweep in which groups are closed; the rest is for what goes out by itself."""
CLOSE_AGAIN_SECONDS: Final = 5.0
"""At the end of a sweep, as far as it has so much time left."""
END_SECONDS: Final = 57.0
"""A sweep begins nothing after that: the scheduler waits for a minute."""
PURGE_EVERY_SECONDS: Final = 3_600.0
BACK_SECONDS: Final = 600.0
"""How far before the end of the last complete sweep the next one begins: longer than an outcome takes to be written."""


class Groups(Protocol):
    """The groups in which deliveries wait, and `alone`: the other rows that are due."""

    @property
    def alone(self) -> DueRows: ...

    async def close(self, seconds: float) -> int:
        """Close groups whose time has come, for about so long; return how many were published. Raises Temporary."""
        ...


class Monitor(Protocol):
    """The check of sources and destinations that each sweep begins with."""

    async def check(self) -> None:
        """Raises Temporary."""
        ...


class Sweeper:
    """Sweeps may overlap: each row is moved by one of them."""

    def __init__(
        self,
        ledger: Ledger,
        bus: Bus,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        looks_ahead: bool = False,
        pauses: Pauses | None = None,
        groups: Groups | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        """`looks_ahead`: publish at its time what is due before the next sweep, too.

        `groups`: None if none gathers; `monitor`: None if nobody gets alerts.
        """
        self._ledger = ledger
        self._groups = groups
        self._monitor = monitor
        self._bus = bus
        self._clock = clock
        self._sleep = sleep
        self._looks_ahead = looks_ahead
        self._pauses = pauses
        self._pace = Pace()
        self._backlog = Backlog()
        self._purge_at = 0.0
        self._complete_at: float | None = None
        self._purge_clock: PurgeClock | None = None
        self._faults: list[Temporary] = []

    async def sweep(self) -> int:
        """Purge, look for alerts, close groups, publish what is due, and close groups again if the run looks ahead.

        Returns how many deliveries were published. Raises Temporary; what was not moved or published stays due.
        """
        start = self._clock.now()
        await self._purge()
        self._faults = []
        await self._check()
        closed = await self._close_groups(CLOSE_SECONDS)
        self._pace.begin(self._clock.now())
        rows = self._groups.alone if self._groups else self._ledger
        run = SweepRun(
            rows,
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
        """Check what alerts are about. A fault holds up nothing else."""
        try:
            if self._monitor:
                await self._monitor.check()
        except Temporary as error:
            self._faults.append(error)

    async def _close_groups(self, seconds: float) -> int:
        """Close groups. A fault holds up nothing else."""
        try:
            return await self._groups.close(seconds) if self._groups else 0
        except Temporary as error:
            self._faults.append(error)
            return 0

    def found(self) -> Mapping[str, Found]:
        """Return what the sweeps since the last call found due, by destination: at most each minute."""
        return self._backlog.report(self._clock.now())

    async def _purge(self) -> None:
        now = self._clock.now()
        if now >= self._purge_at:
            self._purge_at = now + PURGE_EVERY_SECONDS
            self._complete_at = None  # once an hour, whatever is due is looked for, however old it is
            # A jump of the clock by years must not forget what was delivered: it would be delivered again.
            if self._purge_clock is None:
                newest_at = next((row.created_at for row in await self._ledger.rows(1)), None)
                self._purge_clock = PurgeClock(newest_at, self._clock.now)
            await self._ledger.purge(self._purge_clock.now() - REMEMBERED_SECONDS)
