"""What came of an attempt, in every implementation of the Ledger port and in its fake."""

import pytest

from shared.ledger import Claimed, Finished, Ledger
from shared.ledger_rules import MAX_ATTEMPTS
from tests.contract.claims import (
    KEY,
    LEASE,
    T,
    attempt,
    claimed,
    done,
    failed,
    finished,
    held,
    later,
    plain_claim,
    put_off,
    the_row,
)


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


async def test_a_write_that_comes_twice_is_the_same_as_once(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, done())
    assert await ledger.settle(claim, done())
    row = await the_row(ledger)
    assert (row.attempt_number, len(row.attempts)) == (1, 1)


async def test_a_finished_delivery_takes_no_other_outcome(ledger: Ledger) -> None:
    claim = await finished(ledger)
    assert not await ledger.settle(claim, later(T))
    assert not await ledger.settle(claim, failed())
    assert not await ledger.give_back(claim, T)


async def test_a_delivery_that_is_not_there_takes_no_outcome(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, done())
    assert await ledger.purge(T + 1) == 1
    assert not await ledger.settle(claim, done())
    assert await ledger.begin(claim, T) is None
    assert await ledger.postpone(KEY, claim.row.fence, T, T) is None
    assert await ledger.reopen(KEY, T) is None


async def test_an_outcome_without_an_attempt_leaves_its_number_free(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, put_off(T))
    row = await the_row(ledger)
    assert (row.state, row.reason, row.attempt_number, row.attempts) == ("retry_scheduled", "paused", 0, ())


@pytest.mark.slow
async def test_of_very_many_attempts_the_newest_are_kept(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    for number in range(1, MAX_ATTEMPTS + 2):
        assert await ledger.settle(claim, done(T, number=number))
        assert await ledger.reopen(KEY, T)
        answer = await plain_claim(ledger, T)
        assert isinstance(answer, Claimed)
        claim = answer
    attempts = (await the_row(ledger)).attempts
    assert [each.attempt_number for each in attempts] == list(range(2, MAX_ATTEMPTS + 2))
