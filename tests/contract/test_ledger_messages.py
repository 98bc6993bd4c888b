"""Which deliveries a ledger has the message of, in every implementation of the port and in its fake."""

import pytest

from shared.ledger import Claimed, Gathered, Ledger, Settlement
from shared.ledger_rules import RETRY_SCHEDULED
from tests.contract.claims import (
    DELIVERY,
    KEY,
    LEASE,
    MESSAGE,
    T,
    claimed,
    done,
    failed,
    finished,
    held,
    in_retry,
    later,
    put_off,
    suspect,
    the_row,
)

OTHER = b'{"the":"message after other steps"}'
WAITING = [later(T + 5), put_off(T + 5), held(), Settlement(RETRY_SCHEDULED, T, "gathered", retry_at=T + 5, group="g1")]


async def message_of(ledger: Ledger) -> bytes:
    """Return the row's message, which both ways to read the row have to agree on."""
    listed, row = await the_row(ledger), await ledger.row("e1", KEY)
    assert row is not None
    assert listed.message == row.message
    return row.message


async def claimed_with(ledger: Ledger, message: bytes, now: float = T) -> Claimed:
    claim = await ledger.claim(DELIVERY, message, now, LEASE)
    assert isinstance(claim, Claimed)
    return claim


async def test_a_claim_stores_no_message(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert (claim.message, claim.row.message) == (MESSAGE, b"")
    assert await message_of(ledger) == b""


@pytest.mark.parametrize("settlement", WAITING)
async def test_a_delivery_that_waits_has_the_message_of_its_claim(ledger: Ledger, settlement: Settlement) -> None:
    claim = await claimed(ledger)
    for _ in range(2):  # the write came twice
        assert await ledger.settle(claim, settlement)
        assert await message_of(ledger) == MESSAGE


@pytest.mark.parametrize("settlement", [done(), failed()])
async def test_a_delivery_that_is_final_has_no_message(ledger: Ledger, settlement: Settlement) -> None:
    claim = await in_retry(ledger, T)
    fence = await ledger.postpone(KEY, claim.row.fence, T, T)
    assert await ledger.settle(await claimed(ledger, T, fence), settlement)
    assert await message_of(ledger) == b""


@pytest.mark.parametrize("settlement", WAITING)
async def test_a_delivery_that_waits_has_its_message_after_a_lease_that_was_over(
    ledger: Ledger, settlement: Settlement
) -> None:
    await claimed_with(ledger, OTHER)
    claim = await claimed(ledger, T + LEASE)
    assert claim.message == MESSAGE
    assert await ledger.settle(claim, settlement)
    assert await message_of(ledger) == MESSAGE


@pytest.mark.parametrize("settlement", WAITING)
async def test_the_attempt_of_a_suspect_leaves_the_message_to_its_outcome(
    ledger: Ledger, settlement: Settlement
) -> None:
    claim = await suspect(ledger)
    begun = await ledger.begin(claim, T + LEASE)
    assert begun is not None
    assert begun.message == MESSAGE
    assert await message_of(ledger) == b""
    assert await ledger.settle(begun, settlement)
    assert await message_of(ledger) == MESSAGE


async def test_an_outcome_has_the_message_also_where_the_row_has_changed_since_its_claim(ledger: Ledger) -> None:
    claim = await suspect(ledger)
    assert await ledger.begin(claim, T + LEASE)
    assert await ledger.settle(claim, later(T + 60))
    assert await message_of(ledger) == MESSAGE


async def test_a_delivery_that_was_given_back_has_the_message_of_its_next_claim(ledger: Ledger) -> None:
    assert await ledger.give_back(await claimed_with(ledger, OTHER), T)
    assert await message_of(ledger) == b""
    assert await ledger.settle(await claimed(ledger), later(T))
    assert await message_of(ledger) == MESSAGE


async def test_a_delivery_that_was_given_back_is_gathered_with_its_message(ledger: Ledger) -> None:
    assert await ledger.give_back(await claimed_with(ledger, OTHER), T)
    assert await ledger.gather(DELIVERY, MESSAGE, "g1", "waits", T, T) == Gathered()
    assert await message_of(ledger) == MESSAGE


async def test_what_was_held_is_due_with_its_message(ledger: Ledger) -> None:
    assert await ledger.settle(await claimed(ledger), held())
    assert await ledger.release("crm", T) == 1
    [row] = await ledger.due(T, 10)
    assert row.message == MESSAGE


async def test_what_is_postponed_and_tried_again_is_due_with_its_message_each_time(ledger: Ledger) -> None:
    claim = await in_retry(ledger, T)
    for _ in range(3):
        [row] = await ledger.due(T, 10)
        assert row.message == MESSAGE
        fence = await ledger.postpone(KEY, claim.row.fence, T, T)
        claim = await claimed(ledger, T, fence)
        assert await ledger.settle(claim, later(T))


async def test_a_retry_under_way_has_its_message_by_which_its_large_body_is_kept(ledger: Ledger) -> None:
    claim = await in_retry(ledger, T)
    fence = await ledger.postpone(KEY, claim.row.fence, T, T)
    await claimed(ledger, T, fence)
    assert await message_of(ledger) == MESSAGE
    suspect = await claimed(ledger, T + LEASE)
    assert await ledger.begin(suspect, T + LEASE)
    assert await message_of(ledger) == MESSAGE


async def test_a_retry_that_is_given_back_waits_with_its_message_again(ledger: Ledger) -> None:
    claim = await in_retry(ledger, T)
    fence = await ledger.postpone(KEY, claim.row.fence, T, T)
    assert await ledger.give_back(await claimed(ledger, T, fence), T)
    assert await ledger.settle(await claimed(ledger), put_off(T))
    [row] = await ledger.due(T, 10)
    assert row.message == MESSAGE


async def test_a_delivery_that_was_reopened_waits_with_the_message_that_it_came_with(ledger: Ledger) -> None:
    await finished(ledger)
    await ledger.reopen(KEY, T)
    assert await ledger.settle(await claimed_with(ledger, OTHER), later(T))
    assert await message_of(ledger) == OTHER
