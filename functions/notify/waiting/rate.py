"""The rate of one bucket: the times at which attempts may begin. These times are called slots.

All instances together keep the rate, through the grants store. If the rate is fast, an instance leases a share of it
for LEASE_SECONDS and spaces its attempts evenly, so one write is enough for many attempts. For example, with a rate of
100 in 10 seconds, an instance with a share of 20 begins an attempt every 0.5 seconds. When the share is too small, it
asks for a larger one. If the rate is slow, an instance reserves each slot by a write. In both cases, unused slots are
lost and not saved up, so no burst follows a pause.

A delivery that would have to wait for longer than PATIENCE_SECONDS gets a later slot and comes back at it. The slot is
one of this instance's share, or one of the queue (slot_queue.py), which all instances share. While there are
deliveries in the queue, no new share is leased, so that no other delivery passes them.
"""

import asyncio
from math import ceil, exp
from typing import Final

from functions.notify.waiting.slot_queue import MAX_WAIT_SECONDS, SET_BACK_SECONDS, SlotQueue
from shared import ports, store_ports

PATIENCE_SECONDS: Final = 1.0
"""The longest wait within the process. A delivery that has to wait longer is scheduled, and comes back."""
EARLY_SECONDS: Final = 10.0
"""How long before its slot a delivery may come back and wait for it. A sweep publishes some of them early."""
LATE_SECONDS: Final = 1.0
LATE_SHARE: Final = 0.2
"""How long after its slot a delivery may still begin: LATE_SECONDS, or this share of a longer interval."""

# The share of the rate that an instance leases:
LEASE_SECONDS: Final = 10.0
"""How long a share of the rate is leased."""
LEASED_SLOTS: Final = 10
"""A rate with at least so many slots in LEASE_SECONDS is leased in shares. A slower one is reserved slot by slot."""
ASK_AGAIN_SECONDS: Final = 3.0
"""The wait before the next lease, after other instances had leased the whole rate."""
SHARE_GROWTH: Final = 1.5
"""Before its lease ends, a share is leased again only if it grows by this factor: each lease is a write."""
SHARE_WITH_SPARE: Final = 5
"""A share with at least so many slots may begin one attempt more than it has slots: a fifth more at most."""

# The demand, by which the instance decides how large a share it leases:
DEMAND_SECONDS: Final = 4.0
"""The demand is the number of deliveries in about this time: older ones count less and less."""
DEMAND_OF_ONE: Final = 1.05
"""A demand below this is that of a single delivery: 1, and what earlier ones still count."""
HEADROOM: Final = 2.0
"""A share has slots for this many times the demand, because deliveries arrive unevenly."""


