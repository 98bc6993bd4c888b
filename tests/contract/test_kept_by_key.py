"""Records, owners and grants, which every platform keeps by a key."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from shared.cloud.aws.documents import DynamoDocuments
from shared.cloud.gcp.documents import FirestoreDocuments
from shared.cloud.grant_rules import RecordedGrants
from shared.cloud.kept_by_key import DocumentOwners, DocumentRecords
from shared.cloud.local.documents import KnownOwners, LocalDocuments
from shared.errors import Temporary
from shared.ports import Owners
from shared.store_ports import MAX_RECORD_BYTES, Document, Grants, Kept, Lease, Records
from tests.aws.dynamo import DynamoTables
from tests.fakes.documents import FakeDocuments
from tests.fakes.grants import FakeGrants
from tests.fakes.owners import FakeOwners
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


# Owners


def local_owners(folder: Path) -> DocumentOwners:
    return DocumentOwners(LocalDocuments(folder / "owners.db", "owners", now=lambda: NOW))


@pytest.fixture(params=["fake", "local"])
async def owners(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Owners]:
    if request.param == "fake":
        yield FakeOwners()
        return
    made = local_owners(tmp_path / "state")
    yield made
    made.close()


async def test_the_first_event_with_a_key_owns_it(owners: Owners) -> None:
    assert await owners.owner("order 7", "e1", NOW, DAY) == "e1"
    assert await owners.owner("order 7", "e2", NOW + 1, DAY) == "e1"


async def test_the_owner_asks_again_and_is_still_the_owner(owners: Owners) -> None:
    assert [await owners.owner("order 7", "e1", NOW + n, DAY) for n in range(3)] == ["e1"] * 3


async def test_keys_do_not_know_each_other(owners: Owners) -> None:
    keys = ["order 7", "order 8", "", "é", "a/b", "x" * 2_000]

    assert [await owners.owner(key, f"e{n}", NOW, DAY) for n, key in enumerate(keys)] == [
        f"e{n}" for n in range(len(keys))
    ]


async def test_a_window_ends_with_its_last_second(owners: Owners) -> None:
    await owners.owner("order 7", "e1", NOW, DAY)

    assert await owners.owner("order 7", "e2", NOW + DAY - 0.5, DAY) == "e1"
    assert await owners.owner("order 7", "e3", NOW + DAY, DAY) == "e3"
    assert await owners.owner("order 7", "e4", NOW + DAY + 1, DAY) == "e3"


async def test_a_window_is_not_made_longer_by_those_who_ask(owners: Owners) -> None:
    for n in range(4):
        await owners.owner("order 7", f"e{n}", NOW + n * 0.3 * DAY, DAY)

    assert await owners.owner("order 7", "e9", NOW + DAY, DAY) == "e9"


async def test_of_many_at_once_one_is_the_owner_for_all(owners: Owners) -> None:
    answers = await asyncio.gather(*(owners.owner("order 7", f"e{n}", NOW, DAY) for n in range(20)))

    assert len(set(answers)) == 1


async def test_the_owner_outlives_the_process(tmp_path: Path) -> None:
    for event_id in ("e1", "e2"):
        owners = local_owners(tmp_path)
        assert await owners.owner("order 7", event_id, NOW, DAY) == "e1"
        owners.close()


async def test_whoever_only_looks_learns_the_owner_and_becomes_none(tmp_path: Path) -> None:
    known = KnownOwners(tmp_path / "owners.db")
    assert await known.owner("order 7", "e2", NOW, DAY) == "e2"
    owners = local_owners(tmp_path)
    await owners.owner("order 7", "e1", NOW, DAY)

    assert await known.owner("order 7", "e2", NOW + 1, DAY) == "e1"
    assert await known.owner("order 7", "e2", NOW + DAY, DAY) == "e2"
    assert await known.owner("order 8", "e2", NOW, DAY) == "e2"
    assert await owners.owner("order 8", "e3", NOW, DAY) == "e3"
    owners.close()


# Grants

ALL = Lease(5)


@pytest.fixture
def grants() -> Grants:
    return FakeGrants()


async def test_slots_follow_each_other_at_their_interval(grants: Grants) -> None:
    assert (await grants.reserve("crm", 1, 2.0, NOW, 10))[0] == NOW
    assert (await grants.reserve("crm", 3, 2.0, NOW, 10))[0] == NOW + 2
    assert (await grants.reserve("crm", 1, 2.0, NOW + 1, 10))[0] == NOW + 8


async def test_a_slot_that_is_too_far_ahead_is_not_reserved(grants: Grants) -> None:
    await grants.reserve("crm", 1, 60.0, NOW, 1)

    assert [await grants.reserve("crm", 1, 60.0, NOW + each, 1) for each in (1, 2)] == [(NOW + 60, 60.0, 0)] * 2
    assert (await grants.reserve("crm", 1, 60.0, NOW + 59.5, 1))[0] == NOW + 60


async def test_slots_that_nobody_reserved_are_over(grants: Grants) -> None:
    await grants.reserve("crm", 1, 2.0, NOW, 1)

    assert (await grants.reserve("crm", 1, 2.0, NOW + 100, 1))[0] == NOW + 100
    assert (await grants.reserve("crm", 1, 2.0, NOW + 100, 1))[0] == NOW + 102


async def test_a_clock_that_was_years_ahead_blocks_nothing_for_long(grants: Grants) -> None:
    await grants.reserve("crm", 1, 2.0, NOW + 1e8, 1)
    await grants.lease("mail", "a", 5, 5, NOW + 1e8, 30)

    assert (await grants.reserve("crm", 1, 2.0, NOW, 2))[0] == NOW + 2
    assert await grants.lease("mail", "b", 5, 5, NOW, 30) == ALL


async def test_a_queue_is_as_long_as_it_was_if_the_clock_is_set_back(grants: Grants) -> None:
    await grants.reserve("crm", 5, 2.0, NOW, 10)

    assert await grants.reserve("crm", 1, 2.0, NOW - 3_600, 1) == (NOW - 3_590, 2.0, 0)
    assert (await grants.reserve("crm", 1, 2.0, NOW - 3_595, 10))[0] == NOW - 3_590


async def test_buckets_do_not_know_each_other(grants: Grants) -> None:
    names = ["crm", "crm:0f", "é", "a/b", "x" * 2_000]

    assert [(await grants.reserve(name, 1, 60.0, NOW, 1))[0] for name in names] == [NOW] * len(names)
    assert [await grants.lease(f"{name}:", "a", 5, 5, NOW, 30) for name in names] == [ALL] * len(names)


async def test_all_holders_together_get_no_more_than_the_limit(grants: Grants) -> None:
    assert (await grants.lease("crm", "a", 3, 5, NOW, 30)).places == 3
    assert (await grants.lease("crm", "b", 3, 5, NOW, 30)).places == 2
    assert await grants.lease("crm", "c", 3, 5, NOW, 30) == Lease(0, is_contended=True)


async def test_a_lease_replaces_the_one_before(grants: Grants) -> None:
    await grants.lease("crm", "a", 3, 5, NOW, 30)

    assert await grants.lease("crm", "a", 5, 5, NOW + 1, 30) == ALL
    assert (await grants.lease("crm", "a", 1, 5, NOW + 2, 30)).places == 1
    assert (await grants.lease("crm", "b", 9, 5, NOW + 3, 30)).places == 4


async def test_places_are_free_once_they_are_given_back(grants: Grants) -> None:
    await grants.lease("crm", "a", 5, 5, NOW, 30)
    assert (await grants.lease("crm", "a", 0, 5, NOW + 1, 30)).places == 0

    assert await grants.lease("crm", "b", 5, 5, NOW + 2, 30) == ALL


async def test_the_places_of_a_holder_that_died_are_free_after_its_lease(grants: Grants) -> None:
    await grants.lease("crm", "dead", 5, 5, NOW, 30)

    assert (await grants.lease("crm", "b", 5, 5, NOW + 29.5, 30)).places == 0
    assert await grants.lease("crm", "b", 5, 5, NOW + 30, 30) == ALL


async def test_who_renews_while_others_lack_places_keeps_its_fair_share_and_what_it_uses(grants: Grants) -> None:
    await grants.lease("crm", "a", 10, 10, NOW, 30)
    await grants.lease("crm", "b", 10, 10, NOW, 30)
    await grants.lease("crm", "c", 2, 10, NOW, 30)

    assert await grants.lease("crm", "a", 10, 10, NOW + 1, 30, used=7) == Lease(7, is_contended=True)
    assert (await grants.lease("crm", "a", 10, 10, NOW + 2, 30)).places == 4
    assert (await grants.lease("crm", "c", 2, 10, NOW + 3, 30)).places == 2
    assert (await grants.lease("crm", "b", 10, 10, NOW + 4, 30)).places == 4


async def test_slots_are_reserved_where_leases_leave_room(grants: Grants) -> None:
    await grants.lease("crm", "a", 5, 10, NOW, 10)
    assert await grants.reserve("crm", 9, 1.0, NOW, 60, limit=10) == (NOW, 2.0, 5)
    assert await grants.reserve("crm", 9, 1.0, NOW, 60, limit=10) == (NOW + 10, 1.0, 9)

    await grants.lease("mail", "a", 4, 10, NOW, 10)
    await grants.lease("mail", "b", 6, 10, NOW + 3, 10)
    assert await grants.reserve("mail", 9, 1.0, NOW + 4, 60, limit=10) == (NOW + 10, 2.5, 2)


async def test_slots_go_on_at_their_interval_when_a_lease_of_nearly_all_of_them_ends(grants: Grants) -> None:
    await grants.lease("100 a minute", "one", wanted=15, limit=16, now=NOW, seconds=10.0)
    at, apart, count = await grants.reserve("100 a minute", most=8, interval=0.6, now=NOW, ahead=DAY, limit=16)
    assert [at - NOW, apart, count] == pytest.approx([0, 9.6, 2])
    at, apart, count = await grants.reserve("100 a minute", most=8, interval=0.6, now=NOW, ahead=DAY, limit=16)
    assert [at - NOW, apart, count] == pytest.approx([10.2, 0.6, 8])


async def test_nothing_is_leased_while_slots_are_reserved_ahead(grants: Grants) -> None:
    await grants.lease("crm", "a", 5, 10, NOW, 10)
    await grants.reserve("crm", 4, 1.0, NOW, 60, limit=10)

    assert await grants.lease("crm", "a", 10, 10, NOW + 1, 10) == Lease(0, is_queued=True)
    assert await grants.reserve("crm", 1, 1.0, NOW, 60, limit=10) == (NOW + 8, 2.0, 1)
    assert (await grants.lease("crm", "a", 10, 10, NOW + 9, 10)).places == 10


async def test_many_who_ask_at_once_get_what_there_is_and_no_more(records: Records) -> None:
    grants = RecordedGrants(records)
    leases = await asyncio.gather(*(grants.lease("crm", f"h{n}", 2, 5, NOW, 30) for n in range(4)))
    slots = await asyncio.gather(*(grants.reserve("mail", 2, 1.0, NOW, 100) for _ in range(4)))

    assert sum(each.places for each in leases) == 5
    assert sorted(each[0] for each in slots) == [NOW, NOW + 2, NOW + 4, NOW + 6]
