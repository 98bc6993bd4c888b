"""The SQLite files of the local emulation."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from shared.cloud.local.database import open_database, reason_of, transaction

SCHEMA = """
PRAGMA foreign_keys = ON;
CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
"""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "made" / "some.db", SCHEMA)) as database:
        yield database


def children(database: sqlite3.Connection) -> int:
    return len(database.execute("SELECT parent FROM child").fetchall())


def test_a_commit_that_fails_leaves_the_connection_free_for_the_next_transaction(database: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError), transaction(database):
        database.execute("INSERT INTO child VALUES (7)")
    with transaction(database):
        database.execute("INSERT INTO parent VALUES (1)")
        database.execute("INSERT INTO child VALUES (1)")
    assert children(database) == 1


def test_a_full_disk_is_reported_and_what_was_written_is_not(database: sqlite3.Connection) -> None:
    database.execute("CREATE TABLE text (words TEXT UNIQUE)")
    database.execute("INSERT INTO text VALUES ('hush')")
    with pytest.raises(sqlite3.Error) as twice:
        database.execute("INSERT INTO text VALUES ('hush')")
    assert reason_of(twice.value) == "UNIQUE constraint failed: text.words"
    database.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.Error) as full:
        database.execute("INSERT INTO text VALUES (?)", ("w" * 100_000,))
    assert reason_of(full.value) == "database or disk is full"
    assert reason_of(OSError(errno.ENOSPC, "No space left on device", "/home/me")) == "No space left on device"
