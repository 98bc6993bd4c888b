"""A claim and its lease, in every implementation of the Ledger port and in its fake."""

import asyncio
from dataclasses import replace

from shared.ledger import Busy, Claimed, Conflict, Ledger
from tests.contract.claims import DELIVERY, EVENT, KEY, LEASE, MESSAGE, T, claimed, finished, plain_claim, the_row


async def test_a_new_delivery_is_claimed_for_its_first_attempt(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert (claim.attempt_number, claim.unknown, claim.generation) == (1, False, 0)


async def test_a_row_holds_all_that_is_needed_to_publish_it_again(ledger: Ledger) -> None:
    await claimed(ledger)
    row = await the_row(ledger)
    assert (row.key, row.event_id, row.route, row.destination) == (KEY, "e1", "tell the list", "crm")
    assert (row.state, row.message, row.created_at, row.updated_at) == ("claimed", MESSAGE, T, T)


async def test_a_claimed_delivery_is_busy_until_its_lease_is_over(ledger: Ledger) -> None:
    await claimed(ledger)
    assert await plain_claim(ledger, T + LEASE - 0.001) == Busy()
    assert isinstance(await plain_claim(ledger, T + LEASE), Claimed)


async def test_a_lease_over_before_the_attempt_began_is_taken_with_the_same_number(ledger: Ledger) -> None:
    first = await claimed(ledger)
    second = await claimed(ledger, T + LEASE)
    assert second.fence != first.fence
    assert (second.attempt_number, second.unknown) == (1, False)


async def test_a_lease_over_within_the_attempt_is_taken_as_unknown_with_the_next_number(ledger: Ledger) -> None:
    first = await claimed(ledger)
    assert await ledger.attempted(KEY, first.fence, T)
    second = await claimed(ledger, T + LEASE)
    assert (second.attempt_number, second.unknown, second.crashes) == (2, True, 1)


async def test_an_unknown_outcome_stays_unknown_until_one_is_recorded(ledger: Ledger) -> None:
    first = await claimed(ledger)
    assert await ledger.attempted(KEY, first.fence, T)
    await claimed(ledger, T + LEASE)
    third = await claimed(ledger, T + 2 * LEASE)
    assert (third.attempt_number, third.unknown, third.crashes) == (2, True, 1)


async def test_attempts_that_crash_one_after_another_are_counted(ledger: Ledger) -> None:
    for crashes in range(4):
        claim = await claimed(ledger, T + crashes * LEASE)
        assert claim.crashes == crashes
        assert await ledger.attempted(KEY, claim.fence, T + crashes * LEASE)


async def test_beginning_the_attempt_begins_the_lease_anew(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.attempted(KEY, claim.fence, T + 40)
    assert await plain_claim(ledger, T + 40 + LEASE - 0.001) == Busy()
    assert isinstance(await plain_claim(ledger, T + 40 + LEASE), Claimed)


async def test_an_attempt_cannot_begin_once_its_lease_is_over(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert not await ledger.attempted(KEY, claim.fence, T + LEASE)


async def test_of_a_hundred_claims_at_once_one_is_given(ledger: Ledger) -> None:
    answers = await asyncio.gather(*(plain_claim(ledger, T) for _ in range(100)))
    assert [type(answer) for answer in answers].count(Claimed) == 1
    assert [type(answer) for answer in answers].count(Busy) == 99


async def test_the_same_key_with_another_payload_is_a_conflict_whatever_became_of_the_first(ledger: Ledger) -> None:
    other = replace(DELIVERY, event=replace(EVENT, payloadhash="b" * 64))
    await finished(ledger)
    assert await ledger.claim(other, MESSAGE, T, LEASE) == Conflict()
    assert (await the_row(ledger)).state == "delivered"


async def test_a_claim_given_back_is_taken_again_at_once_with_the_same_number(ledger: Ledger) -> None:
    first = await claimed(ledger)
    assert await ledger.attempted(KEY, first.fence, T)
    assert await ledger.give_back(KEY, first.fence, T)
    second = await claimed(ledger)
    assert (second.attempt_number, second.unknown) == (1, False)
    assert not await ledger.give_back(KEY, first.fence, T)
