"""Rows that wait at once in this process go into one transaction. Drivers block, so a few threads write.

Nothing waits when idle: the first row starts a transaction at once, and what arrives while all threads write goes into
the next one. The threads do not depend on the event loop, of which a platform may
start another one for each request.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, TypeAlias

from functions.notify.destinations.sql.rows import Row
from shared.delivery import Outcome, Unknown
from shared.errors import Temporary, place_of
from shared.limits import MIB

MAX_ROWS: Final = 128
MAX_BYTES: Final = 4 * MIB
MAX_WAITING: Final = 10_000

Write: TypeAlias = Callable[[Sequence[Row]], list[Outcome]]


class WaitingRow:
    """A row on its way into the database. `future` gets its outcome, in the event loop that submitted it."""

    __slots__ = ("future", "is_started", "row")

    def __init__(self, row: Row, future: "asyncio.Future[Outcome]") -> None:
        self.row = row
        self.future = future
        self.is_started = False


class RowWriter:
    """`write` returns the outcome of each row. It runs in at most `threads` threads at once."""

    def __init__(self, write: Write, threads: int, most_rows: int = MAX_ROWS) -> None:
        self._write = write
        self._threads = threads
        self._most_rows = min(most_rows, MAX_ROWS)
        self._waiting: deque[WaitingRow] = deque()
        self._lock = threading.Lock()
        self._busy = 0
        self._starting: asyncio.AbstractEventLoop | None = None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sql")

    def submit(self, row: Row) -> WaitingRow:
        """Let the row be written, with those that wait. Raises Temporary (`queue_full`)."""
        loop = asyncio.get_running_loop()
        waiting = WaitingRow(row, loop.create_future())
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                raise Temporary("queue_full", f"{MAX_WAITING} rows already wait for the database")
            self._waiting.append(waiting)
        if self._starting is not loop:
            self._starting = loop
            loop.call_soon(self._start)  # after those that submit a row in the same turn of the loop
        return waiting

    def _start(self) -> None:
        self._starting = None
        with self._lock:
            is_needed = bool(self._waiting) and self._busy < self._threads
            self._busy += is_needed
        if is_needed:
            self._pool.submit(self._work)

    def withdraw(self, waiting: WaitingRow) -> bool:
        """Return whether the row is withdrawn. One that a thread has taken may be written.

        The thread ends by itself, because every wait for the database has a timeout.
        """
        with self._lock:
            if waiting.is_started:
                return False
            with suppress(ValueError):
                self._waiting.remove(waiting)
            return True

    def close(self) -> None:
        """End when the rows that wait have been written."""
        self._pool.shutdown()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                outcomes = self._write([each.row for each in batch])
            except Exception as error:  # a driver's own fault must not end the thread, nor leave rows without outcome
                unknown = Unknown(f"the database's driver failed: {place_of(error)}")
                outcomes = [unknown] * len(batch)
            done: dict[asyncio.AbstractEventLoop, list[tuple[WaitingRow, Outcome]]] = {}
            for waiting, outcome in zip(batch, outcomes, strict=True):
                done.setdefault(waiting.future.get_loop(), []).append((waiting, outcome))
            for loop, rows in done.items():
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(_finish, rows)

    def _next_batch(self) -> list[WaitingRow]:
        """Return the next rows; none if nothing waits, and then this thread counts as idle."""
        batch: list[WaitingRow] = []
        weight = 0
        with self._lock:
            while self._waiting and len(batch) < self._most_rows:
                weight += self._waiting[0].row.weight
                if batch and weight > MAX_BYTES:
                    break
                waiting = self._waiting.popleft()
                waiting.is_started = True
                batch.append(waiting)
            if not batch:
                self._busy -= 1
        return batch


def _finish(rows: Sequence[tuple[WaitingRow, Outcome]]) -> None:
    for waiting, outcome in rows:
        if not waiting.future.done():
            waiting.future.set_result(outcome)
