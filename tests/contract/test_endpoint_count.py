"""The count of a tenant's endpoints, which holds its limit: at one moment over every implementation of the Documents
port, and its other rules over the fake."""

import asyncio
from typing import Final

import pytest

from shared.store_ports import Documents
from shared.subscribers.directory import (
    COUNT_SECONDS,
    QUIET_SECONDS,
    TENANTS,
    Directory,
    endpoints_of,
)
from shared.subscribers.model import Endpoint, Tenant
from tests.fakes.documents import FakeDocuments

NOW: Final = 1_900_000_000.0
MOST: Final = 3


async def make(documents: Documents, id: str) -> None:
    endpoint = Endpoint(id=id, tenant="acme", url="https://a.example.com/")
    await documents.write(endpoints_of("acme"), id, endpoint.text())


async def number_of(directory: Directory) -> int | None:
    found = await directory.read(Tenant, TENANTS, "acme")
    assert found
    return found[0].endpoints.number if found[0].endpoints else None


@pytest.fixture
async def directory() -> Directory:
    return await directory_over(FakeDocuments())


async def directory_over(documents: Documents) -> Directory:
    await documents.write(TENANTS, "acme", Tenant(id="acme", name="Acme").text())
    return Directory(documents)


async def test_endpoints_that_are_made_at_one_moment_do_not_exceed_the_limit(documents: Documents) -> None:
    directory = await directory_over(documents)
    answers = await asyncio.gather(*(directory.count_new_endpoint("acme", MOST, NOW) for _ in range(MOST + 2)))
    assert sorted(map(bool, answers)) == [False] * 2 + [True] * MOST
    assert await number_of(directory) == MOST


async def test_of_a_tenant_that_is_gone_nothing_is_counted(directory: Directory) -> None:
    assert await directory.count_new_endpoint("other", MOST, NOW) is None
    await directory.uncount_endpoint("other", NOW)
    assert await directory.documents.get(TENANTS, "other") is None


async def test_an_endpoint_that_two_delete_at_once_counts_one_less(documents: Documents) -> None:
    directory = await directory_over(documents)
    for number in range(2):
        await directory.count_new_endpoint("acme", MOST, NOW)
        await make(directory.documents, f"ep_{number}")
    assert await asyncio.gather(*(directory.delete_endpoint("acme", "ep_0", NOW) for _ in range(2))) == [True, True]
    assert await number_of(directory) == 1


async def test_a_deletion_at_another_version_leaves_the_count_to_the_one_that_succeeds(directory: Directory) -> None:
    await directory.count_new_endpoint("acme", MOST, NOW)
    await make(directory.documents, "ep_0")
    earlier = await directory.documents.get(endpoints_of("acme"), "ep_0")
    assert earlier
    await directory.documents.write(endpoints_of("acme"), "ep_0", earlier.text)
    assert not await directory.delete_endpoint("acme", "ep_0", NOW, earlier.version)
    assert await number_of(directory) == 1
    assert await directory.delete_endpoint("acme", "ep_0", NOW)
    assert await number_of(directory) == 0


async def test_a_count_that_a_crash_left_too_high_is_corrected_once_nothing_is_being_made(directory: Directory) -> None:
    for number in range(MOST):
        await directory.count_new_endpoint("acme", MOST, NOW)
        if number:  # the first request died before it made its endpoint
            await make(directory.documents, f"ep_{number}")
    assert not await directory.count_new_endpoint("acme", MOST, NOW + QUIET_SECONDS - 1)
    assert await directory.count_new_endpoint("acme", MOST, NOW + QUIET_SECONDS)
    await make(directory.documents, "ep_last")
    assert not await directory.count_new_endpoint("acme", MOST, NOW + 2 * QUIET_SECONDS)
    assert await number_of(directory) == MOST


async def test_all_are_counted_again_once_a_day(directory: Directory) -> None:
    await directory.count_new_endpoint("acme", 10, NOW)
    for number in range(3):  # by an earlier version, after a rollback
        await make(directory.documents, f"ep_{number}")
    await directory.count_new_endpoint("acme", 10, NOW + COUNT_SECONDS - QUIET_SECONDS)
    assert await number_of(directory) == 2
    await directory.count_new_endpoint("acme", 10, NOW + COUNT_SECONDS)
    assert await number_of(directory) == 4
