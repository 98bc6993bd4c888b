"""The rate of one bucket, and its queue: the times at which attempts may begin. These times are called slots.

All instances together keep the rate, through the grants store. If the rate is fast, an instance leases a share of it
for LEASE_SECONDS and spaces its attempts evenly, so one write is enough for many attempts. When the share is too small,
it asks for a larger one. If the rate is slow, an instance reserves each slot by a write. In both cases, unused slots
are lost and not saved up, so no burst follows a pause.

A delivery that would have to wait for longer than PATIENCE_SECONDS gets a later slot and comes back at it. The slot is
one of this instance's share, or one of the queue, which all instances share. While there are deliveries in the queue,
no other delivery passes them. If many deliveries ask at once, the queue reserves several slots by one write.
"""

import asyncio
from math import ceil, exp, inf
from typing import Final

from shared import ports, store_ports

PATIENCE_SECONDS: Final = 1.0
"""The longest wait within the process. A delivery that has to wait longer is scheduled, and comes back."""
MAX_WAIT_SECONDS: Final = 86_400.0
"""The latest slot that a delivery gets. If the queue is longer, it comes back by then and asks again."""
LEASE_SECONDS: Final = 10.0
"""How long a share of the rate is leased."""
LEASED_SLOTS: Final = 10
"""A rate with at least so many slots in LEASE_SECONDS is leased in shares. A slower one is reserved slot by slot."""
ASK_AGAIN_SECONDS: Final = 3.0
"""The wait before the next lease, after other instances had leased the whole rate."""
DEMAND_SECONDS: Final = 4.0
"""The demand is the number of deliveries in about this time: older ones count less and less."""
HEADROOM: Final = 2.0
"""A share has slots for this many times the demand, because deliveries arrive unevenly."""
SHARE_WITH_SPARE: Final = 5
"""If a share has at least so many slots, the last unused slot may be used late. This exceeds the rate by at most a
fifth."""
DEMAND_OF_ONE: Final = 1.05
"""A demand below this is that of a single delivery: 1, and what earlier ones still count."""
EARLY_SECONDS: Final = 10.0
"""How long before its slot a delivery may come back and wait for it. A sweep publishes some of them early."""
LATE_SECONDS: Final = 1.0
LATE_SHARE: Final = 0.2
"""How long after its slot a delivery may still begin: LATE_SECONDS, or this share of a longer interval."""
SHARE_GROWTH: Final = 1.5
"""Before its lease ends, a share is leased again only if it grows by this factor: each lease is a write."""
MAX_BATCH: Final = 256
"""The most slots that the queue reserves in one write."""
AT_ONCE_SECONDS: Final = 1.0
"""If a batch is used up within this time, the next one has twice its size."""
SPAN_SECONDS: Final = 5.0
"""A batch covers at most this time, unless more deliveries are waiting: slots that nobody uses are lost."""


