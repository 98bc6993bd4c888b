"""What every implementation of the Records port, and its fake, must do."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from shared.cloud.aws.dynamo import Dynamo
from shared.cloud.aws.records import DynamoRecords
from shared.cloud.aws.tables import EXPIRES_AT, GRANTS
from shared.cloud.gcp.records import FirestoreRecords
from shared.cloud.local.records import LocalRecords
from shared.errors import Temporary
from shared.store_ports import MAX_RECORD_BYTES, Kept, Records
from tests.aws.dynamo import DynamoTables
from tests.gcp.firestore_emulated import EmulatedFirestore

NOW = 1_790_000_000.0
DAY = 86_400.0


def keep(text: str, until: float = NOW + DAY) -> Callable[[str | None], tuple[str | None, Kept]]:
    return lambda found: (found, Kept(text, until))


def append(letter: str) -> Callable[[str | None], tuple[str, Kept]]:
    def decide(found: str | None) -> tuple[str, Kept]:
        text = (found or "") + letter
        return text, Kept(text, NOW + DAY)

    return decide


async def test_a_record_is_none_before_its_first_change_and_then_as_the_last_change_left_it(records: Records) -> None:
    assert await records.read("group:a") is None
    assert await records.change("group:a", NOW, keep("one")) is None
    assert await records.read("group:a") == "one"
    assert await records.change("group:a", NOW, keep("two")) == "one"
    assert await records.read("group:a") == "two"


async def test_to_decide_for_no_change_leaves_a_record_as_it_is(records: Records) -> None:
    await records.change("group:a", NOW, keep("one"))
    assert await records.change("group:a", NOW, lambda found: (found, None)) == "one"
    assert await records.change("group:b", NOW, lambda found: (found, None)) is None
    assert [await records.read(name) for name in ("group:a", "group:b")] == ["one", None]


async def test_changes_at_once_come_one_after_the_other_and_none_is_lost(records: Records) -> None:
    answers = await asyncio.gather(*(records.change("group:a", NOW, append(letter)) for letter in "abcd"))
    text = await records.read("group:a")
    assert text is not None
    assert sorted(text) == [*"abcd"]
    assert sorted(answers) == [text[:length] for length in (1, 2, 3, 4)]


async def test_a_record_has_room_for_any_text_up_to_its_limit(records: Records) -> None:
    text = 'é"\\\n\0' + "x" * (MAX_RECORD_BYTES - 6)
    await records.change("group:a", NOW, keep(text))
    assert await records.read("group:a") == text


async def test_records_of_any_names_do_not_know_each_other(records: Records) -> None:
    names = ["group:0f", "group:0F", "é", "a/b", "__a__", "x" * 2_000, "x" * 2_001]
    for name in names:
        assert await records.change(name, NOW, keep(name)) is None
    assert [await records.read(name) for name in names] == names


async def test_a_record_is_there_until_its_time_at_least(records: Records) -> None:
    await records.change("group:a", NOW, keep("one", NOW + DAY))
    await records.change("group:b", NOW + DAY - 1, keep("other"))
    assert await records.read("group:a") == "one"


async def test_records_on_this_machine_outlive_the_process_and_are_shared_with_others(tmp_path: Path) -> None:
    one, other = LocalRecords(tmp_path / "records.db"), LocalRecords(tmp_path / "records.db")
    await asyncio.gather(*(each.change("group:a", NOW, append("x")) for each in (one, other) * 20))
    one.close()
    other.close()
    later = LocalRecords(tmp_path / "records.db")
    assert await later.read("group:a") == "x" * 40
    later.close()


async def test_records_on_this_machine_whose_time_is_over_are_forgotten_by_and_by(tmp_path: Path) -> None:
    records = LocalRecords(tmp_path / "records.db")
    for number in range(50):
        await records.change(f"group:{number}", NOW, keep("one", NOW + 60))
    await records.change("group:new", NOW + 61, keep("two"))
    records.close()
    with closing(sqlite3.connect(tmp_path / "records.db")) as connection:
        assert connection.execute("SELECT name FROM records").fetchall() == [("group:new",)]


async def test_a_file_that_cannot_be_written_is_temporary(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(Temporary, match=r"records\.db cannot be written") as error:
        await LocalRecords(tmp_path / "state" / "records.db").change("group:a", NOW, keep("one"))
    assert error.value.code == "records_unavailable"


async def test_grants_of_an_earlier_version_are_forgotten_on_this_machine(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "grants.db")) as connection:
        connection.execute("CREATE TABLE buckets (name TEXT PRIMARY KEY, bucket TEXT, ends_at REAL)")
    records = LocalRecords(tmp_path / "grants.db", "grants_unavailable", is_synced=False)
    assert await records.change("crm:rate", NOW, keep("[1.5]")) is None
    records.close()


async def test_two_parts_that_share_a_store_have_records_of_the_same_name_each(
    firestore: EmulatedFirestore, npm_dynamo: DynamoTables
) -> None:
    store, place, tables = firestore.connect(), npm_dynamo.place, npm_dynamo.prefix
    for one, other in (
        (FirestoreRecords(store), FirestoreRecords(store, "record.")),
        (DynamoRecords(place, tables), DynamoRecords(place, tables, "record.")),
    ):
        await one.change("a:rate", NOW, keep("grant"))
        await other.change("a:rate", NOW, keep("record"))
        assert [await each.read("a:rate") for each in (one, other)] == ["grant", "record"]
        one.close()
        other.close()
    await asyncio.sleep(0)


async def test_an_item_expires_in_the_second_after_its_time(npm_dynamo: DynamoTables) -> None:
    records, store = (
        DynamoRecords(npm_dynamo.place, npm_dynamo.prefix),
        Dynamo(npm_dynamo.place, npm_dynamo.prefix, "records_unavailable"),
    )
    await records.change("group:a", NOW, keep("one", NOW + 60.5))
    item = await store.get(GRANTS, "group:a")
    assert item is not None
    assert item[EXPIRES_AT] == NOW + 61
    records.close()
    store.close()
    await asyncio.sleep(0)
