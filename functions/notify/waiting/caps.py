"""Caps: how often attempts at a destination may begin, and how many may be under way, over all instances.

`rate` and `in_flight` apply to the destination, or with `per` to each key of it. Such a unit is a bucket. A delivery
that has to wait longer than a moment waits without an attempt, until a time that the queue of its bucket gives it, so
those who wait come back one after another. With a rate, that time is a slot: a delivery that comes back at it passes.
So a delivery holds up no delivery of another key or another destination.

Of `in_flight`, an instance leases as many places as it uses, and more where they do not suffice. An attempt begins only
where the lease outlasts it, so the places of an instance that died are free after the lease.
"""

import asyncio
import contextlib
import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import cache
from secrets import token_hex
from typing import Final

from functions.notify.bounded_texts import compiled_expression
from functions.notify.registry import Configured
from functions.notify.waiting.rate import MAX_WAIT_SECONDS, PATIENCE_SECONDS, Queue, Rate
from functions.notify.waiting.schedule import Wait
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary
from shared.event import view_of
from shared.ports import Clock
from shared.store_ports import Grants
from shared.time_bound import OutOfTime, bounded
from shared.times import duration_text

MAX_BUCKETS: Final = 10_000
"""The number of buckets that are remembered. If a bucket is forgotten, the slots that this instance leased of it stay
unused until the lease ends."""
LEASE_SECONDS: Final = 15.0
"""How long places are leased, besides the time that an attempt may take."""
COVER_SECONDS: Final = 5.0
"""What an attempt may take besides its timeout: the wait for its rate, and its outcome's way into the ledger."""
ASK_AGAIN_SECONDS: Final = 1.0
MAX_WAITING: Final = 10
"""Deliveries that wait in the process for a place of this instance. The others come back later."""
WEIGHT: Final = 0.2
"""Of the newest duration in their average."""


class Caps:
    """A gate. `grants` is called at first use: most configurations have no caps."""

    def __init__(self, grants: Callable[[], Grants], clock: Clock) -> None:
        self._grants = cache(grants)
        self._clock = clock
        self._holder = token_hex(8)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._under_way: dict[str, tuple[Places, float]] = {}

    async def enter(self, configured: Configured, delivery: Delivery, slot_at: float) -> Wait | None:
        """Return None if the delivery may be attempted, or until when it waits. Raises Temporary.

        `slot_at` is the time that an earlier call gave to the delivery, as its row has it; 0 without one.
        """
        if configured.rate is None and configured.in_flight is None:
            return None
        bucket = self._bucket(configured, delivery)
        gathers = configured.gather is not None and configured.gather.is_rated and not delivery.merged
        wait = await bucket.enter(slot_at, gathers)
        if wait is None and bucket.places:
            self._under_way[delivery.id] = bucket.places, self._clock.now()
        return wait

    async def leave(self, delivery: Delivery) -> None:
        """Give back what the delivery took, once its outcome is recorded; nothing if it took nothing."""
        if under_way := self._under_way.pop(delivery.id, None):
            places, since = under_way
            await places.leave(self._clock.now() - since)

    def _bucket(self, configured: Configured, delivery: Delivery) -> "_Bucket":
        name = bucket_name(configured, delivery)
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(name, configured, self._grants(), self._holder, self._clock)
            self._forget()
        self._buckets.move_to_end(name)
        return bucket

    def _forget(self) -> None:
        """Forget the bucket that was used longest ago. One that is in use stays, and the next is tried next time."""
        if len(self._buckets) > MAX_BUCKETS:
            name, oldest = next(iter(self._buckets.items()))
            if oldest.is_in_use:
                self._buckets.move_to_end(name)
            else:
                del self._buckets[name]