class Rate:
    """The rate as one instance keeps it: `count` attempts in `seconds`, together with all other instances.

    A fast rate (`_most_slots` is not 0) gives out the slots of its lease first, and then those of the queue. A slow one
    gives out only those of the queue. Times are Unix seconds.

    interval    the seconds from one slot of the whole rate to the next
    _most_slots the slots of the whole rate in LEASE_SECONDS; 0 if it is too slow to be leased

    Changed by `_lease_share`:

    _leased_slots  the slots of this instance's share in LEASE_SECONDS, until `_lease_end`; 0 without a share
    _next_lease_at no other lease is asked for before this time

    Changed when a slot is given out:

    _last_slot_at  the last slot of the share
    _last_late_at  the last slot that was given to a delivery that came too late for its own

    Changed by each delivery that asks:

    _demand        the number of deliveries in about DEMAND_SECONDS, as of `_demand_noted_at`
    """

    def __init__(
        self, bucket: str, count: int, seconds: float, grants: store_ports.Grants, holder: str, clock: ports.Clock
    ) -> None:
        self.interval = seconds / count
        self._bucket = bucket
        self._grants = grants
        self._holder = holder
        self._clock = clock
        self._lock = asyncio.Lock()
        slots = int(LEASE_SECONDS / self.interval + 1e-6)  # a quotient such as 9.999999999 is a 10 that was rounded
        self._most_slots = slots if slots >= LEASED_SLOTS else 0
        self.queue = Queue(bucket, grants, clock, self._most_slots)
        self._leased_slots = 0
        self._lease_end = 0.0
        self._next_lease_at = 0.0
        self._last_slot_at = 0.0
        self._last_late_at = 0.0
        self._demand = 0.0
        self._demand_noted_at = 0.0

    def kept_slot(self, slot_at: float) -> float | None:
        """Return when a delivery that got this slot before may begin; None if it comes too late, or far too early.

        Deliveries that are late at the same time begin one after another.
        """
        now = self._clock.now()
        seconds_to_slot = slot_at - now
        most_seconds_late = max(LATE_SECONDS, LATE_SHARE * self.interval)
        if not -most_seconds_late <= seconds_to_slot <= EARLY_SECONDS:
            return None
        if slot_at >= now:
            return slot_at
        at = max(now, self._last_late_at + self.interval)
        if at > now + PATIENCE_SECONDS:
            return None
        self._last_late_at = at
        return at

    @property
    def earliest(self) -> float:
        """Return the earliest time at which a slot may be free, after `slot` returned None."""
        if self._leased_slots:
            return self._last_slot_at + LEASE_SECONDS / self._leased_slots
        return max(self._next_lease_at, self.queue.end)

    async def slot(self, within: float) -> float | None:
        """Return when the attempt may begin; None if that is more than `within` seconds ahead. Raises Temporary."""
        self._note_demand()
        if self._most_slots and (at := await self._next_leased_slot(within)) is not None:
            return at
        return await self._next_queued_slot(self.interval, self._clock.now(), within)

    async def later_slot(self, interval: float, begin: float) -> float | None:
        """Return a slot of the queue from `begin` on, at least `interval` seconds after the previous one.

        Return None if it is more than MAX_WAIT_SECONDS ahead. Raises Temporary.
        """
        return await self._next_queued_slot(max(interval, self.interval), begin, MAX_WAIT_SECONDS)

    async def _next_leased_slot(self, within: float) -> float | None:
        """Return the next slot of this instance's share. If it is far ahead, lease a larger share first.

        Return None if the slot is still too far ahead. Raises Temporary.
        """
        async with self._lock:
            at = self._next_own_slot(PATIENCE_SECONDS)
            if at is not None:
                return at
            wanted = self._wanted_slots()
            if wanted >= self._least_wanted_slots():
                await self._lease_share(wanted)
                at = self._next_own_slot(PATIENCE_SECONDS)
                if at is not None:
                    return at
            return self._next_own_slot(min(within, LEASE_SECONDS))

    async def _next_queued_slot(self, interval: float, begin: float, within: float) -> float | None:
        """Return the next slot of the queue, as `Queue.next_time`. Raises Temporary."""
        at = await self.queue.next_time(interval, begin, within)
        # While slots are reserved ahead, the store leases none.
        self._next_lease_at = max(self._next_lease_at, self.queue.end - PATIENCE_SECONDS)
        return at

    def _least_wanted_slots(self) -> float:
        """Return the smallest share that is worth a write: near the end of the lease any share, and before that one
        that is larger by the factor SHARE_GROWTH."""
        now = self._clock.now()
        if now < self._next_lease_at:
            return inf
        return 1 if now >= self._lease_end - PATIENCE_SECONDS else self._leased_slots * SHARE_GROWTH

    def _next_own_slot(self, within: float) -> float | None:
        """Take the next slot of this instance's share. Return None if it is more than `within` seconds ahead."""
        now = self._clock.now()
        if not self._leased_slots or now >= self._lease_end:
            return None
        step = LEASE_SECONDS / self._leased_slots
        # The slot that has just passed can still be used, if the share is large enough for that.
        earliest = now - step if self._leased_slots >= SHARE_WITH_SPARE else now
        at = max(earliest, self._last_slot_at + step)
        if at > now + within or at >= self._lease_end:
            return None
        self._last_slot_at = at
        return at

    def _wanted_slots(self) -> int:
        """Return the slots of a lease that meets the demand, at least one in PATIENCE_SECONDS."""
        if self._demand < DEMAND_OF_ONE:
            return 1
        slots_by_demand = self._demand * HEADROOM * LEASE_SECONDS / DEMAND_SECONDS
        slots_by_patience = LEASE_SECONDS / max(PATIENCE_SECONDS, self.interval)
        slots = max(slots_by_demand, slots_by_patience, self._leased_slots * SHARE_GROWTH)
        return min(ceil(slots), self._most_slots)

    def _note_demand(self) -> None:
        """Count a delivery. The count falls to 1/e in DEMAND_SECONDS."""
        now = self._clock.now()
        if now < self._demand_noted_at - LEASE_SECONDS:  # the clock was set back, so all these times are wrong
            self._leased_slots = 0
            self._lease_end = now
            self._last_slot_at = self._next_lease_at = self._last_late_at = 0.0
        self._demand = 1 + self._demand * exp(-max(0.0, now - self._demand_noted_at) / DEMAND_SECONDS)
        self._demand_noted_at = now

    async def _lease_share(self, wanted: int) -> None:
        """Lease a share of up to `wanted` slots for LEASE_SECONDS, and note when to ask again. Raises Temporary."""
        now = self._clock.now()
        lease = await self._grants.lease(self._bucket, self._holder, wanted, self._most_slots, now, LEASE_SECONDS)
        if lease.is_queued:
            self._next_lease_at = now + PATIENCE_SECONDS
            return
        if self._last_slot_at > now and lease.places > self._leased_slots:
            # The slots that were given out already end sooner at the new, faster pace.
            self._last_slot_at = now + (self._last_slot_at - now) * self._leased_slots / lease.places
        self._leased_slots = lease.places
        self._lease_end = now + LEASE_SECONDS
        if self._leased_slots == 0:
            self._next_lease_at = now + ASK_AGAIN_SECONDS
        elif self._leased_slots < wanted:
            self._next_lease_at = self._lease_end - PATIENCE_SECONDS


