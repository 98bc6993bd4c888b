"""The rate of one bucket, and its queue: the times at which attempts may begin.

All instances together keep the rate. Of a fast rate, an instance leases a share for a while, paces its attempts by it,
and asks for more when the share runs short: one write for many attempts. Of a slow rate, an instance reserves each
slot, and a slot that nobody reserved is lost. Neither saves up slots, so no burst follows a pause.

A delivery that has to wait longer than a moment gets a later slot and comes back at it: one of this instance's share,
or one of the queue, which all instances share. While there is a queue, nothing else passes. The queue reserves several
times at once where many ask, so that a delivery that comes back at its time need not ask again.
"""

import asyncio
from math import ceil, exp, inf
from typing import Final

from shared.ports import Clock
from shared.store_ports import Grants

PATIENCE_SECONDS: Final = 1.0
"""The longest wait within the process. Whoever has to wait longer comes back later."""
MAX_WAIT_SECONDS: Final = 86_400.0
"""Whoever would have to wait longer comes back by then, and asks again."""
LEASE_SECONDS: Final = 10.0
LEASED_SLOTS: Final = 10
"""A rate that has fewer slots in a lease is reserved by slots."""
ASK_AGAIN_SECONDS: Final = 3.0
"""After others had leased all of it."""
DEMAND_SECONDS: Final = 4.0
"""The demand is what came in so long."""
HEADROOM: Final = 2.0
"""A share is for twice the demand: arrivals are not even."""
SHARE_WITH_SPARE: Final = 5
"""A share of so many slots may make up for one that nobody used: a fifth more, at most."""
FIRST: Final = 1.05
"""A demand that is less is that of a single delivery."""
EARLY_SECONDS: Final = 10.0
"""So long before its slot a delivery may come, and waits for it: a sweep publishes some before it ends."""
LATE_SECONDS: Final = 1.0
LATE_SHARE: Final = 0.2
"""So long after its slot a delivery may come and pass: a second, or a part of a longer interval."""
GROWTH: Final = 1.5
"""Before its lease ends, a share grows by at least so much."""
MAX_BATCH: Final = 256
AT_ONCE_SECONDS: Final = 1.0
"""A batch that does not last so long is followed by one of twice the size."""
SPAN_SECONDS: Final = 5.0
"""A batch is for so long at most, unless more are asking: nobody comes at the times of one that is not used up."""


