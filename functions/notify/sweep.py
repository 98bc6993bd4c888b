"""The due sweep: what is to be tried again and whose time has come goes back onto the bus."""

import asyncio
from collections.abc import Sequence
from typing import Final

from shared.delivery import DELIVERY_TYPE
from shared.errors import Temporary
from shared.ledger import Ledger, LedgerRow
from shared.ledger_rules import KEEP_SECONDS
from shared.ports import DELIVERIES, Bus, BusMessage, Clock
from shared.purge_clock import PurgeClock

BATCH_ROWS: Final = 100
SWEEP_SECONDS: Final = 20.0
POSTPONE_SECONDS: Final = 600.0
PURGE_EVERY_SECONDS: Final = 3_600.0


class Sweeper:
    """Sweeps may overlap: each row is moved by one of them."""

    def __init__(self, ledger: Ledger, bus: Bus, clock: Clock) -> None:
        self._ledger = ledger
        self._bus = bus
        self._clock = clock
        self._purge_at = 0.0
        self._purge_clock: PurgeClock | None = None

    async def sweep(self) -> int:
        """How many deliveries were published. Raises Temporary; what was not moved or not published stays due."""
        await self._purge()
        count = 0
        end = self._clock.now() + SWEEP_SECONDS
        while self._clock.now() < end:
            rows = await self._ledger.due(self._clock.now(), BATCH_ROWS)
            count += await self._publish(rows)
            if len(rows) < BATCH_ROWS:
                break
        return count

    async def _publish(self, rows: Sequence[LedgerRow]) -> int:
        """The rows are moved ahead first: if this process dies in between, they are due again in ten minutes.

        One that cannot be moved holds up no other.
        """
        now = self._clock.now()
        ahead = now + POSTPONE_SECONDS
        fences = await asyncio.gather(
            *(self._ledger.postpone(row.key, row.fence, now, ahead) for row in rows), return_exceptions=True
        )
        moved = [(row, fence) for row, fence in zip(rows, fences, strict=True) if isinstance(fence, int)]
        if moved:
            await self._publish_moved(moved, now)
        for fence in fences:
            if isinstance(fence, BaseException):
                raise fence
        return len(moved)

    async def _publish_moved(self, moved: Sequence[tuple[LedgerRow, int]], now: float) -> None:
        try:
            await self._bus.publish(DELIVERIES, [due_message(row, fence) for row, fence in moved])
        except Temporary:
            # Not confirmed: due now, under a new fence that leaves a message which did arrive without effect.
            await asyncio.gather(*(self._ledger.postpone(row.key, fence, now, now) for row, fence in moved))
            raise

    async def _purge(self) -> None:
        now = self._clock.now()
        if now >= self._purge_at:
            self._purge_at = now + PURGE_EVERY_SECONDS
            # A jump of the clock by years must not forget what was delivered: it would be delivered again.
            if self._purge_clock is None:
                newest_at = next((row.created_at for row in await self._ledger.rows(1)), None)
                self._purge_clock = PurgeClock(newest_at, self._clock.now)
            await self._ledger.purge(self._purge_clock.now() - KEEP_SECONDS)


def due_message(row: LedgerRow, fence: int) -> BusMessage:
    names = {"ce-id": row.key, "ce-type": DELIVERY_TYPE, "ce-source": f"/routes/{row.route}"}
    return BusMessage(row.message, {**names, "due": str(fence)})
