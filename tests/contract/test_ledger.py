"""A claim and its lease, in every implementation of the Ledger port and in its fake."""

import asyncio
from dataclasses import replace

from shared.ledger import Busy, Claimed, Conflict, Ledger
from tests.contract.claims import (
    DELIVERY,
    EVENT,
    KEY,
    LEASE,
    MESSAGE,
    T,
    claimed,
    done,
    finished,
    plain_claim,
    suspect,
    the_row,
)


async def test_a_new_delivery_is_claimed_and_its_first_attempt_begins(ledger: Ledger) -> None:
    row = (await claimed(ledger)).row
    assert (row.state, row.attempt_number, row.crashes, row.generation) == ("attempted", 1, 0, 0)


async def test_a_row_says_which_delivery_it_is(ledger: Ledger) -> None:
    await claimed(ledger)
    row = await the_row(ledger)
    assert (row.key, row.event_id, row.route, row.destination) == (KEY, "e1", "tell the list", "crm")
    assert (row.state, row.created_at, row.updated_at) == ("attempted", T, T)


async def test_a_claim_answers_the_row_as_it_is_stored(ledger: Ledger) -> None:
    assert (await claimed(ledger)).row == await the_row(ledger)


async def test_a_claimed_delivery_is_busy_until_its_lease_is_over(ledger: Ledger) -> None:
    await claimed(ledger)
    assert await plain_claim(ledger, T + LEASE - 0.001) == Busy()
    assert isinstance(await plain_claim(ledger, T + LEASE), Claimed)


async def test_an_attempt_whose_lease_is_over_is_recorded_as_unknown_by_the_next_claim(ledger: Ledger) -> None:
    row = (await suspect(ledger)).row
    assert (row.state, row.attempt_number, row.crashes, row.unknown_count) == ("claimed", 1, 1, 1)
    stored = await the_row(ledger)
    assert stored == row
    [record] = stored.attempts
    assert (record.attempt_number, record.outcome, record.started_at, record.ended_at) == (1, "unknown", T, T + LEASE)
    assert record.reason == "attempt 1 ended without a record of its outcome"


async def test_the_attempt_of_a_suspect_counts_only_once_it_began(ledger: Ledger) -> None:
    await suspect(ledger)
    again = (await claimed(ledger, T + 2 * LEASE)).row
    assert (again.attempt_number, again.crashes, len(again.attempts)) == (1, 1, 1)
    begun = await ledger.begin(await claimed(ledger, T + 3 * LEASE), T + 3 * LEASE)
    assert begun is not None
    assert (begun.row.state, begun.row.attempt_number) == ("attempted", 2)
    last = (await claimed(ledger, T + 4 * LEASE)).row
    assert (last.attempt_number, last.crashes, len(last.attempts)) == (2, 2, 2)


async def test_attempts_that_crash_one_after_another_are_counted(ledger: Ledger) -> None:
    for crashes in range(4):
        claim = await claimed(ledger, T + crashes * LEASE)
        assert claim.row.crashes == crashes
        assert not crashes or await ledger.begin(claim, T + crashes * LEASE)


async def test_beginning_the_attempt_of_a_suspect_begins_the_lease_anew(ledger: Ledger) -> None:
    claim = await suspect(ledger)
    began_at = T + LEASE + 40
    assert await ledger.begin(claim, began_at)
    assert await ledger.begin(claim, began_at)  # the write came twice
    assert (await the_row(ledger)).attempt_number == 2
    assert await plain_claim(ledger, began_at + LEASE - 0.001) == Busy()
    assert isinstance(await plain_claim(ledger, began_at + LEASE), Claimed)


async def test_the_attempt_of_a_suspect_cannot_begin_once_its_lease_is_over(ledger: Ledger) -> None:
    claim = await suspect(ledger)
    assert await ledger.begin(claim, T + 2 * LEASE) is None


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
    assert await ledger.give_back(first, T)
    second = await claimed(ledger)
    assert (second.row.state, second.row.attempt_number, second.row.crashes) == ("attempted", 1, 0)
    assert not await ledger.give_back(first, T)


async def test_a_suspect_that_is_given_back_stays_one(ledger: Ledger) -> None:
    claim = await suspect(ledger)
    begun = await ledger.begin(claim, T + LEASE)
    assert begun is not None
    assert await ledger.give_back(begun, T + LEASE)
    again = (await claimed(ledger, T + LEASE)).row
    assert (again.state, again.attempt_number, again.crashes) == ("claimed", 1, 1)


async def test_the_attempt_of_a_suspect_is_recorded_beside_the_one_before(ledger: Ledger) -> None:
    begun = await ledger.begin(await suspect(ledger), T + LEASE)
    assert begun is not None
    assert await ledger.settle(begun, done(T + LEASE, number=2))
    row = await the_row(ledger)
    assert (row.state, row.attempt_number, row.crashes) == ("delivered", 2, 0)
    assert [(each.attempt_number, each.outcome) for each in row.attempts] == [(1, "unknown"), (2, "delivered")]
