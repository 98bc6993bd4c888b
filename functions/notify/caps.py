"""Caps: how often attempts at a destination may begin, and how many may be under way, over all instances.

`rate` and `in_flight` hold for the destination, or with `per` for each key of it. A delivery that has to wait for more
than a moment waits without an attempt, until a time that the queue of its bucket gives it: those who wait come back one
after another. So it holds up no delivery of another key or another destination.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import cache, lru_cache
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from functions.notify.gates import Closed
from functions.notify.places import Places
from functions.notify.rate import PATIENCE_SECONDS, Rate
from functions.notify.registry import Configured
from shared.delivery import Delivery, Outcome
from shared.errors import Permanent
from shared.event import view_of
from shared.ports import Clock, Grants
from shared.time_bound import OutOfTime, bounded

if TYPE_CHECKING:
    from shared.expressions import Expression

MAX_BUCKETS: Final = 10_000
"""Keys that are remembered. Of one that is forgotten, what this instance leased is lost until the lease ends."""
MAX_WAIT_SECONDS: Final = 86_400.0
"""Whoever would have to wait longer comes back by then, and asks again."""
MAX_BATCH: Final = 256
BATCH_SECONDS: Final = 1.0
"""A batch of times in the queue that does not last so long is followed by one of twice the size."""


class Caps:
    """A gate. `grants` is called at first use: most configurations have no caps."""

    def __init__(self, grants: Callable[[], Grants], clock: Clock) -> None:
        self._grants = cache(grants)
        self._clock = clock
        self._holder = token_hex(8)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._under_way: dict[str, tuple[Places, float]] = {}

    async def enter(self, configured: Configured, delivery: Delivery) -> Closed | None:
        if configured.rate is None and configured.in_flight is None:
            return None
        bucket = self._bucket(configured, delivery)
        gathers = configured.gather is not None and configured.gather.is_rated and not delivery.merged
        closed = await bucket.enter(gathers)
        if closed is None and bucket.places:
            self._under_way[delivery.id] = bucket.places, self._clock.now()
        return closed

    async def leave(self, configured: Configured, delivery: Delivery, outcome: Outcome | None) -> None:  # noqa: ARG002
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


class _Bucket:
    """A counted unit: a destination's deliveries, or those with one key."""

    def __init__(self, name: str, configured: Configured, grants: Grants, holder: str, clock: Clock) -> None:
        self._clock = clock
        self._in_flight = configured.in_flight
        self._rate = Rate(f"{name}:rate", *configured.rate, grants, holder, clock) if configured.rate else None
        self.places = (
            Places(f"{name}:places", configured.in_flight, configured.timeout_seconds, grants, holder, clock)
            if configured.in_flight
            else None
        )
        self._queue = _Queue(f"{name}:queue", grants, clock)

    @property
    def is_in_use(self) -> bool:
        return self._queue.is_busy or bool(self.places and self.places.in_use)

    @property
    def _interval(self) -> float:
        """Return how often another delivery may begin, over all instances."""
        return max(self._rate.interval if self._rate else 0.0, self.places.interval if self.places else 0.0)

    async def enter(self, gathers: bool) -> Closed | None:
        """`gathers`: whoever is over the rate waits for a digest, which takes a slot for all of them."""
        if self.places and not await self.places.enter():
            until = await self._queue.next_time(self._interval, self._clock.now())
            return Closed(until, f"as many deliveries as `in_flight` allows ({self._in_flight}) are under way")
        try:
            closed = await self._paced(self._rate, gathers) if self._rate else None
        except BaseException:
            await self._leave()
            raise
        if closed:
            await self._leave()
        return closed

    async def _paced(self, rate: Rate, gathers: bool) -> Closed | None:
        at = await rate.slot()
        if at is None and gathers:
            until = max(rate.earliest, self._clock.now())
            return Closed(until, f"the `rate` allows one delivery each {rate.interval:.3g} s", gathers=True)
        if at is None:
            until = await self._queue.next_time(self._interval, rate.earliest)
            return Closed(until, f"the `rate` allows one delivery each {rate.interval:.3g} s")
        if (wait := at - self._clock.now()) > 0:
            await asyncio.sleep(wait)
        return None

    async def _leave(self) -> None:
        if self.places:
            await self.places.leave(None)


class _Queue:
    """The times at which those who have to wait come back, an interval apart over all instances.

    They are reserved in batches. A batch that is not used up leaves times at which nobody comes.
    """

    def __init__(self, bucket: str, grants: Grants, clock: Clock) -> None:
        self._bucket = bucket
        self._grants = grants
        self._clock = clock
        self._lock = asyncio.Lock()
        self._batch = 0
        self._left = 0
        self._at = 0.0
        self._interval = 0.0
        self._reserved_at = 0.0

    @property
    def is_busy(self) -> bool:
        return self._lock.locked()

    async def next_time(self, interval: float, earliest: float) -> float:
        """Raises Temporary."""
        async with self._lock:
            now = self._clock.now()
            begin = max(now + PATIENCE_SECONDS, earliest)
            if not self._left or self._at < begin:
                is_more = now < self._reserved_at + BATCH_SECONDS
                self._batch = min(2 * self._batch, MAX_BATCH) if is_more else 1
                first = await self._grants.reserve(self._bucket, self._batch, interval, begin, MAX_WAIT_SECONDS)
                if first > begin + MAX_WAIT_SECONDS:
                    self._left = 0
                    return now + MAX_WAIT_SECONDS
                self._left, self._at, self._interval, self._reserved_at = self._batch, first, interval, now
            at = self._at
            self._left -= 1
            self._at += self._interval
            return min(at, now + MAX_WAIT_SECONDS)


def bucket_name(configured: Configured, delivery: Delivery) -> str:
    """Return the destination's name, and with `per` a hash of the key: it may be long, or a customer's name."""
    if configured.per is None:
        return configured.name
    try:
        with bounded():
            key = _compiled(configured.per).search(view_of(delivery.event))
        text = str(key)
    except (Permanent, ValueError, OutOfTime):  # a sum may have more digits than Python writes
        return f"{configured.name}:"
    if isinstance(key, bool) or not isinstance(key, str | int | float):
        return f"{configured.name}:"
    return f"{configured.name}:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


@lru_cache(maxsize=1_000)
def _compiled(expression: str) -> "Expression":
    from shared.expressions import over_event  # it brings jmespath, which few destinations need

    return over_event(expression)
