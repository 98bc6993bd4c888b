"""What every implementation of the Records port, and its fake, must do."""

import asyncio
from collections.abc import Callable

import pytest

from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.kept_by_key import DocumentRecords
from shared.errors import Temporary
from shared.store_ports import MAX_RECORD_BYTES, Document, Kept, Records
from tests.aws.dynamo import DynamoTables
from tests.fakes.documents import FakeDocuments
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


async def test_two_stores_in_one_table_have_records_of_the_same_name_each(
    firestore: EmulatedFirestore, npm_dynamo: DynamoTables
) -> None:
    place, prefix = npm_dynamo.place, npm_dynamo.prefix
    for grants, records in (
        (FirestoreDocuments(firestore.connect(), "grants"), FirestoreDocuments(firestore.connect(), "records")),
        (DynamoDocuments(place, prefix, "grants"), DynamoDocuments(place, prefix, "records")),
    ):
        await DocumentRecords(grants).change("a:rate", NOW, keep("grant"))
        await DocumentRecords(records).change("a:rate", NOW, keep("record"))
        assert await DocumentRecords(grants).read("a:rate") == "grant"
        assert await DocumentRecords(records).read("a:rate") == "record"
        grants.close()
        records.close()
    await asyncio.sleep(0)


async def test_a_record_that_others_keep_writing_is_temporary() -> None:
    documents = FakeDocuments()

    def another_writes() -> None:
        documents.kept["", "a"] = Document("a", "theirs", f"v{documents.calls}")

    documents.before = another_writes
    with pytest.raises(Temporary, match="8 times in a row") as error:
        await DocumentRecords(documents, "grants_unavailable").change("a", NOW, keep("ours"))
    assert error.value.code == "grants_unavailable"
