"""A SQLite file of the local emulation: how each is opened, and how each is changed."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PRIVATE_FOLDER: Final = 0o700
PRIVATE_FILE: Final = 0o600
OTHERS: Final = 0o077
BUSY_SECONDS: Final = 5.0
CHECKPOINT_PAGES: Final = 4_000
"""Four times SQLite's own, so that a page which many commits write is copied into the file a quarter as often."""
VERSIONS: Final[Mapping[str, int]] = {
    "bus.db": 1,
    "documents.db": 1,
    "grants.db": 1,
    "journal.db": 1,
    "ledger.db": 13,
    "mail.db": 1,
    "owners.db": 1,
    "records.db": 1,
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
        database.execute("PRAGMA schema_version")  # which makes the file
        make_private(path)
        is_earlier = require_known_version(database, path.name)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
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
    """Return SQLite's words, such as `database is locked`: they name tables, and hold no value."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return f"{error}; start `hookchain dev` again: it finds the damaged file" if is_damage(error) else str(error)


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file itself cannot be read."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_busy(error: Exception) -> bool:
    """Return whether another process has the file locked."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
