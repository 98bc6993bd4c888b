"""The ledger on SQLite: what its file may hold, and who may share it."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from shared.cloud.local.ledger import LocalLedger, conditions
from shared.errors import Temporary
from shared.ledger import Claimed, DestinationState, Finished, Gathered
from tests.contract.claims import (
    KEY,
    LEASE,
    MESSAGE,
    T,
    claimed,
    delivery,
    done,
    failed,
    finished,
    in_retry,
    plain_claim,
)


async def test_two_processes_may_share_the_file(tmp_path: Path) -> None:
    one, other = LocalLedger(tmp_path / "ledger.db"), LocalLedger(tmp_path / "ledger.db")
    answers = await asyncio.gather(*(plain_claim(each, T) for each in (one, other) * 50))
    assert [type(answer) for answer in answers].count(Claimed) == 1
    await asyncio.gather(one.close(), other.close())


async def test_what_was_written_outlives_the_process(tmp_path: Path) -> None:
    first = LocalLedger(tmp_path / "ledger.db")
    await finished(first)
    await first.close()
    second = LocalLedger(tmp_path / "ledger.db")
    assert await plain_claim(second, T) == Finished()
    await second.close()


async def test_a_file_that_cannot_be_opened_is_temporary_and_says_which(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)
    local = LocalLedger(tmp_path / "ledger.db")
    with pytest.raises(Temporary, match=r"ledger\.db"):
        await plain_claim(local, T)
    await local.close()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    local = LocalLedger(tmp_path / "ledger.db")
    with pytest.raises(Temporary, match="newer"):
        await plain_claim(local, T)
    await local.close()


async def test_a_file_of_the_version_before_is_upgraded_by_one_of_two_processes(tmp_path: Path) -> None:
    old = LocalLedger(tmp_path / "ledger.db")
    await finished(old)
    await old.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
        _make_version_3(connection)
        connection.execute("UPDATE deliveries SET state = 'done'")
        connection.execute("ALTER TABLE deliveries DROP COLUMN unknown_count")
        connection.execute("PRAGMA user_version = 1")
    one, other = LocalLedger(tmp_path / "ledger.db"), LocalLedger(tmp_path / "ledger.db")
    assert await plain_claim(one, T) == await plain_claim(other, T) == Finished()
    (row,) = await one.rows(10)
    assert (row.state, row.answer, row.unknown_count) == ("delivered", "202 Accepted", 0)
    await asyncio.gather(one.close(), other.close())


def _make_version_10(connection: sqlite3.Connection) -> None:
    """Its deliveries did not say since when none was delivered."""
    connection.execute("ALTER TABLE deliveries DROP COLUMN undelivered_since")
    connection.execute("PRAGMA user_version = 10")


def _make_version_9(connection: sqlite3.Connection) -> None:
    """Its indexes did not say when a destination's deliveries were made."""
    _make_version_10(connection)
    for name, states in (
        ("destination", ""),
        ("held", "WHERE state = 'held'"),
        ("failed", "WHERE state = 'dead_lettered'"),
    ):
        connection.execute(f"DROP INDEX deliveries_{name}")
        connection.execute(f"CREATE INDEX deliveries_{name} ON deliveries (destination) {states}")
    connection.execute("PRAGMA user_version = 9")


def _make_version_8(connection: sqlite3.Connection) -> None:
    """Its deliveries had no slots."""
    _make_version_9(connection)
    connection.execute("ALTER TABLE deliveries DROP COLUMN slot_at")
    connection.execute("PRAGMA user_version = 8")


def _make_version_7(connection: sqlite3.Connection) -> None:
    """Its digests did not say how many deliveries they stand for."""
    _make_version_8(connection)
    connection.execute("ALTER TABLE deliveries DROP COLUMN merged")
    connection.execute("PRAGMA user_version = 7")


async def test_a_digest_of_version_7_goes_on(tmp_path: Path) -> None:
    old = LocalLedger(tmp_path / "ledger.db")
    await in_retry(old, at=T + 5)
    await old.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
        _make_version_7(connection)
    ledger = LocalLedger(tmp_path / "ledger.db")
    assert [row.merged for row in await ledger.due(T + 5, 10)] == [0]
    await ledger.close()


def _make_version_6(connection: sqlite3.Connection) -> None:
    """Its deliveries waited in no groups, and its pauses had no reason."""
    _make_version_7(connection)
    connection.execute("ALTER TABLE deliveries DROP COLUMN group_id")
    connection.execute("ALTER TABLE destinations DROP COLUMN pause_reason")
    connection.execute("PRAGMA user_version = 6")


