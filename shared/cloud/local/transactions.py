"""The writes of one process to a SQLite file: what comes at the same moment shares a transaction.

They run on the event loop itself. Measured: in a thread, a write costs two and a half times the CPU, because the two
wait for each other's turn more than SQLite takes, some 50 µs a commit without a sync. With a sync, a commit takes what
the disk takes, and the writes that wait for it share the next.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from shared.cloud.local.database import BUSY_SECONDS, is_busy, is_synced, reason_of, sync_commits
from shared.errors import Temporary, TemporaryCode

MAX_BATCH: Final = 200
MAX_WAITING: Final = 20_000
LOCKED_SECONDS: Final = 0.002
"""The wait for another process that writes. Most have finished by then, and the event loop goes on."""

Answer = TypeVar("Answer")
Operation = Callable[[sqlite3.Connection], object]


class Transactions:
    """`part` is the code of the Temporary that every failure becomes."""

    def __init__(self, path: Path, part: TemporaryCode, open_file: Callable[[Path], sqlite3.Connection]) -> None:
        self._path = path
        self._part = part
        self._open_file = open_file
        self._waiting: list[tuple[Operation, bool, asyncio.Future[object]]] = []
        self._connection: sqlite3.Connection | None = None
        self._is_synced = False
        self._is_scheduled = False
        self._is_timed = False
        self._give_up_at = 0.0

    def write(
        self, operation: Callable[[sqlite3.Connection], Answer], *, is_synced: bool, max_wait_seconds: float = 0.0
    ) -> "asyncio.Future[Answer]":
        """Return a future: the operation's answer once it is committed, and synced to the disk where that is asked for.

        A write that may wait is committed with the next that may not, or at its end. Cancelled while it waits, it is
        withdrawn. Raises Temporary, here or by the future.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Temporary("queue_full", f"{MAX_WAITING} writes to {self._path.name} already wait")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((operation, is_synced, future))  # type: ignore[arg-type] # the operation's answer
        if max_wait_seconds and not self._is_scheduled:
            if not self._is_timed:
                self._is_timed = True
                loop.call_later(max_wait_seconds, self._commit_late)
        else:
            self._schedule()
        return future

    def read(self, operation: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Return the operation's answer; it waits for no lock. Raises Temporary."""
        try:
            return operation(self._opened())
        except (sqlite3.Error, OSError) as error:
            raise self._temporary(error, "read") from error

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _schedule(self) -> None:
        if not self._is_scheduled:
            loop = asyncio.get_running_loop()
            self._is_scheduled = True
            self._give_up_at = loop.time() + BUSY_SECONDS
            # In the fourth turn of the event loop from now: all who are ready now share the commit, and those whose
            # requests come meanwhile. A synced commit takes the CPU of a hundred turns. Measured with 16 deliveries at
            # once: four turns instead of two save a third of the commits, and 16 turns no more.
            loop.call_soon(loop.call_soon, partial(loop.call_soon, partial(loop.call_soon, self._commit)))

    def _commit_late(self) -> None:
        self._is_timed = False
        if self._waiting:
            self._schedule()

    def _commit(self) -> None:
        """Run what waits in one transaction, or wait for another process that has the file locked."""
        loop = asyncio.get_running_loop()
        batch = [each for each in self._waiting[:MAX_BATCH] if not each[2].done()]
        try:
            answers = self._run(batch)
        except (sqlite3.Error, OSError, Temporary) as error:
            if is_busy(error) and loop.time() < self._give_up_at:
                loop.call_later(LOCKED_SECONDS, self._commit)
                return
            for _, _, future in batch:
                future.set_exception(self._temporary(error))
        except BaseException as error:
            for _, _, future in batch:
                future.set_exception(error)
        else:
            for (_, _, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)
        del self._waiting[:MAX_BATCH]
        self._is_scheduled = False
        if self._waiting:
            self._schedule()

    def _run(self, batch: list[tuple[Operation, bool, asyncio.Future[object]]]) -> list[object]:
        if not batch:
            return []
        connection = self._opened()
        if (has_synced := any(each[1] for each in batch)) != self._is_synced:
            sync_commits(connection, has_synced)
            self._is_synced = has_synced
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # which commits; and rolls back what fails, a commit as well
            return [operation(connection) for operation, _, _ in batch]

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open_file(self._path)
            self._connection.execute("PRAGMA busy_timeout = 0")  # from here on, whoever waits lets the loop run
            self._is_synced = is_synced(self._connection)
        return self._connection

    def _temporary(self, error: sqlite3.Error | OSError | Temporary, done: str = "written") -> Temporary:
        if isinstance(error, Temporary):
            return Temporary(error.code, error.detail)  # one exception raised in many tasks would grow one traceback
        return Temporary(self._part, f"{self._path.name} cannot be {done}: {reason_of(error)}")
