"""The ledger on SQLite: what its file may hold, and who may share it."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from shared.cloud.local.ledger import LocalLedger, purge_deliveries
from shared.errors import Temporary
from shared.ledger import Claimed, Finished
from tests.contract import claims

STATES: Final = Path(__file__).parent.parent / "upgrade" / "states"


async def test_two_processes_may_share_the_file(tmp_path: Path) -> None:
    one, other = LocalLedger(tmp_path / "ledger.db"), LocalLedger(tmp_path / "ledger.db")
    answers = await asyncio.gather(*(claims.plain_claim(each, claims.T) for each in (one, other) * 50))
    assert [type(answer) for answer in answers].count(Claimed) == 1
    await asyncio.gather(one.close(), other.close())


async def test_what_was_written_outlives_the_process(tmp_path: Path) -> None:
    first = LocalLedger(tmp_path / "ledger.db")
    await claims.finished(first)
    await first.close()
    second = LocalLedger(tmp_path / "ledger.db")
    assert await claims.plain_claim(second, claims.T) == Finished()
    await second.close()


async def test_a_file_that_cannot_be_opened_is_temporary_and_says_which(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)
    local = LocalLedger(tmp_path / "ledger.db")
    with pytest.raises(Temporary, match=r"ledger\.db"):
        await claims.plain_claim(local, claims.T)
    await local.close()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    local = LocalLedger(tmp_path / "ledger.db")
    with pytest.raises(Temporary, match="newer"):
        await claims.plain_claim(local, claims.T)
    await local.close()


async def test_two_processes_upgrade_a_file_of_version_1_to_the_indexes_of_a_new_file(tmp_path: Path) -> None:
    """tests/contract/test_upgrade.py says what becomes of its rows."""
    (tmp_path / "old").mkdir()
    recorded = json.loads((STATES / "3ce00f9f-local.json").read_text(encoding="utf-8"))
    with closing(sqlite3.connect(tmp_path / "old" / "ledger.db")) as connection:
        connection.executescript("\n".join(recorded["ledger.db"]))
    new, *upgraded = (LocalLedger(tmp_path / name / "ledger.db") for name in ("new", "old", "old"))
    await claims.finished(new)
    one, other = await asyncio.gather(*(each.rows(10) for each in upgraded))
    assert one == other != []
    await asyncio.gather(*(each.close() for each in (new, *upgraded)))
    with (
        closing(sqlite3.connect(tmp_path / "old" / "ledger.db")) as old_file,
        closing(sqlite3.connect(tmp_path / "new" / "ledger.db")) as new_file,
    ):
        assert _indexes(old_file) == _indexes(new_file) != []


async def test_an_upgraded_file_still_holds_what_may_have_been_accepted(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    local = LocalLedger(path)
    for number, reason in enumerate(("no answer; accepted or not: unknown. Ask the recipient", "verify the sender")):
        await claims.settled(local, claims.delivery(number), claims.held(claims.T, reason))
    await local.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("ALTER TABLE deliveries DROP COLUMN needs_release; PRAGMA user_version = 13")
    local = LocalLedger(path)
    assert await local.release("crm", claims.T) == 1
    assert await local.release("crm", claims.T, releases_unknown=True) == 1
    await local.close()


def _indexes(connection: sqlite3.Connection) -> list[tuple[str, str | None]]:
    return connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' ORDER BY name").fetchall()


async def test_a_delivery_that_another_process_knows_is_moved_and_reopened_by_its_key(tmp_path: Path) -> None:
    one, other = LocalLedger(tmp_path / "ledger.db"), LocalLedger(tmp_path / "ledger.db")
    claim = await claims.in_retry(one, at=claims.T + 5)
    fence = await other.postpone(claim.row.key, claim.row.fence, claims.T + 5, claims.T + 600)
    assert fence
    assert await one.settle(await claims.claimed(one, claims.T + 5, fence), claims.done())
    assert await other.reopen(claim.row.key, claims.T + 6) == 1
    await asyncio.gather(one.close(), other.close())


async def test_a_purge_forgets_old_final_rows_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    local = LocalLedger(path)
    await claims.finished(local)
    for number, settlement in ((2, None), (3, claims.held()), (4, claims.later(claims.T + 60))):
        claim = await local.claim(claims.delivery(number), claims.MESSAGE, claims.T, claims.LEASE)
        assert isinstance(claim, Claimed)
        assert settlement is None or await local.settle(claim, settlement)
    assert purge_deliveries(path, claims.T) == 0
    assert purge_deliveries(path, claims.T + 1) == 1
    assert {row.event_id for row in await local.rows(10)} == {"e2", "e3", "e4"}
    assert isinstance(await claims.plain_claim(local, claims.T + 1), Claimed)
    await local.close()


async def test_merged_deliveries_are_purged_as_delivered_ones_are(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    local = LocalLedger(path)
    row = (await claims.in_retry(local, at=claims.T + 5)).row
    [waiting] = await local.rows(1)
    assert await local.merge_all([(row.key, waiting.fence)], claims.T + 61, "digest") == [True]
    assert purge_deliveries(path, claims.T + 61) == 0
    assert purge_deliveries(path, claims.T + 62) == 1
    await local.close()


async def test_a_delivery_is_not_reopened_for_a_purged_one_whose_row_it_has(tmp_path: Path) -> None:
    """SQLite gives the last row's id again once that row is gone."""
    local = LocalLedger(tmp_path / "ledger.db")
    await claims.finished(local)
    assert await claims.plain_claim(local, claims.T) == Finished()
    assert purge_deliveries(tmp_path / "ledger.db", claims.T + 60) == 1
    other = await local.claim(claims.delivery(2), claims.MESSAGE, claims.T, claims.LEASE)
    assert isinstance(other, Claimed)
    assert await local.settle(other, claims.done())
    assert await local.reopen(claims.KEY, claims.T) is None
    await local.close()


async def test_a_large_purge_goes_on_until_nothing_is_left(tmp_path: Path) -> None:
    local = LocalLedger(tmp_path / "ledger.db")

    async def fail(number: int) -> None:
        await claims.settled(local, claims.delivery(number), claims.failed())

    await asyncio.gather(*(fail(number) for number in range(1_500)))
    assert [purge_deliveries(tmp_path / "ledger.db", claims.T + 1) for _ in range(4)] == [500, 500, 500, 0]
    assert await local.rows(10) == []
    await local.close()
