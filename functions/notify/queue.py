"""The queue of a bucket: when those who have to wait come back, one after another over all instances.

The times are reserved, a few at once where many ask. So whoever comes back at its time need not ask again.
"""

import asyncio
from typing import Final

from shared.ports import Clock
from shared.store_ports import Grants

PATIENCE_SECONDS: Final = 1.0
"""The longest wait within the process. Whoever has to wait longer comes back later."""
MAX_WAIT_SECONDS: Final = 86_400.0
"""Whoever would have to wait longer comes back by then, and asks again."""
MAX_BATCH: Final = 256
AT_ONCE_SECONDS: Final = 1.0
"""A batch that does not last so long is followed by one of twice the size."""
SPAN_SECONDS: Final = 5.0
"""A batch is for so long at most, unless more are asking: nobody comes at the times of one that is not used up."""


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
