"""Rows that wait at once in this process go into one transaction. Drivers block, so a few threads write.

Nothing waits when idle: the first row starts a transaction at once, and what arrives while all threads write goes into
the next one. The threads do not depend on the event loop, of which a platform may
start another one for each request.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeAlias

from functions.notify.destinations.sql.rows import Row
from shared.delivery import Outcome, RetryLater, Unknown
from shared.errors import Temporary, place_of
from shared.limits import MIB

MAX_ROWS: Final = 128
MAX_BYTES: Final = 4 * MIB
MAX_WAITING: Final = 10_000

Write: TypeAlias = Callable[[Sequence[Row]], list[Outcome]]
_Waiting: TypeAlias = tuple[Row, "Future[Outcome]"]


class RowWriter:
    """`write` returns the outcome of each row. It runs in at most `threads` threads at once."""

    def __init__(self, write: Write, threads: int, most_rows: int = MAX_ROWS) -> None:
        self._write = write
        self._threads = threads
        self._most_rows = min(most_rows, MAX_ROWS)
        self._waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        self._busy = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sql")

    async def submit(self, row: Row, timeout_seconds: float) -> Outcome:
        """Return the row's outcome. Raises Temporary (`queue_full`).

        At the timeout, a row that still waits is withdrawn. One that a thread writes may be written: that is unknown.
        The thread ends by itself, because every wait for the database has the same timeout.
        """
        future: Future[Outcome] = Future()
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                raise Temporary("queue_full", f"{MAX_WAITING} rows already wait for the database")
            self._waiting.append((row, future))
            is_started = self._busy < self._threads
            self._busy += is_started
        if is_started:
            self._pool.submit(self._work)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if future.cancelled():
                return RetryLater(f"the row waited for the database for {timeout_seconds:g} s, and was not written")
            return Unknown(f"the database did not answer within {timeout_seconds:g} s")

    def close(self) -> None:
        """End when the rows that wait have been written."""
        self._pool.shutdown()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                outcomes = self._write([row for row, _ in batch])
            except Exception as error:  # a driver's own fault must not end the thread, nor leave rows without outcome
                unknown = Unknown(f"the database's driver failed: {place_of(error)}")
                outcomes = [unknown] * len(batch)
            for (_, future), outcome in zip(batch, outcomes, strict=True):
                future.set_result(outcome)

    def _next_batch(self) -> list[_Waiting]:
        """Return the next rows; none where nothing waits, and then this thread counts as idle."""
        batch: list[_Waiting] = []
        weight = 0
        with self._lock:
            while self._waiting and len(batch) < self._most_rows:
                row, future = self._waiting[0]
                weight += row.weight
                if batch and weight > MAX_BYTES:
                    break
                self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    batch.append((row, future))
            if not batch:
                self._busy -= 1
        return batch