class LeasedShare:
    """The share of a fast rate that this instance leases. `most_slots` are those of the whole rate in LEASE_SECONDS.

    _slots         the slots of the share in LEASE_SECONDS, until `_lease_end`; 0 without a share
    _last_slot_at  the last slot that was given out
    _ask_at        no lease is asked for before this time
    _demand        the number of deliveries in about DEMAND_SECONDS, as of `_demand_noted_at`
    """

    def __init__(
        self, bucket: str, most_slots: int, grants: store_ports.Grants, holder: str, clock: ports.Clock
    ) -> None:
        self._bucket = bucket
        self._most_slots = most_slots
        self._grants = grants
        self._holder = holder
        self._clock = clock
        self._lock = asyncio.Lock()
        self._demand = 0.0
        self._demand_noted_at = 0.0
        self._forget()

    def _forget(self) -> None:
        self._slots = 0
        self._lease_end = 0.0
        self._last_slot_at = 0.0
        self._ask_at = 0.0

    def earliest_slot(self, queue_end: float) -> float:
        """Return the earliest time at which a slot may be free: without a share, at the end of the queue or later."""
        if self._slots:
            return self._last_slot_at + LEASE_SECONDS / self._slots
        return max(self._ask_at, queue_end)

    def ask_not_before(self, at: float) -> None:
        self._ask_at = max(self._ask_at, at)

    async def slot(self, within: float) -> float | None:
        """Return the next slot of the share; None if it is more than `within` seconds ahead. Raises Temporary.

        If the slot is not near, first lease a larger share, whose slots are nearer.
        """
        self._note_demand()
        async with self._lock:
            near_slot = self._take_slot(PATIENCE_SECONDS)
            if near_slot is not None:
                return near_slot
            wanted = self._wanted_slots()
            now = self._clock.now()
            is_near_lease_end = now >= self._lease_end - PATIENCE_SECONDS
            if now >= self._ask_at and (is_near_lease_end or wanted >= self._slots * SHARE_GROWTH):
                await self._lease(wanted)
            return self._take_slot(min(within, LEASE_SECONDS))

    def _note_demand(self) -> None:
        """Count a delivery. The count falls to 1/e in DEMAND_SECONDS. If the clock was set back, forget the share."""
        now = self._clock.now()
        if now < self._demand_noted_at - SET_BACK_SECONDS:
            self._forget()
        self._demand = 1 + self._demand * exp(-max(0.0, now - self._demand_noted_at) / DEMAND_SECONDS)
        self._demand_noted_at = now

    def _take_slot(self, within: float) -> float | None:
        """Take the next slot of the share. Return None if it is more than `within` seconds ahead."""
        now = self._clock.now()
        if not self._slots or now >= self._lease_end:
            return None
        step = LEASE_SECONDS / self._slots
        # After a pause, a large share also gives out the slot that has just passed. Its attempt begins at once, and
        # the next slot is still free at or soon after `now`.
        earliest = now - step if self._slots >= SHARE_WITH_SPARE else now
        at = max(earliest, self._last_slot_at + step)
        if at > now + within or at >= self._lease_end:
            return None
        self._last_slot_at = at
        return at

    def _wanted_slots(self) -> int:
        """Return the slots of a lease that meets the demand: more than before, and at least one in PATIENCE_SECONDS.

        A single delivery needs only one. No lease has more slots than the rate.
        """
        if self._demand < DEMAND_OF_ONE:
            return 1
        slots_by_demand = self._demand * HEADROOM * LEASE_SECONDS / DEMAND_SECONDS
        slots = max(slots_by_demand, LEASE_SECONDS / PATIENCE_SECONDS, self._slots * SHARE_GROWTH)
        return min(ceil(slots), self._most_slots)

    async def _lease(self, wanted: int) -> None:
        """Lease a share of up to `wanted` slots for LEASE_SECONDS, and note when to ask again. Raises Temporary."""
        now = self._clock.now()
        lease = await self._grants.lease(
            self._bucket, self._holder, wanted=wanted, limit=self._most_slots, now=now, seconds=LEASE_SECONDS
        )
        if lease.is_queued:  # nothing was leased, and the share stays as it was
            self._ask_at = now + PATIENCE_SECONDS
            return
        if self._last_slot_at > now and lease.places > self._slots:
            # The deliveries that wait for the slots given out keep them. The next slot is given out as if they had
            # waited at the new, shorter step, so that the larger share helps at once.
            slots_ahead = (self._last_slot_at - now) * self._slots / LEASE_SECONDS
            self._last_slot_at = now + slots_ahead * LEASE_SECONDS / lease.places
        self._slots = lease.places
        self._lease_end = now + LEASE_SECONDS
        if lease.places == 0:
            self._ask_at = now + ASK_AGAIN_SECONDS
        elif lease.places < wanted:
            self._ask_at = self._lease_end - PATIENCE_SECONDS


class Rate:
    """The rate as one instance keeps it: `count` attempts in `seconds`, together with all other instances.

    A fast rate gives out the slots of its share first, and then those of the queue. A slow one has no share. Times are
    Unix seconds.

    interval       the seconds from one slot of the whole rate to the next
    _last_late_at  the last time that was given to a delivery that came too late for its slot
    """

    def __init__(
        self, bucket: str, count: int, seconds: float, grants: store_ports.Grants, holder: str, clock: ports.Clock
    ) -> None:
        self.interval = seconds / count
        slots = int(LEASE_SECONDS / self.interval + 1e-6)  # a quotient such as 9.999999999 is a 10 that was rounded
        is_leased = slots >= LEASED_SLOTS
        self.queue = SlotQueue(bucket, grants, clock, slots if is_leased else 0)
        self._share = LeasedShare(bucket, slots, grants, holder, clock) if is_leased else None
        self._clock = clock
        self._last_late_at = 0.0

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
        return self._share.earliest_slot(self.queue.end) if self._share else self.queue.end

    async def slot(self, within: float) -> float | None:
        """Return when the attempt may begin; None if that is more than `within` seconds ahead. Raises Temporary.

        `within` is at least PATIENCE_SECONDS.
        """
        at = await self._share.slot(within) if self._share else None
        if at is not None:
            return at
        return await self._queued_slot(self.interval, self._clock.now(), within)

    async def later_slot(self, interval: float, begin: float) -> float | None:
        """Return a slot of the queue from `begin` on, at least `interval` seconds after the previous one.

        Return None if it is more than MAX_WAIT_SECONDS ahead. Raises Temporary.
        """
        return await self._queued_slot(max(interval, self.interval), begin, MAX_WAIT_SECONDS)

    async def _queued_slot(self, interval: float, begin: float, within: float) -> float | None:
        """Return the next slot of the queue, as `SlotQueue.next_slot`. Raises Temporary."""
        at = await self.queue.next_slot(interval, begin, within)
        if self._share:
            # While slots of the queue are reserved ahead, the store leases none.
            self._share.ask_not_before(self.queue.end - PATIENCE_SECONDS)
        return at
