"""What owners over the Documents port, and their fake, must do. Each implementation of that port has a contract."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.cloud.kept_by_key import DocumentOwners
from shared.cloud.local.documents import KnownOwners, LocalDocuments
from shared.ports import Owners
from tests.fakes.owners import FakeOwners

NOW = 1_790_000_000.0
DAY = 86_400.0


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
