"""The SQLite files of the local emulation: how each is opened, and how one process writes to it.

Writes run on the event loop itself, and simultaneous writes share a transaction. Measured: in a thread, a write takes
two and a half times the CPU, because the two threads wait for each other longer than SQLite works, which is some 50 µs
a commit without a sync. With a sync, a commit takes as long as the disk, and the writes that wait for it share the next
one.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from shared.errors import Temporary, TemporaryCode

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
OTHERS: Final = 0o077
BUSY_SECONDS: Final = 5.0
OPEN_AGAIN_SECONDS: Final = 0.005
CHECKPOINT_PAGES: Final = 4_000
"""Four times SQLite's own, so that a page which many commits write is copied into the file a quarter as often."""
LOG_BYTES: Final = 20_000_000
"""The size that a write-ahead log is cut to once its pages are in the file: somewhat more than CHECKPOINT_PAGES. After
a full disk, or a long read of another process, the log is larger, and SQLite would keep that size."""
VERSIONS: Final[Mapping[str, int]] = {
    "bus.db": 1,
    "documents.db": 1,
    "grants.db": 2,
    "journal.db": 1,
    "ledger.db": 14,
    "mail.db": 1,
    "owners.db": 2,
    "records.db": 2,
    "search.db": 1,
    "sheets.db": 1,
}
"""The version of each file's tables, in its `user_version`. A change that an earlier version cannot read is another
version, and comes with what upgrades the file: deploy/CHANGELOG.md has the rule. Files were 0 at first."""

Upgrade = Callable[[sqlite3.Connection, int], None]
"""Changes the tables from this version on to today's, within the caller's transaction."""


class NewerFile(sqlite3.DatabaseError):
    """A newer Hookchain wrote the file."""


def open_database(
    path: Path, schema: str = "", busy_seconds: float = BUSY_SECONDS, upgrade: Upgrade | None = None
) -> sqlite3.Connection:
    """Open the file in WAL mode, and create it where it is missing. One thread at a time may use the connection.

    Upgrade it from an earlier version. Raises sqlite3.Error, NewerFile among them, and OSError.
    """
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        # This statement creates the file.
        database.execute("PRAGMA schema_version")
        make_private(path)
        is_earlier = require_known_version(database, path.name)
        _use_wal(database, busy_seconds)
        database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        database.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        sync_commits(database, False)
        database.executescript(schema)
        if is_earlier:
            with transaction(database):
                if require_known_version(database, path.name):  # no other process has upgraded it meanwhile
                    if upgrade is not None:
                        upgrade(database, version_of(database))
                    database.execute(f"PRAGMA user_version = {VERSIONS[path.name]}")
    except BaseException:
        database.close()
        raise
    return database


def read_statements(path: Path) -> list[str]:
    """Return the statements of a file of SQL. Each ends with a semicolon at the end of a line."""
    return [statement for statement in path.read_text(encoding="utf-8").split(";\n") if statement.strip()]


def _use_wal(database: sqlite3.Connection, busy_seconds: float) -> None:
    """Choose WAL mode, which the file keeps. Raises sqlite3.Error if it stays locked for so long.

    Two processes that open a new file at the same time wait for each other's lock. SQLite does not wait then, whatever
    the connection's timeout.
    """
    give_up_at = time.monotonic() + busy_seconds
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= give_up_at:
                raise
        time.sleep(OPEN_AGAIN_SECONDS)


def require_known_version(database: sqlite3.Connection, name: str, schema: str = "main") -> bool:
    """Return whether the file with this name is of an earlier version than today's. Raises NewerFile."""
    version, current = version_of(database, schema), VERSIONS.get(name, 0)
    if version > current:
        raise NewerFile(f"a newer Hookchain wrote it: it is of version {version}, and this one reads {current} at most")
    return version < current


def version_of(database: sqlite3.Connection, schema: str = "main") -> int:
    (version,) = database.execute(f"PRAGMA {schema}.user_version").fetchone()
    return int(version)


def make_private(path: Path) -> None:
    """Let only the owner read a SQLite file and what lies beside it. SQLite makes new ones beside it with its mode.

    By name: closing a descriptor of the file would drop the locks that this process holds on it. Raises OSError.
    """
    for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(FileNotFoundError):
            if each.stat().st_mode & OTHERS:
                each.chmod(PRIVATE_FILE)


def sync_commits(database: sqlite3.Connection, is_synced: bool) -> None:
    """Choose whether the commits that follow survive a power cut, too; every commit survives the end of the process.

    A synced commit takes what an fsync takes on this disk: from under a millisecond to some ten.
    """
    database.execute(f"PRAGMA synchronous = {'FULL' if is_synced else 'NORMAL'}")


def is_synced(database: sqlite3.Connection) -> bool:
    (level,) = database.execute("PRAGMA synchronous").fetchone()
    return int(level) >= 2


@contextmanager
def transaction(database: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Commit all of it or nothing. However it ends, the connection is free for the next one."""
    database.execute(begin)
    with database:  # which commits; and rolls back what fails, a commit as well
        yield database


def reason_of(error: sqlite3.Error | OSError) -> str:
    """Return SQLite's message, such as `database is locked`. It can name tables, but contains no values."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if is_damage(error):
        return f"{error}; start Hookchain again: it finds the damaged file"
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
        return f"{error}; reading the files needs the right to write them too. Copy the folder to read it"
    return str(error)


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file itself cannot be read."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_busy(error: Exception) -> bool:
    """Return whether another process has the file locked."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


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
        """Run the waiting writes in one transaction, or wait for another process that has the file locked."""
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
            # From now on, a wait for a lock must not block the event loop.
            self._connection.execute("PRAGMA busy_timeout = 0")
            self._is_synced = is_synced(self._connection)
        return self._connection

    def _temporary(self, error: sqlite3.Error | OSError | Temporary, done: str = "written") -> Temporary:
        if isinstance(error, Temporary):
            return Temporary(error.code, error.detail)  # one exception raised in many tasks would grow one traceback
        return Temporary(self._part, f"{self._path.name} cannot be {done}: {reason_of(error)}")
