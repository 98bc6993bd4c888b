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
from typing import Final, NamedTuple, TypeVar

from shared.errors import Temporary, TemporaryCode

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
OTHERS: Final = 0o077
"""The permissions of all but the owner."""
BUSY_SECONDS: Final = 5.0
"""How long another process may keep a file locked. After that, opening or writing the file fails."""
OPEN_AGAIN_SECONDS: Final = 0.005
"""The wait before WAL mode is chosen again while another process opens the same new file."""
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

MAX_BATCH: Final = 200
"""The most writes in one transaction. If larger, the event loop stands still for longer; if smaller, a backlog takes
more commits."""
MAX_WAITING: Final = 20_000
"""The most writes that wait for a commit. One more raises Temporary, so that a slow disk does not fill the memory."""
LOCKED_SECONDS: Final = 0.002
"""The wait for another process that writes. Most have finished by then, and the event loop goes on."""

Upgrade = Callable[[sqlite3.Connection, int], None]
"""Changes the tables from this version on to today's, within the caller's transaction."""
Operation = Callable[[sqlite3.Connection], object]
"""Reads or writes by the connection, inside a transaction of the caller. Its result is the answer to the caller."""
Answer = TypeVar("Answer")


class NewerFile(sqlite3.DatabaseError):
    """A newer Hookchain wrote the file."""


def open_database(
    path: Path, schema: str = "", busy_seconds: float = BUSY_SECONDS, upgrade: Upgrade | None = None
) -> sqlite3.Connection:
    """Open the file in WAL mode, and create it if it is missing. One thread at a time may use the connection.

    `schema` is SQL that is run each time: it creates what is missing. `upgrade` is run in one transaction if the file
    has an earlier version than VERSIONS. A new file has version 0, so `upgrade` runs on its empty tables too. A lock of
    another process is waited for up to `busy_seconds`. Raises sqlite3.Error, NewerFile among them, and OSError.
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
    """Return whether the file with this name has an earlier version than VERSIONS says, so that it has to be upgraded.

    `schema` is SQLite's name of an attached file. Raises NewerFile if the file has a later version.
    """
    version, current = version_of(database, schema), VERSIONS.get(name, 0)
    if version > current:
        raise NewerFile(f"a newer Hookchain wrote it: it is of version {version}, and this one reads {current} at most")
    return version < current


def version_of(database: sqlite3.Connection, schema: str = "main") -> int:
    """Return the version of the file's tables. `schema` is SQLite's name of an attached file."""
    (version,) = database.execute(f"PRAGMA {schema}.user_version").fetchone()
    return int(version)


def make_private(path: Path) -> None:
    """Let only the owner read a SQLite file and the two files that SQLite keeps beside it.

    SQLite gives those two the mode of the file when it creates them. The modes are changed by name, because closing a
    descriptor of the file would drop the locks that this process holds on it. Raises OSError.
    """
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        with suppress(FileNotFoundError):  # the last process that closes the file deletes the two others
            if file.stat().st_mode & OTHERS:
                file.chmod(PRIVATE_FILE)


def sync_commits(database: sqlite3.Connection, is_synced: bool) -> None:
    """Choose whether the commits that follow survive a power cut, too; every commit survives the end of the process.

    A synced commit takes what an fsync takes on this disk: from under a millisecond to some ten.
    """
    database.execute(f"PRAGMA synchronous = {'FULL' if is_synced else 'NORMAL'}")


def is_synced(database: sqlite3.Connection) -> bool:
    """Return whether the connection's commits survive a power cut, as `sync_commits` chose."""
    (level,) = database.execute("PRAGMA synchronous").fetchone()
    return int(level) >= 2  # FULL is 2, and EXTRA is 3