async def test_a_pause_of_version_6_goes_on(tmp_path: Path) -> None:
    old = LocalLedger(tmp_path / "ledger.db")
    await old.pause("crm", T + 60, T, "it still fails")
    await old.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
        _make_version_6(connection)
    ledger = LocalLedger(tmp_path / "ledger.db")
    assert await ledger.destination_state("crm") == DestinationState(paused_until=T + 60)
    await ledger.pause("crm", T + 90, T, "it still fails")
    assert await ledger.destination_state("crm") == DestinationState(None, T + 90, "it still fails")
    await ledger.close()


def _make_version_3(connection: sqlite3.Connection) -> None:
    """Its messages had a table of their own, and attempts were in the journal only."""
    _make_version_6(connection)
    connection.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, message BLOB NOT NULL)")
    connection.execute("INSERT INTO messages SELECT id, message FROM deliveries")
    connection.execute("CREATE INDEX deliveries_created ON deliveries (created_at)")
    connection.execute("ALTER TABLE deliveries DROP COLUMN attempts")
    connection.execute("ALTER TABLE deliveries DROP COLUMN message")
    connection.execute("PRAGMA user_version = 3")


async def test_the_states_of_version_2_get_todays_words_and_the_indexes_of_a_new_file(tmp_path: Path) -> None:
    new, old = LocalLedger(tmp_path / "new" / "ledger.db"), LocalLedger(tmp_path / "old" / "ledger.db")
    await finished(new)
    await finished(old)
    await asyncio.gather(new.close(), old.close())
    with closing(sqlite3.connect(tmp_path / "old" / "ledger.db", isolation_level=None)) as connection:
        _make_version_3(connection)
        connection.execute("UPDATE deliveries SET state = 'retry_at', retry_at = 5")
        connection.execute("PRAGMA user_version = 2")
    upgraded = LocalLedger(tmp_path / "old" / "ledger.db")
    assert [row.state for row in await upgraded.due(10, 10)] == ["retry_scheduled"]
    await upgraded.close()
    select = "SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name"
    with (
        closing(sqlite3.connect(tmp_path / "old" / "ledger.db")) as one,
        closing(sqlite3.connect(tmp_path / "new" / "ledger.db")) as other,
    ):
        assert one.execute(select).fetchall() == other.execute(select).fetchall() != []


async def test_what_waits_keeps_its_message_through_the_upgrade(tmp_path: Path) -> None:
    old = LocalLedger(tmp_path / "ledger.db")
    await in_retry(old, at=T + 5)
    await old.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
        _make_version_3(connection)
    ledger = LocalLedger(tmp_path / "ledger.db")
    [row] = await ledger.due(T + 5, 10)
    assert (row.message, row.attempts) == (MESSAGE, ())
    fence = await ledger.postpone(row.key, row.fence, T + 5, T + 600)
    assert await ledger.settle(await claimed(ledger, T + 5, fence), failed())
    await ledger.close()


def _make_version_5(connection: sqlite3.Connection) -> None:
    """Its keys had an index of their own."""
    _make_version_6(connection)
    [(table,)] = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'deliveries'").fetchall()
    connection.execute("ALTER TABLE deliveries RENAME TO later")
    columns = table.replace("key TEXT NOT NULL", "key TEXT NOT NULL UNIQUE").replace(", UNIQUE (event_id, key)", "")
    connection.execute(columns)
    connection.execute("INSERT INTO deliveries SELECT * FROM later")
    connection.execute("DROP TABLE later")
    connection.execute("CREATE INDEX deliveries_event ON deliveries (event_id)")
    connection.execute("CREATE INDEX deliveries_destination ON deliveries (destination)")
    connection.execute("PRAGMA user_version = 5")


@pytest.mark.parametrize(
    "make_earlier", [_make_version_5, _make_version_6, _make_version_7, _make_version_8, _make_version_9]
)
async def test_a_file_of_an_earlier_version_keeps_its_rows_and_gets_the_indexes_of_a_new_file(
    tmp_path: Path, make_earlier: Callable[[sqlite3.Connection], None]
) -> None:
    new, old = LocalLedger(tmp_path / "new" / "ledger.db"), LocalLedger(tmp_path / "old" / "ledger.db")
    await asyncio.gather(finished(new), finished(old))
    await old.claim(delivery(2), MESSAGE, T, LEASE)
    kept = await old.rows(10)
    await asyncio.gather(new.close(), old.close())
    with closing(sqlite3.connect(tmp_path / "old" / "ledger.db", isolation_level=None)) as connection:
        make_earlier(connection)
    upgraded = LocalLedger(tmp_path / "old" / "ledger.db")
    assert await upgraded.rows(10) == kept
    assert await plain_claim(upgraded, T) == Finished()
    await upgraded.close()
    with (
        closing(sqlite3.connect(tmp_path / "old" / "ledger.db")) as one,
        closing(sqlite3.connect(tmp_path / "new" / "ledger.db")) as other,
    ):
        assert _indexes(one) == _indexes(other) != []


