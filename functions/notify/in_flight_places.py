"""The places of one bucket: how many attempts this instance may have under way.

All instances together have no more than the cap. An instance leases as many as it uses, and more where they do not
suffice. An attempt begins only where the lease outlasts it, so those of an instance that died are free after the lease.
"""

import asyncio
import contextlib
from collections import deque
from typing import Final

from functions.notify.queue import PATIENCE_SECONDS
from shared.errors import Temporary
from shared.ports import Clock
from shared.store_ports import Grants

LEASE_SECONDS: Final = 15.0
"""How long places are leased, besides the time that an attempt may take."""
COVER_SECONDS: Final = 5.0
"""What an attempt may take besides its timeout: the wait for its rate, and its outcome's way into the ledger."""
ASK_AGAIN_SECONDS: Final = 1.0
MAX_WAITING: Final = 10
"""Deliveries that wait in the process for a place of this instance. The others come back later."""
WEIGHT: Final = 0.2
"""Of the newest duration in their average."""


class Places:
    """`interval` is about how often a place becomes free, over all instances."""

    def __init__(
        self, bucket: str, limit: int, timeout_seconds: float, grants: Grants, holder: str, clock: Clock
    ) -> None:
        self.in_use = 0
        self._bucket = bucket
        self._limit = limit
        self._cover_seconds = timeout_seconds + COVER_SECONDS
        self._grants = grants
        self._holder = holder
        self._clock = clock
        self._lock = asyncio.Lock()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._places = 0
        self._until = 0.0
        self._ask_at = 0.0
        self._is_contended = False
        self._duration = 1.0

    @property
    def interval(self) -> float:
        return self._duration / self._limit

    async def enter(self) -> bool:
        """Take a place, or wait a moment for one. Return False where none becomes free. Raises Temporary."""
        if await self._entered():
            return True
        if not self.in_use or len(self._waiting) >= MAX_WAITING:
            return False
        freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(freed)
        try:
            await asyncio.wait_for(freed, PATIENCE_SECONDS)
        except TimeoutError:
            return False
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(freed)
        return await self._entered()

    async def leave(self, seconds: float | None) -> None:
        """Give the place back that was used for so many seconds, None for no attempt; all, where others need them."""
        self.in_use -= 1
        if seconds is not None:
            self._duration += WEIGHT * (seconds - self._duration)
        if self._waiting:
            freed = self._waiting.popleft()
            if not freed.done():
                freed.set_result(None)
        elif not self.in_use and self._is_contended:
            with contextlib.suppress(Temporary):  # the lease ends by itself
                await self._lease(0)

    async def _entered(self) -> bool:
        if self._take():
            return True
        async with self._lock:
            if not self._take():
                if 0 < self._ask_at - self._clock.now() <= ASK_AGAIN_SECONDS:  # more: the clock was set back
                    return False
                await self._lease(min(max(self.in_use + 1, 2 * self.in_use), self._limit))
                return self._take()
        return True

    def _take(self) -> bool:
        is_free = self.in_use < self._places and self._clock.now() + self._cover_seconds <= self._until
        self.in_use += is_free
        return is_free

    async def _lease(self, wanted: int) -> None:
        now, seconds = self._clock.now(), self._cover_seconds + LEASE_SECONDS
        lease = await self._grants.lease(self._bucket, self._holder, wanted, self._limit, now, seconds, self.in_use)
        self._places, self._until, self._is_contended = lease.places, now + seconds, lease.is_contended
        if lease.places < wanted or lease.places == self._limit:
            self._ask_at = now + ASK_AGAIN_SECONDS
