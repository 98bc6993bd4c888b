"""The pending deliveries of one subscription, in memory: those that are ready, those that wait, and their timer."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from deploy.dev.pubsub.messages import Message


class Alarm:
    """One timer for the earliest time that was set. Nothing runs while nothing waits."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Ring at `at`, in the event loop's time, or earlier if that was set; None sets nothing."""
        if at is None or (self._at is not None and self._at <= at):
            return
        self.cancel()
        self._at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._now)

    def cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._at = self._timer = None

    def _now(self) -> None:
        self._at = self._timer = None
        self._ring()


@dataclass(slots=True, eq=False)
class PendingDelivery:
    """A message for one subscription, after `failures` deliveries that were not acknowledged.

    `extra` marks a copy that a fault added: whatever comes of its delivery is not recorded.
    """

    message: Message
    failures: int = 0
    extra: bool = False
    settled: bool = False


class Backlog:
    """The deliveries in order. Times are seconds of one clock, the caller's."""

    def __init__(self) -> None:
        self._ready: deque[PendingDelivery] = deque()
        self._waiting: list[tuple[float, int, PendingDelivery]] = []
        self._sequence = count()

    def add(self, pending: PendingDelivery) -> None:
        self._ready.append(pending)

    def add_at(self, pending: PendingDelivery, at: float) -> None:
        heapq.heappush(self._waiting, (at, next(self._sequence), pending))

    def promote_due(self, now: float) -> None:
        """Make ready the deliveries whose time has come."""
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heapq.heappop(self._waiting)[2])

    def take(self, now: float) -> PendingDelivery | None:
        self.promote_due(now)
        while self._ready:
            pending = self._ready.popleft()
            if not pending.settled:
                return pending
        return None

    def next_time(self) -> float | None:
        """Return when the first waiting delivery is ready."""
        return self._waiting[0][0] if self._waiting else None
