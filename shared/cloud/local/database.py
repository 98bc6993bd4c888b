"""A SQLite file of the local emulation: how each is opened, and how each is changed."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

BUSY_SECONDS: Final = 5.0


def open_database(path: Path, schema: str = "", busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """In WAL mode, made where it is missing; several processes may have it open, and one thread at a time this one.

    Raises sqlite3.Error and OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(schema)
    except sqlite3.Error:
        database.close()
        raise
    return database


@contextmanager
def transaction(database: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """All of it or nothing. However it ends, the connection is free for the next one."""
    database.execute(begin)
    with database:  # which commits; and rolls back what fails, a commit as well
        yield database


def reason_of(error: sqlite3.Error | OSError) -> str:
    """`database is locked`, `database or disk is full`: SQLite's words name tables, and hold no value."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
