"""Retries and the sweep, in every implementation of the Ledger port and in its fake."""

import asyncio

from shared.ledger import Busy, Claimed, Ledger, Settlement, Waiting
from shared.ledger_rules import RETRY_SCHEDULED
from tests.contract.claims import (
    DELIVERY,
    KEY,
    LEASE,
    MESSAGE,
    T,
    claimed,
    delivery,
    done,
    failed,
    in_retry,
    later,
    plain_claim,
    put_off,
    suspect,
)


async def test_a_retry_waits_for_the_sweep_even_when_its_time_has_come(ledger: Ledger) -> None:
    await in_retry(ledger, at=T + 5)
    assert await plain_claim(ledger, T) == Waiting(T + 5)
    assert await plain_claim(ledger, T + 500) == Waiting(T + 5)


async def test_what_is_due_is_found_when_its_time_has_come_and_not_before(ledger: Ledger) -> None:
    await in_retry(ledger, at=T + 5)
    assert await ledger.due(T + 4.999, 10) == []
    (row,) = await ledger.due(T + 5, 10)
    assert (row.key, row.message, row.retry_at, row.reason) == (KEY, MESSAGE, T + 5, "busy there")


async def test_the_oldest_due_come_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for number, at in enumerate([30.0, 10.0, 20.0]):
        claim = await ledger.claim(delivery(number), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, later(T + at))
    assert [row.event_id for row in await ledger.due(T + 60, 2)] == ["e1", "e2"]


async def test_what_was_due_before_the_lower_bound_is_left_out(ledger: Ledger) -> None:
    for number, at in enumerate([10.0, 20.0, 30.0]):
        claim = await ledger.claim(delivery(number), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, later(T + at))
    assert [row.event_id for row in await ledger.due(T + 60, 10, T + 20)] == ["e1", "e2"]


async def test_a_slot_stays_the_delivery_s_until_it_is_settled_again(ledger: Ledger) -> None:
    slot = Settlement(RETRY_SCHEDULED, T, "the rate", retry_at=T + 5.25, has_slot=True)
    assert await ledger.settle(await claimed(ledger), slot)
    (row,) = await ledger.due(T + 6, 10)
    assert row.slot_at == T + 5.25
    fence = await ledger.postpone(KEY, row.fence, T + 6, T + 600)
    claim = await claimed(ledger, T + 6, fence)
    assert claim.row.slot_at == T + 5.25
    assert await ledger.settle(claim, put_off(T + 60, T + 6))
    (row,) = await ledger.due(T + 60, 10)
    assert row.slot_at == 0.0


async def test_many_rows_are_postponed_at_once_each_by_its_own_fence(ledger: Ledger) -> None:
    moves: list[tuple[str, int]] = []
    for number in range(3):
        claim = await ledger.claim(delivery(number), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        assert await ledger.settle(claim, later(T))
        moves.append((delivery(number).id, claim.row.fence))
    first = await ledger.postpone(*moves[1], T, T + 600)
    fences = await ledger.postpone_all([(*each, T + 300) for each in [*moves, ("unknown", 1)]], T)
    assert [isinstance(fence, int) for fence in fences] == [True, False, True, False]
    assert {row.key: (row.fence, row.retry_at) for row in await ledger.due(T + 600, 10)} == {
        moves[0][0]: (fences[0], T + 300),
        moves[1][0]: (first, T + 600),
        moves[2][0]: (fences[2], T + 300),
    }


async def test_only_the_message_of_the_sweep_starts_the_retry(ledger: Ledger) -> None:
    first = await in_retry(ledger, at=T + 5)
    fence = await ledger.postpone(KEY, first.row.fence, T + 5, T + 605)
    assert fence is not None
    assert await ledger.claim(DELIVERY, MESSAGE, T + 5, LEASE, first.row.fence) == Waiting(T + 605)
    second = await claimed(ledger, T + 5, due_fence=fence)
    assert (second.row.attempt_number, second.row.crashes) == (2, 0)


async def test_a_row_is_postponed_by_one_sweep_only(ledger: Ledger) -> None:
    first = await in_retry(ledger, at=T)
    fences = await asyncio.gather(*(ledger.postpone(KEY, first.row.fence, T, T + 600) for _ in range(5)))
    assert sum(fence is not None for fence in fences) == 1
    assert await ledger.due(T, 10) == []


async def test_only_what_waits_for_its_retry_is_postponed(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.postpone(KEY, claim.row.fence, T, T + 600) is None
    assert await ledger.settle(claim, done())


async def test_a_postponed_row_whose_message_was_lost_is_due_again(ledger: Ledger) -> None:
    first = await in_retry(ledger, at=T)
    await ledger.postpone(KEY, first.row.fence, T, T + 600)
    assert [row.key for row in await ledger.due(T + 600, 10)] == [KEY]


async def test_a_message_of_the_sweep_that_comes_twice_starts_one_retry(ledger: Ledger) -> None:
    first = await in_retry(ledger, at=T)
    fence = await ledger.postpone(KEY, first.row.fence, T, T + 600)
    second = await claimed(ledger, T, due_fence=fence)
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE, fence) == Busy()
    assert await ledger.settle(second, later(T + 60))
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE, fence) == Waiting(T + 60)


