"""The writes of one process to a SQLite file, beside another process that writes."""

import asyncio
import errno
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest

from shared.cloud.local import database
from shared.cloud.local.database import Transactions, open_database, reason_of
from shared.errors import Temporary

SCHEMA = "CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY)"


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Transactions]:
    made = Transactions(tmp_path / "some.db", "ledger_unavailable", lambda path: open_database(path, SCHEMA))
    yield made
    made.close()


@pytest.fixture
def other(tmp_path: Path, file: Transactions) -> Iterator[sqlite3.Connection]:
    """The connection of another process."""
    with closing(open_database(tmp_path / "some.db", SCHEMA)) as connection:
        yield connection


async def keep(file: Transactions, number: int, max_wait_seconds: float = 0.0) -> None:
    await file.write(
        lambda connection: connection.execute("INSERT INTO numbers VALUES (?)", (number,)),
        is_synced=True,
        max_wait_seconds=max_wait_seconds,
    )


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [number for (number,) in connection.execute("SELECT n FROM numbers")]


def test_whoever_opens_a_new_file_at_the_same_moment_waits_for_the_other(tmp_path: Path) -> None:
    openers, files = 4, 150
    start = Barrier(openers)

    def open_each(_: int) -> None:
        for number in range(files):
            start.wait(timeout=5)
            open_database(tmp_path / str(number) / "new.db", SCHEMA).close()

    with ThreadPoolExecutor(openers) as pool:
        list(pool.map(open_each, range(openers)))


def test_a_log_that_grew_is_cut_once_its_pages_are_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 10)
    monkeypatch.setattr(database, "LOG_BYTES", 100_000)
    log = tmp_path / "some.db-wal"
    path = tmp_path / "some.db"
    with closing(open_database(path, "CREATE TABLE texts (t BLOB)")) as writer, closing(open_database(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM texts").fetchone()  # until its end, the log cannot begin again
        writer.execute("INSERT INTO texts VALUES (zeroblob(1000000))")
        writer.execute("INSERT INTO texts VALUES (zeroblob(1))")
        reader.execute("COMMIT")
        assert log.stat().st_size > 1_000_000
        for _ in range(2):
            writer.execute("INSERT INTO texts VALUES (zeroblob(1))")
        assert log.stat().st_size <= 100_000


async def test_writes_of_the_same_moment_share_a_transaction(file: Transactions, other: sqlite3.Connection) -> None:
    other.execute("CREATE TABLE commits (n INTEGER)")
    (before,) = other.execute("PRAGMA data_version").fetchone()
    seen: list[bool] = []

    def look(connection: sqlite3.Connection) -> None:
        seen.append(connection.in_transaction)
        assert numbers(other) == []

    await asyncio.gather(keep(file, 1), file.write(look, is_synced=False), keep(file, 2))
    assert seen == [True]
    assert numbers(other) == [1, 2]
    assert other.execute("PRAGMA data_version").fetchone() != (before,)


async def test_a_write_that_may_wait_is_committed_with_the_next_that_may_not(
    file: Transactions, other: sqlite3.Connection
) -> None:
    waiting = asyncio.create_task(keep(file, 1, max_wait_seconds=60))
    await asyncio.sleep(0.01)
    assert numbers(other) == []
    await keep(file, 2)
    await waiting
    assert numbers(other) == [1, 2]


async def test_the_event_loop_goes_on_while_another_process_has_the_file_locked(
    file: Transactions, other: sqlite3.Connection
) -> None:
    await keep(file, 1)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(keep(file, 2))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not writing.done()
    other.execute("COMMIT")
    await writing
    assert numbers(other) == [1, 2]


async def test_a_file_that_stays_locked_is_temporary(
    file: Transactions, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(file, 1)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Temporary, match=r"ledger_unavailable: some\.db cannot be written: database is locked"):
        await keep(file, 2)
    other.execute("COMMIT")
    await keep(file, 3)
    assert numbers(other) == [1, 3]


async def test_a_write_that_is_cancelled_in_time_is_withdrawn(file: Transactions, other: sqlite3.Connection) -> None:
    await keep(file, 1)
    other.execute("BEGIN IMMEDIATE")
    withdrawn, kept = asyncio.create_task(keep(file, 2)), asyncio.create_task(keep(file, 3))
    await asyncio.sleep(0.005)
    withdrawn.cancel()
    other.execute("COMMIT")
    await kept
    assert numbers(other) == [1, 3]


async def test_one_write_that_fails_takes_back_all_of_its_moment_and_no_later_one(
    file: Transactions, other: sqlite3.Connection
) -> None:
    await keep(file, 1)
    answers = await asyncio.gather(keep(file, 2), keep(file, 1), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Temporary, Temporary]
    await keep(file, 4)
    assert numbers(other) == [1, 4]


async def test_only_so_many_writes_wait(file: Transactions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "MAX_WAITING", 2)
    waiting = [asyncio.create_task(keep(file, number)) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Temporary, match="queue_full"):
        await keep(file, 3)
    await asyncio.gather(*waiting)


async def test_a_write_is_synced_where_that_is_asked_for(file: Transactions) -> None:
    async def level(*, is_synced: bool) -> int:
        return await file.write(
            lambda connection: int(connection.execute("PRAGMA synchronous").fetchone()[0]), is_synced=is_synced
        )

    assert [await level(is_synced=each) for each in (False, True, False)] == [1, 2, 1]


def test_a_full_disk_is_reported_and_what_was_written_is_not(other: sqlite3.Connection) -> None:
    other.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.Error) as full:
        other.execute("CREATE TABLE letters AS SELECT hex(zeroblob(100000))")
    assert reason_of(full.value) == "database or disk is full"
    assert reason_of(OSError(errno.ENOSPC, "No space left on device", "/home/me")) == "No space left on device"


async def test_a_write_that_may_wait_is_committed_in_time(file: Transactions, other: sqlite3.Connection) -> None:
    await asyncio.gather(keep(file, 1, max_wait_seconds=0.01), keep(file, 2, max_wait_seconds=0.01))
    await keep(file, 3, max_wait_seconds=0.01)
    assert numbers(other) == [1, 2, 3]


def test_the_reason_of_a_file_that_cannot_be_written_says_what_to_do(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "any.db").close()
    with (
        closing(sqlite3.connect(f"file:{tmp_path / 'any.db'}?mode=ro", uri=True)) as connection,
        pytest.raises(sqlite3.Error) as failed,
    ):
        connection.execute("CREATE TABLE t (a)")
    assert reason_of(failed.value).endswith("Copy the folder to read it")