async def test_a_file_of_version_6_keeps_its_rows_and_gathers(tmp_path: Path) -> None:
    old = LocalLedger(tmp_path / "ledger.db")
    await in_retry(old, at=T + 5)
    kept = await old.rows(10)
    await old.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as connection:
        _make_version_6(connection)
    one, other = LocalLedger(tmp_path / "ledger.db"), LocalLedger(tmp_path / "ledger.db")
    assert await one.rows(10) == await other.rows(10) == kept
    assert await other.gather(delivery(2), MESSAGE, "g1", "", T, T + 9) == Gathered()
    assert [row.group for row in await one.due(T + 9, 10)] == ["", "g1"]
    await asyncio.gather(one.close(), other.close())


def _indexes(connection: sqlite3.Connection) -> list[tuple[str, str | None]]:
    return connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()


async def test_one_index_finds_a_delivery_and_those_of_an_event(tmp_path: Path) -> None:
    """A claim of a new delivery writes a page of each index whose values are random."""
    local = LocalLedger(tmp_path / "ledger.db")
    await claimed(local)
    await local.close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        for condition in ("event_id = 'e'", "event_id = 'e' AND key = 'k'"):
            plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT * FROM deliveries WHERE {condition}").fetchall()
            assert "USING INDEX sqlite_autoindex_deliveries_1 (event_id=?" in plan[0][3]
        assert len(connection.execute("PRAGMA index_list(deliveries)").fetchall()) == 6


@pytest.mark.parametrize("state", [None, "dead_lettered", "held", "retry_scheduled", "delivered"])
async def test_an_endpoints_deliveries_are_found_in_their_order_by_an_index(tmp_path: Path, state: str | None) -> None:
    local = LocalLedger(tmp_path / "ledger.db")
    await claimed(local)
    await local.close()
    wanted = {"destination": "customers:acme:ep_1", **({"state": state} if state else {})}
    rest, values = conditions(wanted, (T, "key"))
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT id FROM deliveries {rest}", (*values, 50)).fetchall()
    indexes = {"dead_lettered": "failed", "held": "held", "retry_scheduled": "waiting"}
    name = indexes.get(state or "", "destination")
    assert f"USING INDEX deliveries_{name} (destination=? AND created_at<?)" in plan[0][3]
    assert [each[3] for each in plan[1:]] == ["USE TEMP B-TREE FOR LAST TERM OF ORDER BY"]


async def test_a_delivery_that_another_process_knows_is_moved_and_reopened_by_its_key(tmp_path: Path) -> None:
    one, other = LocalLedger(tmp_path / "ledger.db"), LocalLedger(tmp_path / "ledger.db")
    claim = await in_retry(one, at=T + 5)
    fence = await other.postpone(claim.row.key, claim.row.fence, T + 5, T + 600)
    assert fence
    assert await one.settle(await claimed(one, T + 5, fence), done())
    assert await other.reopen(claim.row.key, T + 6) == 1
    await asyncio.gather(one.close(), other.close())


async def test_a_delivery_is_not_reopened_for_a_purged_one_whose_row_it_has(tmp_path: Path) -> None:
    """SQLite gives the last row's id again once that row is gone."""
    local = LocalLedger(tmp_path / "ledger.db")
    await finished(local)
    assert await plain_claim(local, T) == Finished()
    assert await local.purge(T + 60) == 1
    other = await local.claim(delivery(2), MESSAGE, T, LEASE)
    assert isinstance(other, Claimed)
    assert await local.settle(other, done())
    assert await local.reopen(KEY, T) is None
    await local.close()


async def test_a_large_purge_is_whole(tmp_path: Path) -> None:
    local = LocalLedger(tmp_path / "ledger.db")

    async def fail(number: int) -> None:
        claim = await local.claim(delivery(number), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        await local.settle(claim, failed())

    await asyncio.gather(*(fail(number) for number in range(1_500)))
    assert await local.purge(T + 1) == 1_500
    assert await local.rows(10) == []
    await local.close()
