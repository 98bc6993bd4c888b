"""The rate of one bucket: the moments at which this instance may begin an attempt.

All instances together keep the cap. Of a fast rate, an instance leases a share for a while, paces its attempts by it,
and asks for more where it runs short: one write for many attempts. Of a slow one, it reserves each slot, and a slot
that nobody reserved is over. Neither saves up: no burst follows a pause.
"""

import asyncio
from math import ceil
from typing import Final

from shared.ports import Clock, Grants

PATIENCE_SECONDS: Final = 1.0
"""The longest wait within the process. Whoever has to wait longer comes back later."""
LEASE_SECONDS: Final = 10.0
MAX_LEASE_SECONDS: Final = 60.0
LEASED_SLOTS: Final = 20
"""A lease is so long that the cap has at least so many slots in it; a rate too slow for that is reserved by slots."""
ASK_AGAIN_SECONDS: Final = 3.0
"""After others had leased all of it."""
HEADROOM: Final = 1.25
"""The next lease is for what was used of the last one, and a quarter more."""


class Rate:
    def __init__(self, bucket: str, count: int, seconds: float, grants: Grants, holder: str, clock: Clock) -> None:
        self.interval = seconds / count
        self._bucket = bucket
        self._grants = grants
        self._holder = holder
        self._clock = clock
        self._lock = asyncio.Lock()
        self._lease_seconds = min(max(LEASED_SLOTS * self.interval, LEASE_SECONDS), MAX_LEASE_SECONDS)
        self._all_slots = int(self._lease_seconds / self.interval + 1e-6)
        self._share = 0
        self._until = 0.0
        self._used = 0
        self._last_at = 0.0
        self._ask_at = 0.0

    @property
    def earliest(self) -> float:
        """Return when a slot may be free, after `slot` found none."""
        return self._last_at + self._lease_seconds / self._share if self._share else self._ask_at

    async def slot(self) -> float | None:
        """Return when the attempt may begin, within PATIENCE_SECONDS; None where it has to wait longer.

        Raises Temporary.
        """
        async with self._lock:
            if self._all_slots < LEASED_SLOTS:
                return await self._reserved()
            at = self._paced()
            while at is None and self._clock.now() >= self._ask_at:
                await self._lease()
                at = self._paced()
            return at

    async def _reserved(self) -> float | None:
        now = self._clock.now()
        if now + PATIENCE_SECONDS < self._ask_at:
            return None
        first = await self._grants.reserve(self._bucket, 1, self.interval, now, PATIENCE_SECONDS)
        is_free = first <= now + PATIENCE_SECONDS
        self._ask_at = first + self.interval if is_free else first
        return first if is_free else None

    def _paced(self) -> float | None:
        """Return the next moment of this instance's own share."""
        now = self._clock.now()
        if not self._share or now >= self._until:
            return None
        at = max(now, self._last_at + self._lease_seconds / self._share)
        if at > now + PATIENCE_SECONDS or at >= self._until:
            return None
        self._last_at = at
        self._used += 1
        return at

    async def _lease(self) -> None:
        """Ask for a share: a larger one where it is too small, and at its end one like what was used of it."""
        now = self._clock.now()
        if is_over := now >= self._until - PATIENCE_SECONDS:
            is_fresh = now > self._until + self._lease_seconds
            wanted = 1 if is_fresh else ceil(self._used * HEADROOM) + 1
        else:
            wanted = max(2 * self._share, ceil(self._lease_seconds / PATIENCE_SECONDS))
        wanted = min(wanted, self._all_slots)
        lease = await self._grants.lease(self._bucket, self._holder, wanted, self._all_slots, now, self._lease_seconds)
        self._share, self._until = lease.places, now + self._lease_seconds
        self._used = 0 if is_over else self._used
        if self._share == self._all_slots or 0 < self._share < wanted:
            self._ask_at = self._until - PATIENCE_SECONDS
        elif not self._share:
            self._ask_at = now + ASK_AGAIN_SECONDS
