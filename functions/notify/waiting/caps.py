"""Caps: how often attempts at a destination may begin, and how many may be under way, over all instances.

bucket  the deliveries that are counted together: those of a destination, or with `per` those of each key
slot    a time at which an attempt may begin by the `rate` of a bucket (rate.py)
place   the right to have one attempt under way, of which a bucket has as many as its `in_flight` says
lease   an instance's claim to places of a bucket, or to slots of a fast rate, until a time
queue   the times of a bucket's waiting deliveries, one after another; its slots if the bucket has a rate

If a delivery would have to wait for longer than PATIENCE_SECONDS, the queue of its bucket gives it a time. It goes back
to the ledger until then, without an attempt. So waiting deliveries hold up no delivery of another key or another
destination. A delivery that comes back at its slot is attempted without asking for another slot, unless the rate was
changed meanwhile.

An instance leases one place at first, and up to twice as many as are in use when all of them are in use. An attempt
begins only if the lease outlasts it. So the places of an instance that died are free when its lease ends.
"""

import asyncio
import contextlib
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import cache
from secrets import token_hex
from typing import Final, TypeAlias

from functions.notify import bounded_texts
from functions.notify.registry import DeliveryOptions
from functions.notify.waiting.rate import PATIENCE_SECONDS, Rate
from functions.notify.waiting.schedule import Wait
from functions.notify.waiting.slot_queue import MAX_WAIT_SECONDS, SlotQueue
from shared import errors, event, ports, store_ports, time_bound, times
from shared.delivery import Delivery

MAX_BUCKETS: Final = 10_000
"""The number of buckets that are remembered. If a bucket is forgotten, the slots and places that this instance leased
stay unused until the lease ends."""
LEASE_SECONDS: Final = 15.0
"""How long places are leased, besides the time that an attempt may take."""
COVER_SECONDS: Final = 5.0
"""The time that an attempt may take besides its timeout: it waits for its rate, and its outcome is written."""
ASK_AGAIN_SECONDS: Final = 1.0
"""The wait before an instance asks for more places, after it got all of them or fewer than it asked for."""
MAX_WAITING: Final = 10
"""The number of deliveries that wait in the process for a place of this instance. Any other comes back later."""
NEWEST_WEIGHT: Final = 0.2
"""The weight of the newest attempt in the moving average of the attempts' durations, from the fifth attempt on. The
first ones count equally."""
ASSUMED_SECONDS: Final = 0.1
"""The assumed duration of an attempt until one has ended. If it were long, deliveries to a fast receiver would wait for
minutes, because they keep the times that they get."""
LEAST_SECONDS: Final = 0.001
"""The least duration that counts for an attempt. Less is measured if the clock is set back during it."""


_BucketKey: TypeAlias = tuple[str, tuple[int, float] | None]
"""The name of a bucket, and the rate."""


class Caps:
    """The caps of all destinations. `grants` is called at first use, because most configurations have no caps."""

    def __init__(self, grants: Callable[[], store_ports.Grants], clock: ports.Clock) -> None:
        self._grants = cache(grants)
        self._clock = clock
        self._holder = token_hex(8)
        self._buckets: OrderedDict[_BucketKey, _Bucket] = OrderedDict()
        self._under_way: dict[str, tuple[Places, float]] = {}
        """By delivery: the places of which it has one, and since when."""

    async def enter(
        self, configured: DeliveryOptions, delivery: Delivery, slot_at: float = 0.0, slot_reason: str = ""
    ) -> Wait | None:
        """Return None if the delivery may be attempted, or else its wait. Raises Temporary.

        `slot_at` is the slot that an earlier call gave to the delivery, from its row in the ledger; 0 without one.
        `slot_reason` is the reason of that wait, which shows whether the slot is one of the present rate.
        """
        if configured.rate is None and configured.in_flight is None:
            return None
        bucket = self._bucket(configured, delivery)
        gathers = configured.gather is not None and configured.gather.is_rated and not delivery.merged
        wait = await bucket.enter(slot_at, slot_reason, gathers)
        if wait is None and bucket.places:
            self._under_way[delivery.id] = bucket.places, self._clock.now()
        return wait

    async def leave(self, delivery: Delivery) -> None:
        """Give back the delivery's place, once its outcome is recorded. Do nothing if it has none."""
        if under_way := self._under_way.pop(delivery.id, None):
            places, since = under_way
            places.note_duration(self._clock.now() - since)
            await places.leave()

    def _bucket(self, configured: DeliveryOptions, delivery: Delivery) -> "_Bucket":
        # The tenant of an endpoint can change its rate while this process runs.
        key = bucket_name(configured, delivery), configured.rate
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(key[0], configured, self._grants(), self._holder, self._clock)
            self._forget()
        self._buckets.move_to_end(key)
        return bucket

    def _forget(self) -> None:
        """Forget the bucket that was used longest ago. One that is in use stays, and the next is tried next time."""
        if len(self._buckets) > MAX_BUCKETS:
            key, oldest = next(iter(self._buckets.items()))
            if oldest.is_in_use:
                self._buckets.move_to_end(key)
            else:
                del self._buckets[key]


