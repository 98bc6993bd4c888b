"""What one subscription owes, in memory: ready to go, waiting for its time, or out for delivery."""

import heapq
from collections import deque
from dataclasses import dataclass
from itertools import count

from deploy.dev.pubsub.messages import Message


@dataclass(slots=True, eq=False)
class Owed:
    """A message owed to one subscription, after `failures` deliveries that were not acknowledged.

    `extra` marks a copy that a fault added: whatever comes of its delivery is not recorded.
    """

    message: Message
    failures: int = 0
    extra: bool = False
    settled: bool = False


class Backlog:
    """Times are seconds of whatever clock the caller uses throughout."""

    def __init__(self) -> None:
        self._ready: deque[Owed] = deque()
        self._waiting: list[tuple[float, int, Owed]] = []
        self._sequence = count()

    def add(self, owed: Owed) -> None:
        self._ready.append(owed)

    def add_at(self, owed: Owed, at: float) -> None:
        heapq.heappush(self._waiting, (at, next(self._sequence), owed))

    def ripen(self, now: float) -> None:
        """Those whose time has come are ready."""
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heapq.heappop(self._waiting)[2])

    def take(self, now: float) -> Owed | None:
        self.ripen(now)
        while self._ready:
            owed = self._ready.popleft()
            if not owed.settled:
                return owed
        return None

    def next_time(self) -> float | None:
        """When the first of the waiting is ready."""
        return self._waiting[0][0] if self._waiting else None
