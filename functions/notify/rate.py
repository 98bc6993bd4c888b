"""The rate of one bucket: the moments at which this instance may begin an attempt.

All instances together keep the cap. Of a fast rate, an instance leases a share for a while, paces its attempts by it,
and asks for more where it runs short: one write for many attempts. Of a slow one, it reserves each slot, and a slot
that nobody reserved is over. Neither saves up: no burst follows a pause.
"""

import asyncio
from math import ceil, exp, inf
from typing import Final

from shared.ports import Clock, Grants

PATIENCE_SECONDS: Final = 1.0
"""The longest wait within the process. Whoever has to wait longer comes back later."""
LEASE_SECONDS: Final = 10.0
MAX_LEASE_SECONDS: Final = 60.0
LEASED_SLOTS: Final = 30
"""A lease is so long that the cap has at least so many slots in it; a rate too slow for that is reserved by slots."""
ASK_AGAIN_SECONDS: Final = 3.0
"""After others had leased all of it."""
DEMAND_LEASES: Final = 0.4
"""The demand is what came lately: in so much of a lease's time."""
HEADROOM: Final = 2.0
"""A share is for twice the demand: arrivals are not even."""
SHARE_WITH_SPARE: Final = 5
"""A share of so many slots may make up for one that nobody used: a fifth more, at most."""
FIRST: Final = 1.05
"""A demand that is less is that of a single delivery."""
GROWTH: Final = 1.25
"""Before its lease ends, a share grows by at least so much."""


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
        self._demand = 0.0
        self._noted_at = 0.0
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
        self._note_demand()
        async with self._lock:
            if self._all_slots < LEASED_SLOTS:
                return await self._reserved()
            at = self._paced()
            if at is None and (wanted := self._wanted()) >= self._least_wanted():
                await self._lease(wanted)
                at = self._paced()
            return at

    def _least_wanted(self) -> float:
        """Return the share that is worth a write: any at the end of the lease, and before that a larger one."""
        now = self._clock.now()
        if now < self._ask_at:
            return inf
        return 1 if now >= self._until - PATIENCE_SECONDS else self._share * GROWTH

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
        step = self._lease_seconds / self._share
        idle = step if self._share >= SHARE_WITH_SPARE else 0.0
        at = max(now - idle, self._last_at + step)
        if at > now + PATIENCE_SECONDS or at >= self._until:
            return None
        self._last_at = at
        return at

    def _wanted(self) -> int:
        """Return the slots of a lease that meets the demand, at least one in PATIENCE_SECONDS."""
        if self._demand < FIRST:
            return 1
        least = self._lease_seconds / max(PATIENCE_SECONDS, self.interval)
        return min(ceil(max(self._demand * HEADROOM / DEMAND_LEASES, least)), self._all_slots)

    def _note_demand(self) -> None:
        now = self._clock.now()
        self._demand = 1 + self._demand * exp((self._noted_at - now) / (self._lease_seconds * DEMAND_LEASES))
        self._noted_at = max(now, self._noted_at)

    async def _lease(self, wanted: int) -> None:
        now = self._clock.now()
        lease = await self._grants.lease(self._bucket, self._holder, wanted, self._all_slots, now, self._lease_seconds)
        if self._last_at > now and lease.places > self._share:  # as many slots are given out, at the new pace
            self._last_at = now + (self._last_at - now) * self._share / lease.places
        self._share, self._until = lease.places, now + self._lease_seconds
        if self._share < wanted:
            self._ask_at = self._until - PATIENCE_SECONDS if self._share else now + ASK_AGAIN_SECONDS
