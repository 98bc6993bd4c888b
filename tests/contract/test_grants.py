"""What grants do: their rules over a fake of the Records port, and many who ask at once over each implementation."""

import asyncio

import pytest

from shared.cloud.grant_rules import RecordedGrants
from shared.store_ports import Grants, Lease, Records
from tests.fakes.grants import FakeGrants

NOW = 1_790_000_000.0
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
