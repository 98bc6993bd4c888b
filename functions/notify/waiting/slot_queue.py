"""The queue of a bucket: slots that are reserved ahead. A slot is a time at which an attempt may begin.

All instances share the queue, through the grants store. An instance reserves its next slot by a write. If many
deliveries ask at once, it reserves a batch of slots by one write, and gives them out one after another.
"""

import asyncio
from typing import Final

from shared import ports, store_ports

MAX_WAIT_SECONDS: Final = 86_400.0
"""The latest slot that a delivery gets. If the queue is longer, it comes back by then and asks again."""
SET_BACK_SECONDS: Final = 10.0
"""If the clock shows a time that is further than this before a time that it showed, it was set back. Then all times
that were noted before are wrong."""
MAX_BATCH: Final = 256
"""The most slots that the queue reserves in one write."""
AT_ONCE_SECONDS: Final = 1.0
"""If a batch is used up within this time, the next one has twice its size."""
SPAN_SECONDS: Final = 5.0
"""A batch covers at most this time, unless more deliveries are waiting: slots that nobody uses are lost."""


class SlotQueue:
    """The queue of a bucket, as one instance keeps it. Times are Unix seconds.

    `limit` is the number of slots that can be leased in LEASE_SECONDS; 0 if the bucket's slots are not leased.

    Changed by `_reserve`, which reserves a batch of slots:

    _batch_size     the size of the last batch. It doubles while batches are used up at once
    _reserved_at    when that was
    _interval       the seconds from one of its slots to the next
    end             the end of the whole queue, as far as this instance knows

    Changed by each delivery that asks:

    _reserved_left  the slots of the batch that are left, from `_next_at` on
    _waiting_count  the deliveries that ask at this moment
    _asked_at       when the last one asked
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

    async def next_slot(self, interval: float, begin: float, within: float = MAX_WAIT_SECONDS) -> float | None:
        """Return the next slot of the queue from `begin` on; None if it is more than `within` seconds after `begin`.

        Afterwards, `end` is the end of the queue, as far as this instance knows. Raises Temporary.
        """
        self._waiting_count += 1
        try:
            async with self._lock:
                now = self._clock.now()
                if now < self._asked_at - SET_BACK_SECONDS:
                    self._reserved_left = 0
                    self.end = 0.0
                self._asked_at = now
                earliest = self._next_at if self._reserved_left else self.end
                if earliest > begin + within:
                    return None
                if not self._reserved_left or self._next_at < begin:  # a slot before `begin` is too early
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
        """Reserve the next slots of the queue from `begin` on, and give up those that this instance has left.

        If the first one is more than `within` seconds after `begin`, reserve none. Raises Temporary.
        """
        now = self._clock.now()
        was_used_up_at_once = now < self._reserved_at + AT_ONCE_SECONDS
        if was_used_up_at_once:
            self._batch_size = min(2 * self._batch_size, max(1, int(SPAN_SECONDS / interval)))
        else:
            self._batch_size = 1
        count = min(max(self._batch_size, self._waiting_count), MAX_BATCH)
        first_at, seconds_apart, reserved = await self._grants.reserve(
            self._bucket, most=count, interval=interval, now=begin, ahead=within, limit=self._limit
        )
        self._reserved_left = reserved
        self._next_at = first_at
        self._interval = seconds_apart
        self._reserved_at = now
        self.end = first_at + reserved * seconds_apart