@contextmanager
def transaction(database: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Commit what the block does, or roll all of it back if it raises. Raises sqlite3.Error, also from the commit."""
    database.execute(begin)
    with database:  # which commits; and rolls back what fails, a commit as well
        yield database


def reason_of(error: sqlite3.Error | OSError) -> str:
    """Return SQLite's message, such as `database is locked`. It can name tables, but contains no values."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if is_damage(error):
        return f"{error}; start Hookchain again: it finds the damaged file"
    if _primary_code(error) == sqlite3.SQLITE_READONLY:
        return f"{error}; reading the files needs the right to write them too. Copy the folder to read it"
    if _primary_code(error) == sqlite3.SQLITE_IOERR:
        return f"{error}; its disk may be full"
    return str(error)


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file itself cannot be read."""
    return _primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_busy(error: Exception) -> bool:
    """Return whether another process has the file locked."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def _primary_code(error: Exception) -> int:
    """Return SQLite's primary result code; 0 if the error is not SQLite's own. https://sqlite.org/rescode.html"""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF  # the upper bits of an extended code tell more


# The reads and writes of a process


class _Write(NamedTuple):
    """A write that waits for its commit, and the future of its answer."""

    operation: Operation
    is_synced: bool
    answer: asyncio.Future[object]


class Transactions:
    """The reads and the writes of one process in a file, on one event loop. `code` is that of each Temporary it raises.

    The file is opened by the first read or write. Writes wait in a list, and a few turns of the event loop later the
    first MAX_BATCH of them are committed together. If the file is locked, the same writes are tried again every
    LOCKED_SECONDS. If one write of a transaction fails, all of them fail, and nothing of them is stored.

    _is_synced     the connection's present mode: commits are synced to the disk
    _is_scheduled  a commit of the waiting writes is due within the next turns, or is tried again
    _is_timed      a timer will schedule a commit for writes that may wait
    _give_up_at    the time of the event loop up to which the scheduled commit waits for a lock
    """

    def __init__(self, path: Path, code: TemporaryCode, open_file: Callable[[Path], sqlite3.Connection]) -> None:
        self._path = path
        self._code: TemporaryCode = code
        self._open_file = open_file
        self._waiting: list[_Write] = []
        self._connection: sqlite3.Connection | None = None
        self._is_synced = False
        self._is_scheduled = False
        self._is_timed = False
        self._give_up_at = 0.0

    def write(
        self, operation: Callable[[sqlite3.Connection], Answer], *, is_synced: bool, max_wait_seconds: float = 0.0
    ) -> "asyncio.Future[Answer]":
        """Return a future of the operation's answer, which comes once the operation is committed.

        `is_synced`: the commit is synced to the disk first. A write with `max_wait_seconds` waits up to that long for a
        write without it, and shares its commit. The first such write sets the time for those that come while it waits.
        If the future is cancelled before the commit, nothing is written.
        Raises Temporary (`queue_full`) if too many writes wait. The future raises Temporary if the commit fails, and
        whatever an operation of the same transaction raises.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Temporary("queue_full", f"{MAX_WAITING} writes to {self._path.name} already wait")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append(_Write(operation, is_synced, future))  # type: ignore[arg-type] # the operation's answer
        if max_wait_seconds and not self._is_scheduled:
            if not self._is_timed:
                self._is_timed = True
                loop.call_later(max_wait_seconds, self._commit_late)
        else:
            self._schedule()
        return future

    def read(self, operation: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Return the operation's answer at once, by the last commit. Raises Temporary if the file cannot be read."""
        try:
            return operation(self._opened())
        except (sqlite3.Error, OSError) as error:
            raise self._temporary(error, "read") from error

    def close(self) -> None:
        """Close the file. No write may be waiting: its future would never end."""
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
        oldest = self._waiting[:MAX_BATCH]
        batch = [write for write in oldest if not write.answer.done()]  # a cancelled one is done
        try:
            answers = self._run(batch)
        except (sqlite3.Error, OSError, Temporary) as error:
            if is_busy(error) and loop.time() < self._give_up_at:
                loop.call_later(LOCKED_SECONDS, self._commit)
                return
            for write in batch:
                write.answer.set_exception(self._temporary(error))
        except BaseException as error:  # a fault of an operation: without an answer, its callers would wait forever
            for write in batch:
                write.answer.set_exception(error)
        else:
            for write, answer in zip(batch, answers, strict=True):
                write.answer.set_result(answer)
        del self._waiting[: len(oldest)]
        self._is_scheduled = False
        if self._waiting:
            self._schedule()

    def _run(self, batch: list[_Write]) -> list[object]:
        """Return the answers of the writes, in their order, once their transaction is committed."""
        if not batch:
            return []
        connection = self._opened()
        # One write that needs it syncs the whole transaction.
        if (has_synced := any(write.is_synced for write in batch)) != self._is_synced:
            sync_commits(connection, has_synced)
            self._is_synced = has_synced
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # which commits; and rolls back what fails, a commit as well
            return [write.operation(connection) for write in batch]

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
        return Temporary(self._code, f"{self._path.name} cannot be {done}: {reason_of(error)}")