class Rate:
    def __init__(self, bucket: str, count: int, seconds: float, grants: Grants, holder: str, clock: Clock) -> None:
        self.interval = seconds / count
        self._bucket = bucket
        self._grants = grants
        self._holder = holder
        self._clock = clock
        self._lock = asyncio.Lock()
        slots = int(LEASE_SECONDS / self.interval + 1e-6)
        self._all_slots = slots if slots >= LEASED_SLOTS else 0
        self.queue = Queue(bucket, grants, clock, self._all_slots)
        self._share = 0
        self._until = 0.0
        self._demand = 0.0
        self._noted_at = 0.0
        self._last_at = 0.0
        self._ask_at = 0.0
        self._late_at = 0.0

    def kept_slot(self, slot_at: float) -> float | None:
        """Return when a delivery may begin that got this slot before; None if it comes too late for it.

        Those that are late together begin one after another.
        """
        now = self._clock.now()
        if not -max(LATE_SECONDS, LATE_SHARE * self.interval) <= slot_at - now <= EARLY_SECONDS:
            return None
        if slot_at >= now:
            return slot_at
        at = max(now, self._late_at + self.interval)
        if at > now + PATIENCE_SECONDS:
            return None
        self._late_at = at
        return at

    @property
    def earliest(self) -> float:
        """Return when a slot may be free, after `slot` found none."""
        return self._last_at + LEASE_SECONDS / self._share if self._share else max(self._ask_at, self.queue.end)

    async def slot(self, within: float) -> float | None:
        """Return when the attempt may begin, now or later; None if that is too far ahead. Raises Temporary."""
        self._note_demand()
        if self._all_slots and (at := await self._next_leased_slot(within)) is not None:
            return at
        return await self._next_queued_slot(self.interval, self._clock.now(), within)

    async def later_slot(self, interval: float, begin: float) -> float | None:
        """Return a slot from `begin` on, at least `interval` after the one before. As `slot`."""
        return await self._next_queued_slot(max(interval, self.interval), begin, MAX_WAIT_SECONDS)

    async def _next_leased_slot(self, within: float) -> float | None:
        """Return the next moment of this instance's share, of a larger one where it would be far ahead."""
        async with self._lock:
            at = self._next_own_slot(PATIENCE_SECONDS)
            if at is None and (wanted := self._wanted_slots()) >= self._least_wanted_slots():
                await self._lease_share(wanted)
                at = self._next_own_slot(PATIENCE_SECONDS)
            return self._next_own_slot(min(within, LEASE_SECONDS)) if at is None else at

    async def _next_queued_slot(self, interval: float, begin: float, within: float) -> float | None:
        at = await self.queue.next_time(interval, begin, within)
        self._ask_at = max(self._ask_at, self.queue.end - PATIENCE_SECONDS)
        return at

    def _least_wanted_slots(self) -> float:
        """Return the share that is worth a write: any at the end of the lease, and before that a larger one."""
        now = self._clock.now()
        if now < self._ask_at:
            return inf
        return 1 if now >= self._until - PATIENCE_SECONDS else self._share * GROWTH

    def _next_own_slot(self, within: float) -> float | None:
        """Return the next moment of this instance's own share."""
        now = self._clock.now()
        if not self._share or now >= self._until:
            return None
        step = LEASE_SECONDS / self._share
        idle = step if self._share >= SHARE_WITH_SPARE else 0.0
        at = max(now - idle, self._last_at + step)
        if at > now + within or at >= self._until:
            return None
        self._last_at = at
        return at

    def _wanted_slots(self) -> int:
        """Return the slots of a lease that meets the demand, at least one in PATIENCE_SECONDS."""
        if self._demand < FIRST:
            return 1
        least = max(LEASE_SECONDS / max(PATIENCE_SECONDS, self.interval), self._share * GROWTH)
        return min(ceil(max(self._demand * HEADROOM * LEASE_SECONDS / DEMAND_SECONDS, least)), self._all_slots)

    def _note_demand(self) -> None:
        now = self._clock.now()
        if now < self._noted_at - LEASE_SECONDS:  # the clock was set back: what is leased is of a time to come
            self._share, self._until, self._last_at, self._ask_at, self._late_at = 0, now, 0.0, 0.0, 0.0
        self._demand = 1 + self._demand * exp(-max(0.0, now - self._noted_at) / DEMAND_SECONDS)
        self._noted_at = now

    async def _lease_share(self, wanted: int) -> None:
        now = self._clock.now()
        lease = await self._grants.lease(self._bucket, self._holder, wanted, self._all_slots, now, LEASE_SECONDS)
        if lease.is_queued:
            self._ask_at = now + PATIENCE_SECONDS
            return
        if self._last_at > now and lease.places > self._share:  # as many slots are given out, at the new pace
            self._last_at = now + (self._last_at - now) * self._share / lease.places
        self._share, self._until = lease.places, now + LEASE_SECONDS
        if self._share < wanted:
            self._ask_at = self._until - PATIENCE_SECONDS if self._share else now + ASK_AGAIN_SECONDS


class Queue:
    """`limit` is that of the leases of the bucket's slots; 0 where none are leased."""

    def __init__(self, bucket: str, grants: Grants, clock: Clock, limit: int = 0) -> None:
        self._bucket = bucket
        self._grants = grants
        self._clock = clock
        self._limit = limit
        self._lock = asyncio.Lock()
        self._asking = 0
        self._batch = 0
        self._left = 0
        self._at = 0.0
        self._interval = 0.0
        self._reserved_at = 0.0
        self.end = 0.0

    @property
    def is_busy(self) -> bool:
        return self._asking > 0

    async def next_time(self, interval: float, begin: float, within: float = MAX_WAIT_SECONDS) -> float | None:
        """Return the next time in the queue from `begin` on; None if it is further ahead. Raises Temporary.

        `end` is then the time from which on it is empty, as far as this instance knows.
        """
        self._asking += 1
        try:
            async with self._lock:
                if begin + within < (self._at if self._left else self.end):
                    return None
                if not self._left or self._at < begin:
                    await self._reserve(interval, begin, within)
                if not self._left:
                    return None
                at = self._at
                self._left -= 1
                self._at += self._interval
                return at
        finally:
            self._asking -= 1

    async def _reserve(self, interval: float, begin: float, within: float) -> None:
        now = self._clock.now()
        is_more = now < self._reserved_at + AT_ONCE_SECONDS
        self._batch = min(2 * self._batch, max(1, int(SPAN_SECONDS / interval))) if is_more else 1
        count = min(max(self._batch, self._asking), MAX_BATCH)
        first, gap, reserved = await self._grants.reserve(self._bucket, count, interval, begin, within, self._limit)
        self._left, self._at, self._interval, self._reserved_at = reserved, first, gap, now
        self.end = first + reserved * gap
