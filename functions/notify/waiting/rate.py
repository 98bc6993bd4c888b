"""The rate of one bucket: the times at which attempts may begin. These times are called slots.

All instances together keep the rate, through the grants store. If the rate is fast, an instance leases a share of it
for LEASE_SECONDS and spaces its attempts evenly, so one write is enough for many attempts. When the share is too small,
it asks for a larger one. If the rate is slow, an instance reserves each slot by a write. In both cases, unused slots
are lost and not saved up, so no burst follows a pause.

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
"""If a share has at least so many slots, the last unused slot may be used late. This exceeds the rate by at most a
fifth."""

# The demand, by which the instance decides how large a share it leases:
DEMAND_SECONDS: Final = 4.0
"""The demand is the number of deliveries in about this time: older ones count less and less."""
DEMAND_OF_ONE: Final = 1.05
"""A demand below this is that of a single delivery: 1, and what earlier ones still count."""
HEADROOM: Final = 2.0
"""A share has slots for this many times the demand, because deliveries arrive unevenly."""


class Rate:
    """The rate as one instance keeps it: `count` attempts in `seconds`, together with all other instances.

    A fast rate (`_most_slots` is not 0) gives out the slots of its lease first, and then those of the queue. A slow one
    gives out only those of the queue. Times are Unix seconds.

    interval    the seconds from one slot of the whole rate to the next
    _most_slots the slots of the whole rate in LEASE_SECONDS; 0 if it is too slow to be leased

    Changed by `_lease_share`:

    _leased_slots  the slots of this instance's share in LEASE_SECONDS, until `_lease_end`; 0 without a share
    _next_lease_at no other lease is asked for before this time. A slot of the queue changes it, too

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
        self.queue = SlotQueue(bucket, grants, clock, self._most_slots)
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
        """Return when the attempt may begin; None if that is more than `within` seconds ahead. Raises Temporary.

        `within` is at least PATIENCE_SECONDS.
        """
        self._note_demand()
        at = await self._leased_slot(within) if self._most_slots else None
        if at is not None:
            return at
        return await self._queued_slot(self.interval, self._clock.now(), within)

    async def later_slot(self, interval: float, begin: float) -> float | None:
        """Return a slot of the queue from `begin` on, at least `interval` seconds after the previous one.

        Return None if it is more than MAX_WAIT_SECONDS ahead. Raises Temporary.
        """
        return await self._queued_slot(max(interval, self.interval), begin, MAX_WAIT_SECONDS)

    async def _leased_slot(self, within: float) -> float | None:
        """Return a slot of this instance's share; None if the next one is more than `within` seconds ahead.

        If the slot is not near, first lease a larger share, whose slots are nearer. Raises Temporary.
        """
        async with self._lock:
            near_slot = self._take_leased_slot(PATIENCE_SECONDS)
            if near_slot is not None:
                return near_slot
            wanted = self._wanted_slots()
            if self._is_worth_a_write(wanted):
                await self._lease_share(wanted)
            return self._take_leased_slot(min(within, LEASE_SECONDS))

    async def _queued_slot(self, interval: float, begin: float, within: float) -> float | None:
        """Return the next slot of the queue, as `SlotQueue.next_slot`. Raises Temporary.

        Until the end of the queue is near, ask for no lease: while slots are reserved ahead, the store leases none.
        """
        at = await self.queue.next_slot(interval, begin, within)
        self._next_lease_at = max(self._next_lease_at, self.queue.end - PATIENCE_SECONDS)
        return at

    def _is_worth_a_write(self, wanted: int) -> bool:
        """Return whether to lease a share of so many slots now: near the end of the lease any share, and before that
        only one that is larger by the factor SHARE_GROWTH."""
        now = self._clock.now()
        if now < self._next_lease_at:
            return False
        return now >= self._lease_end - PATIENCE_SECONDS or wanted >= self._leased_slots * SHARE_GROWTH

    def _take_leased_slot(self, within: float) -> float | None:
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
        """Count a delivery. The count falls to 1/e in DEMAND_SECONDS. If the clock was set back, forget all times."""
        now = self._clock.now()
        if now < self._demand_noted_at - SET_BACK_SECONDS:
            self._leased_slots = 0
            self._lease_end = now
            self._last_slot_at = self._next_lease_at = self._last_late_at = 0.0
        self._demand = 1 + self._demand * exp(-max(0.0, now - self._demand_noted_at) / DEMAND_SECONDS)
        self._demand_noted_at = now

    async def _lease_share(self, wanted: int) -> None:
        """Lease a share of up to `wanted` slots for LEASE_SECONDS, and note when to ask again. Raises Temporary."""
        now = self._clock.now()
        lease = await self._grants.lease(
            self._bucket, self._holder, wanted=wanted, limit=self._most_slots, now=now, seconds=LEASE_SECONDS
        )
        if lease.is_queued:  # nothing was leased, and the share stays as it was
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