async def test_a_claim_that_made_no_attempt_counts_none(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, put_off(T))
    fence = await ledger.postpone(KEY, claim.row.fence, T, T + 600)
    assert (await claimed(ledger, T, due_fence=fence)).row.attempt_number == 1


async def test_what_is_put_off_without_an_attempt_leaves_the_one_before_unknown(ledger: Ledger) -> None:
    claim = await suspect(ledger)
    assert await ledger.settle(claim, put_off(T + LEASE, T + LEASE))
    fence = await ledger.postpone(KEY, claim.row.fence, T + LEASE, T + LEASE + 600)
    again = (await claimed(ledger, T + LEASE, due_fence=fence)).row
    assert (again.state, again.attempt_number, again.crashes) == ("claimed", 1, 1)


async def retried(ledger: Ledger, due_fence: int | None, at: float, outcome: str) -> int:
    """One attempt with that outcome, due again at once; the fence of the sweep's message."""
    claim = await claimed(ledger, at, due_fence)
    assert await ledger.settle(claim, later(at, at, outcome))
    fence = await ledger.postpone(KEY, claim.row.fence, at, at + 600)
    assert fence is not None
    return fence


async def test_attempts_in_a_row_whose_outcome_is_unknown_are_counted(ledger: Ledger) -> None:
    fence = await retried(ledger, None, T, "unknown")
    fence = await retried(ledger, fence, T, "unknown")
    paused = await claimed(ledger, T, fence)
    assert (paused.row.unknown_count, paused.row.crashes) == (2, 0)
    assert await ledger.settle(paused, put_off(T))
    due_fence = await ledger.postpone(KEY, paused.row.fence, T, T + 600)
    assert (await claimed(ledger, T, due_fence)).row.unknown_count == 2


async def test_an_attempt_without_a_record_counts_as_unknown_and_a_known_outcome_ends_the_count(ledger: Ledger) -> None:
    fence = await retried(ledger, None, T, "unknown")
    await claimed(ledger, T, fence)
    after = await claimed(ledger, T + LEASE)
    assert (after.row.unknown_count, after.row.crashes) == (2, 1)
    begun = await ledger.begin(after, T + LEASE)
    assert begun is not None
    assert await ledger.settle(begun, later(T + LEASE, T + LEASE))
    due_fence = await ledger.postpone(KEY, begun.row.fence, T + LEASE, T + LEASE + 600)
    again = (await claimed(ledger, T + LEASE, due_fence)).row
    assert (again.state, again.unknown_count, again.crashes) == ("attempted", 0, 0)


async def test_a_delivery_that_is_reopened_has_no_unknown_attempts(ledger: Ledger) -> None:
    fence = await retried(ledger, None, T, "unknown")
    assert await ledger.settle(await claimed(ledger, T, fence), failed(T, "outcome_unknown: no answer"))
    await ledger.reopen(KEY, T)
    assert (await claimed(ledger, T)).row.unknown_count == 0