class Queue:
    """The queue of a bucket, which all instances share. An instance reserves its next slot, or several, by one write.

    `limit` is the number of slots that can be leased in LEASE_SECONDS; 0 if the bucket's slots are not leased.

    Changed by `_reserve`, which reserves a batch of slots:

    _batch_size     the size of the last batch. It doubles while batches are used up at once
    _reserved_at    when that was
    _interval       the seconds from one of its slots to the next
    end             the end of the whole queue, as far as this instance knows

    Changed by each delivery that asks:

    _reserved_left  the slots of the batch that are left, from `_next_at` on
    _waiting_count  the deliveries that ask at this moment
    _asked_at       when the last one asked. A time far before it shows that the clock was set back
    """

    def __init__(self, bucket: str, grants: store_ports.Grants, clock: ports.Clock, limit: int = 0) -> None:
        self._bucket = bucket
        self._grants = grants
        self._clock = clock
        self._limit = limit
        self._lock = asyncio.Lock()
        self._waiting_count = 0
        self._batch_size = 0
        self._reserved_left = 0
        self._next_at = 0.0
        self._interval = 0.0
        self._reserved_at = 0.0
        self._asked_at = 0.0
        self.end = 0.0

    @property
    def is_busy(self) -> bool:
        return self._waiting_count > 0

    async def next_time(self, interval: float, begin: float, within: float = MAX_WAIT_SECONDS) -> float | None:
        """Return the next slot of the queue from `begin` on; None if it is more than `within` seconds after `begin`.

        Afterwards, `end` is the end of the queue, as far as this instance knows. Raises Temporary.
        """
        self._waiting_count += 1
        try:
            async with self._lock:
                now = self._clock.now()
                if now < self._asked_at - LEASE_SECONDS:  # the clock was set back, so these times are wrong
                    self._reserved_left = 0
                    self.end = 0.0
                self._asked_at = now
                earliest = self._next_at if self._reserved_left else self.end
                if earliest > begin + within:
                    return None
                if not self._reserved_left or self._next_at < begin:
                    await self._reserve(interval, begin, within)
                if not self._reserved_left:
                    return None
                at = self._next_at
                self._reserved_left -= 1
                self._next_at += self._interval
                return at
        finally:
            self._waiting_count -= 1

    async def _reserve(self, interval: float, begin: float, within: float) -> None:
        """Reserve the next slots of the queue in place of those that this instance has left. Raises Temporary."""
        now = self._clock.now()
        was_used_up_at_once = now < self._reserved_at + AT_ONCE_SECONDS
        if was_used_up_at_once:
            self._batch_size = min(2 * self._batch_size, max(1, int(SPAN_SECONDS / interval)))
        else:
            self._batch_size = 1
        count = min(max(self._batch_size, self._waiting_count), MAX_BATCH)
        first, gap, reserved = await self._grants.reserve(self._bucket, count, interval, begin, within, self._limit)
        self._reserved_left = reserved
        self._next_at = first
        self._interval = gap
        self._reserved_at = now
        self.end = first + reserved * gap
