"""A claim and its lease, what came of an attempt, and which deliveries a ledger has the message of, in every
implementation of the Ledger port and in its fake."""

import asyncio
from dataclasses import replace

import pytest

from shared.ledger import Busy, Claimed, Conflict, Finished, Ledger, Settlement
from tests.contract.claims import (
    DELIVERY,
    EVENT,
    KEY,
    LEASE,
    MESSAGE,
    T,
    attempt,
    claimed,
    done,
    failed,
    finished,
    held,
    in_retry,
    later,
    plain_claim,
    put_off,
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


@pytest.mark.parametrize("is_recovered_first", [True, False])
async def test_a_recovered_event_never_conflicts_with_its_original(ledger: Ledger, is_recovered_first: bool) -> None:
    recovered = replace(DELIVERY, event=replace(EVENT, payloadhash="b" * 64, recovered=True))
    first, second = (recovered, DELIVERY) if is_recovered_first else (DELIVERY, recovered)
    claim = await ledger.claim(first, MESSAGE, T, LEASE)
    assert await ledger.claim(second, MESSAGE, T, LEASE) == Busy()
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, done())
    assert await ledger.claim(second, MESSAGE, T, LEASE) == Finished()
    assert await ledger.gather(second, MESSAGE, "g1", "", T, T + 60) == Finished()


async def test_a_claim_given_back_is_taken_again_at_once_with_the_same_number(ledger: Ledger) -> None:
    first = await claimed(ledger)
    assert await ledger.give_back(first, T)
    second = await claimed(ledger)
    assert (second.row.state, second.row.attempt_number, second.row.crashes) == ("attempted", 1, 0)
    assert not await ledger.give_back(first, T)


async def test_a_delivery_that_is_done_is_finished_and_has_the_record_of_its_attempt(ledger: Ledger) -> None:
    await finished(ledger)
    assert await plain_claim(ledger, T + 10 * LEASE) == Finished()
    row = await the_row(ledger)
    assert (row.state, row.answer, row.attempt_number) == ("delivered", "202 Accepted", 1)
    assert row.attempts == (attempt("delivered", answer="202 Accepted"),)


async def test_a_delivery_that_failed_is_finished_and_says_why(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, failed(T, "refused: no such list", "404"))
    assert await plain_claim(ledger, T + 10 * LEASE) == Finished()
    row = await the_row(ledger)
    assert (row.state, row.reason, row.answer) == ("dead_lettered", "refused: no such list", "404")


async def test_a_stale_fence_writes_nothing(ledger: Ledger) -> None:
    stale = await claimed(ledger)
    current = await claimed(ledger, T + LEASE)
    assert await ledger.begin(stale, T) is None
    assert await ledger.begin(current, T + LEASE)
    assert not await ledger.give_back(stale, T)
    for settlement in (done(), failed(), later(T), put_off(T), held()):
        assert not await ledger.settle(stale, settlement)
    row = await the_row(ledger)
    assert (row.state, row.fence, len(row.attempts)) == ("attempted", current.row.fence, 1)


async def test_a_finished_delivery_takes_no_other_outcome(ledger: Ledger) -> None:
    claim = await finished(ledger)
    assert not await ledger.settle(claim, later(T))
    assert not await ledger.settle(claim, failed())
    assert not await ledger.give_back(claim, T)


async def test_a_delivery_that_is_not_there_takes_no_outcome(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    # On SQLite the version is the row's number, and on a cloud a mark of the last write.
    version = "404" if claim.version.isdecimal() else claim.version
    gone = claim._replace(row=claim.row._replace(key="gone"), version=version)
    assert not await ledger.settle(gone, done())
    assert await ledger.begin(gone, T) is None
    assert await ledger.postpone("gone", claim.row.fence, T, T) is None
    assert await ledger.reopen("gone", T) is None


async def test_an_outcome_without_an_attempt_leaves_its_number_free(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, put_off(T))
    row = await the_row(ledger)
    assert (row.state, row.reason, row.attempt_number, row.attempts) == ("retry_scheduled", "paused", 0, ())


@pytest.mark.slow
async def test_of_very_many_attempts_the_newest_are_kept(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.ledger_rules.MAX_ATTEMPTS", 3)
    claim = await claimed(ledger)
    for number in range(1, 5):
        assert await ledger.settle(claim, done(T, number=number))
        assert await ledger.reopen(KEY, T)
        answer = await plain_claim(ledger, T)
        assert isinstance(answer, Claimed)
        claim = answer
    attempts = (await the_row(ledger)).attempts
    assert [each.attempt_number for each in attempts] == [2, 3, 4]


OTHER = b'{"the":"message after other steps"}'
WAITING = [later(T + 5), held()]


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
async def test_a_delivery_that_waits_has_its_message_after_its_lease(ledger: Ledger, settlement: Settlement) -> None:
    await claimed_with(ledger, OTHER)
    claim = await claimed(ledger, T + LEASE)
    assert claim.message == MESSAGE
    assert await ledger.settle(claim, settlement)
    assert await message_of(ledger) == MESSAGE


@pytest.mark.parametrize("settlement", WAITING)
async def test_a_suspects_attempt_leaves_the_message_to_its_outcome(ledger: Ledger, settlement: Settlement) -> None:
    claim = await suspect(ledger)
    begun = await ledger.begin(claim, T + LEASE)
    assert begun is not None
    assert begun.message == MESSAGE
    assert await message_of(ledger) == b""
    assert await ledger.settle(begun, settlement)
    assert await message_of(ledger) == MESSAGE


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


async def test_a_delivery_that_was_reopened_waits_with_the_message_that_it_came_with(ledger: Ledger) -> None:
    await finished(ledger)
    await ledger.reopen(KEY, T)
    assert await ledger.settle(await claimed_with(ledger, OTHER), later(T))
    assert await message_of(ledger) == OTHER


async def test_a_suspect_that_is_given_back_stays_one(ledger: Ledger) -> None:
    claim = await suspect(ledger)
    begun = await ledger.begin(claim, T + LEASE)
    assert begun is not None
    assert await ledger.give_back(begun, T + LEASE)
    again = (await claimed(ledger, T + LEASE)).row
    assert (again.state, again.attempt_number, again.crashes) == ("claimed", 1, 1)