def bucket_name(configured: Configured, delivery: Delivery) -> str:
    """Return the destination's name, and with `per` a hash of the key: it may be long, or a customer's name.

    The rate of a tenant's endpoint may change while deliveries to it wait for their slots: each has its own.
    """
    if configured.health is not None and configured.rate is not None:
        return f"{configured.name}:{configured.rate[0]}-{configured.rate[1]:g}"
    if configured.per is None:
        return configured.name
    try:
        with bounded():
            key = compiled_expression(configured.per).search(view_of(delivery.event))
        text = str(key)
    except (Permanent, ValueError, OutOfTime):  # a sum may have more digits than Python writes
        return f"{configured.name}:"
    if isinstance(key, bool) or not isinstance(key, str | int | float):
        return f"{configured.name}:"
    return f"{configured.name}:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


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
        if await self._try_to_enter():
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
        return await self._try_to_enter()

    async def leave(self, seconds: float | None) -> None:
        """Give back a place. `seconds` is how long it was used, None if no attempt was made. If no place is in use any
        more and other instances need places, give back the leased places as well."""
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

    async def _try_to_enter(self) -> bool:
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


class _Bucket:
    """A counted unit: a destination's deliveries, or those with one key."""

    def __init__(self, name: str, configured: Configured, grants: Grants, holder: str, clock: Clock) -> None:
        self._clock = clock
        self._in_flight = configured.in_flight
        self._rate: Rate | None = None
        if configured.rate:
            count, seconds = configured.rate
            self._rate = Rate(f"{name}:rate", count, seconds, grants, holder, clock)
        self.places: Places | None = None
        if configured.in_flight:
            timeout_seconds = configured.timeout_seconds
            self.places = Places(f"{name}:places", configured.in_flight, timeout_seconds, grants, holder, clock)
        self._queue = self._rate.queue if self._rate else Queue(f"{name}:queue", grants, clock)

    @property
    def is_in_use(self) -> bool:
        return self._queue.is_busy or bool(self.places and self.places.in_use)

    async def enter(self, slot_at: float, gathers: bool) -> Wait | None:
        """`gathers`: deliveries over the rate wait for a digest, which takes one slot for all of them."""
        has_slot = await self._wait_for_slot(slot_at)
        if self.places and not await self.places.enter():
            return await self._wait_for_place(self.places)
        try:
            wait = await self._enter_rate(self._rate, gathers) if self._rate and not has_slot else None
        except BaseException:
            await self._leave()
            raise
        if wait:
            await self._leave()
        return wait

    async def _wait_for_slot(self, slot_at: float) -> bool:
        """Wait for the slot that the delivery got before. Return False where it has none, or comes too late for it."""
        at = self._rate.kept_slot(slot_at) if self._rate and slot_at else None
        if at is not None:
            await asyncio.sleep(max(0.0, at - self._clock.now()))
        return at is not None

    async def _enter_rate(self, rate: Rate, gathers: bool) -> Wait | None:
        at, now = await rate.slot(PATIENCE_SECONDS if gathers else MAX_WAIT_SECONDS), self._clock.now()
        reason = f"the `rate` allows one delivery each {duration_text(rate.interval)}"
        if at is None and gathers:
            return Wait(max(rate.earliest, now), reason, gathers=True)
        if at is None or at > now + PATIENCE_SECONDS:
            return self._wait_until(at, reason)
        await asyncio.sleep(max(0.0, at - now))
        return None

    async def _wait_for_place(self, places: Places) -> Wait:
        begin = self._clock.now() + PATIENCE_SECONDS
        queue = self._rate.later_slot if self._rate else self._queue.next_time
        at = await queue(places.interval, begin)
        return self._wait_until(at, f"as many deliveries as `in_flight` allows ({self._in_flight}) are under way")

    def _wait_until(self, at: float | None, reason: str) -> Wait:
        """Close the gate until a time, which is a slot where there is a rate; without one, for a long time."""
        if at is None:
            return Wait(self._clock.now() + MAX_WAIT_SECONDS, reason)
        return Wait(at, reason, has_slot=self._rate is not None)

    async def _leave(self) -> None:
        if self.places:
            await self.places.leave(None)
