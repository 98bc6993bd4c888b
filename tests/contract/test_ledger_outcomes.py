"""What came of an attempt, in every implementation of the Ledger port and in its fake."""

from shared.ledger import Finished, Ledger
from tests.contract.claims import KEY, LEASE, T, claimed, finished, plain_claim, the_row


async def test_a_delivery_that_is_done_is_finished(ledger: Ledger) -> None:
    await finished(ledger)
    assert await plain_claim(ledger, T + 10 * LEASE) == Finished()
    row = await the_row(ledger)
    assert (row.state, row.answer, row.attempt_number) == ("delivered", "202 Accepted", 1)


async def test_a_delivery_that_failed_is_finished_and_says_why(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.failed(KEY, claim.fence, T, "refused: no such list", "404")
    assert await plain_claim(ledger, T + 10 * LEASE) == Finished()
    row = await the_row(ledger)
    assert (row.state, row.reason, row.answer) == ("dead_lettered", "refused: no such list", "404")


async def test_nothing_is_done_before_it_was_attempted(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert not await ledger.done(KEY, claim.fence, T, "")


async def test_a_stale_fence_writes_nothing(ledger: Ledger) -> None:
    stale = (await claimed(ledger)).fence
    current = (await claimed(ledger, T + LEASE)).fence
    assert not await ledger.attempted(KEY, stale, T)
    assert await ledger.attempted(KEY, current, T + LEASE)
    assert not await ledger.done(KEY, stale, T, "")
    assert not await ledger.failed(KEY, stale, T, "", "")
    assert not await ledger.retry_at(KEY, stale, T, T, "", "")
    assert not await ledger.hold(KEY, stale, T, "", "")
    assert (await the_row(ledger)).state == "attempted"


async def test_a_write_that_comes_twice_is_the_same_as_once(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.attempted(KEY, claim.fence, T)
    assert await ledger.attempted(KEY, claim.fence, T)
    assert await ledger.done(KEY, claim.fence, T, "202")
    assert await ledger.done(KEY, claim.fence, T, "202")
    assert (await the_row(ledger)).attempt_number == 1


async def test_a_finished_delivery_takes_no_other_outcome(ledger: Ledger) -> None:
    claim = await finished(ledger)
    assert not await ledger.retry_at(KEY, claim.fence, T, T, "", "")
    assert not await ledger.failed(KEY, claim.fence, T, "", "")
    assert not await ledger.give_back(KEY, claim.fence, T)


async def test_a_key_that_is_not_there_takes_no_outcome(ledger: Ledger) -> None:
    assert not await ledger.attempted("nothing", 1, T)
    assert not await ledger.done("nothing", 1, T, "")
    assert await ledger.postpone("nothing", 1, T, T) is None
    assert await ledger.reopen("nothing", T) is None