def bucket_name(configured: DeliveryOptions, delivery: Delivery) -> str:
    """Return the name of the delivery's bucket: the destination's, and with `per` also a hash of the key.

    The key itself may be long, or a customer's name.
    """
    if configured.per is None:
        return configured.name
    try:
        with time_bound.bounded():
            key = bounded_texts.compiled_expression(configured.per).search(event.view_of(delivery.event))
        text = str(key)
    except (errors.Permanent, ValueError, time_bound.OutOfTime):  # a sum may have more digits than Python writes
        return f"{configured.name}:"
    if isinstance(key, bool) or not isinstance(key, str | int | float):
        return f"{configured.name}:"
    return f"{configured.name}:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


class Places:
    """The places of a bucket that this instance leases. `holder` is the id of the instance.

    The instance asks for places if it has no free one (`_try_to_enter`). If it got all or fewer than it asked for, it
    does not ask again before `_ask_at`. If other instances need places (`_is_contended`), it ends a lease that it does
    not use (`leave`).

    Changed by `enter` and `leave`:

    in_use    the number of places that deliveries have now
    _waiting  the deliveries that wait in the process for one, the longest first

    Changed by `_lease`:

    _leased_places  the number of places of the lease, until `_lease_end`
    _ask_at         no other lease is asked for before this time, unless the lease is given back
    _is_contended   at the last lease, other instances had fewer places than they wanted

    Changed by `note_duration`:

    _average_seconds  the moving average of the time that an attempt has its place
    _attempt_count    the number of attempts in it
    """

    def __init__(
        self,
        bucket: str,
        limit: int,
        timeout_seconds: float,
        grants: store_ports.Grants,
        holder: str,
        clock: ports.Clock,
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
        self._leased_places = 0
        self._lease_end = 0.0
        self._ask_at = 0.0
        self._is_contended = False
        self._average_seconds = ASSUMED_SECONDS
        self._attempt_count = 0

    @property
    def interval(self) -> float:
        """Return the average seconds until the next place becomes free, over all instances."""
        return self._average_seconds / self._limit

    async def enter(self) -> bool:
        """Take a place, or wait a moment for one. Return False if none becomes free. Raises Temporary."""
        if await self._try_to_enter():
            return True
        # If no place is in use here, none is given back here: other instances have them all.
        if not self.in_use or len(self._waiting) >= MAX_WAITING:
            return False
        freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(freed)
        try:
            await asyncio.wait_for(freed, PATIENCE_SECONDS)
        except TimeoutError:
            return False
        finally:
            with contextlib.suppress(ValueError):  # `leave` has taken it from there
                self._waiting.remove(freed)
        return await self._try_to_enter()

    def note_duration(self, seconds: float) -> None:
        """Count how long an attempt had its place."""
        self._attempt_count += 1
        weight = max(NEWEST_WEIGHT, 1 / self._attempt_count)
        self._average_seconds += weight * (max(seconds, LEAST_SECONDS) - self._average_seconds)

    async def leave(self) -> None:
        """Give back a place. If none is in use any more and other instances need places, end the lease, too."""
        self.in_use -= 1
        if self._waiting:
            freed = self._waiting.popleft()
            if not freed.done():
                freed.set_result(None)
        elif not self.in_use and self._is_contended:
            with contextlib.suppress(errors.Temporary):  # the lease ends by itself
                await self._lease(0)

    async def _try_to_enter(self) -> bool:
        """Take a place, after leasing more of them if there is no free one. Return False without one."""
        if self._take():
            return True
        async with self._lock:
            if self._take():  # another delivery leased places, while this one waited for the lock
                return True
            seconds_left = self._ask_at - self._clock.now()
            # After a clock was set back, more than ASK_AGAIN_SECONDS would be left.
            if 0 < seconds_left <= ASK_AGAIN_SECONDS:
                return False
            await self._lease(min(max(1, 2 * self.in_use), self._limit))
            return self._take()

    def _take(self) -> bool:
        """Take a free place of the lease. Return False if there is none, or if the lease may end before the attempt."""
        outlasts_attempt = self._clock.now() + self._cover_seconds <= self._lease_end
        if self.in_use >= self._leased_places or not outlasts_attempt:
            return False
        self.in_use += 1
        return True

    async def _lease(self, wanted: int) -> None:
        """Lease that many places in place of those that are leased now. Raises Temporary."""
        now = self._clock.now()
        seconds = self._cover_seconds + LEASE_SECONDS
        lease = await self._grants.lease(self._bucket, self._holder, wanted, self._limit, now, seconds, self.in_use)
        self._leased_places = lease.places
        self._lease_end = now + seconds
        self._is_contended = lease.is_contended
        if lease.places < wanted or lease.places == self._limit:
            self._ask_at = now + ASK_AGAIN_SECONDS


class _Bucket:
    """One bucket, as this instance sees it: a rate, places, or both.

    With a rate, waiting deliveries queue for its slots; without one, for the times at which places become free.
    """

    def __init__(
        self, name: str, configured: DeliveryOptions, grants: store_ports.Grants, holder: str, clock: ports.Clock
    ) -> None:
        self._clock = clock
        self._rate: Rate | None = None
        self._rate_reason = ""
        if configured.rate:
            count, seconds = configured.rate
            # Each rate has grants of its own: the queue of another rate may reach far beyond that of this one.
            self._rate = Rate(f"{name}:{count}-{seconds:g}:rate", count, seconds, grants, holder, clock)
            self._rate_reason = (
                f"the `rate` allows {count} in {times.duration_text(seconds)}:"
                f" one delivery each {times.duration_text(self._rate.interval)}"
            )
        self._places_reason = f"as many deliveries as `in_flight` allows ({configured.in_flight}) are under way"
        self.places: Places | None = None
        if configured.in_flight:
            timeout_seconds = configured.timeout_seconds
            self.places = Places(f"{name}:places", configured.in_flight, timeout_seconds, grants, holder, clock)
        self._queue = self._rate.queue if self._rate else SlotQueue(f"{name}:queue", grants, clock)

    @property
    def is_in_use(self) -> bool:
        return self._queue.is_busy or bool(self.places and self.places.in_use)

    async def enter(self, slot_at: float, slot_reason: str, gathers: bool) -> Wait | None:
        """Return None if the delivery may be attempted, or else its wait. Raises Temporary.

        The delivery waits for the slot that it got before, takes a place, and only then asks for a new slot if it has
        none: a place can be given back, but a slot that nobody uses is lost. A delivery that may be attempted keeps its
        place until `Caps.leave`.

        `gathers`: deliveries over the rate wait for a digest, which takes one slot for all of them.
        """
        has_slot = await self._wait_for_slot(slot_at, slot_reason)
        if self.places and not await self.places.enter():
            return await self._wait_for_place(self.places)
        if self._rate is None or has_slot:
            return None
        keeps_place = False
        try:
            wait = await self._enter_rate(self._rate, gathers)
            keeps_place = wait is None
        finally:  # a cancelled delivery gives its place back, too
            if self.places and not keeps_place:
                await self.places.leave()
        return wait

    async def _wait_for_slot(self, slot_at: float, slot_reason: str) -> bool:
        """Wait for the slot that the delivery got before.

        Return False if it has none, if that was a slot of another rate, or if the delivery comes too late for it.
        """
        is_of_this_rate = slot_reason in (self._rate_reason, self._places_reason)
        at = self._rate.kept_slot(slot_at) if self._rate and slot_at and is_of_this_rate else None
        if at is not None:
            await asyncio.sleep(max(0.0, at - self._clock.now()))
        return at is not None

    async def _enter_rate(self, rate: Rate, gathers: bool) -> Wait | None:
        """Wait in the process for a slot that is near, and return None. Otherwise return the delivery's wait: for a
        digest, or until its later slot. Raises Temporary."""
        # A delivery that can wait for a digest reserves no later slot: nobody would use it.
        at = await rate.slot(within=PATIENCE_SECONDS if gathers else MAX_WAIT_SECONDS)
        now = self._clock.now()
        if at is None and gathers:
            return Wait(max(rate.earliest, now), self._rate_reason, is_over_rate=True)
        if at is None or at > now + PATIENCE_SECONDS:
            return self._wait_until(at, self._rate_reason)
        await asyncio.sleep(max(0.0, at - now))
        return None

    async def _wait_for_place(self, places: Places) -> Wait:
        """Return the wait until a place is expected to be free. Raises Temporary."""
        begin = self._clock.now() + PATIENCE_SECONDS  # the delivery has waited in the process for so long already
        if self._rate:
            at = await self._rate.later_slot(places.interval, begin)
        else:
            at = await self._queue.next_slot(places.interval, begin)
        return self._wait_until(at, self._places_reason)

    def _wait_until(self, at: float | None, reason: str) -> Wait:
        """Return a wait until `at`, which is a slot if the bucket has a rate."""
        if at is None:  # the queue is longer than MAX_WAIT_SECONDS
            return Wait(self._clock.now() + MAX_WAIT_SECONDS, reason)
        return Wait(at, reason, has_slot=self._rate is not None)
