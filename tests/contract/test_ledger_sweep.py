"""Retries, the sweep, and deliveries that wait in groups and are merged, in every implementation of the Ledger port and
in its fake."""

import asyncio
from dataclasses import replace

from shared.ledger import Busy, Claimed, Conflict, Finished, Gathered, Ledger, Settlement, Waiting
from shared.ledger_rules import RETRY_SCHEDULED
from tests.contract.claims import (
    DELIVERY,
    EVENT,
    KEY,
    LEASE,
    MESSAGE,
    T,
    claimed,
    delivery,
    done,
    finished,
    held,
    in_retry,
    later,
    plain_claim,
    put_off,
    settled,
    suspect,
    the_row,
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
        await settled(ledger, delivery(number), later(T + at))
    assert [row.event_id for row in await ledger.due(T + 60, 2)] == ["e1", "e2"]


async def test_what_was_due_before_the_lower_bound_is_left_out(ledger: Ledger) -> None:
    for number, at in enumerate([10.0, 20.0, 30.0]):
        await settled(ledger, delivery(number), later(T + at))
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
        claim = await settled(ledger, delivery(number), later(T))
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


DIGEST = "0f" * 16


async def gathered(ledger: Ledger, number: int = 1, now: float = T, at: float = T + 60) -> object:
    return await ledger.gather(delivery(number), MESSAGE, "g1", "waits for the digest", now, at)


async def waiting(ledger: Ledger, count: int) -> list[tuple[str, int]]:
    """Return the keys and fences of so many deliveries that wait in a group."""
    await asyncio.gather(*(gathered(ledger, number) for number in range(count)))
    return [(row.key, row.fence) for row in await ledger.due(T + 60, count)]


async def test_the_row_of_a_digest_says_how_many_deliveries_it_stands_for_until_its_end(ledger: Ledger) -> None:
    digest = replace(DELIVERY, merged=37)
    await settled(ledger, digest, done())
    await ledger.claim(delivery(2), MESSAGE, T, LEASE)
    assert sorted(row.merged for row in await ledger.rows(10)) == [0, 37]


# To gather


async def test_a_gathered_delivery_waits_in_its_group_until_it_may_be_closed(ledger: Ledger) -> None:
    assert await gathered(ledger) == Gathered()
    assert await ledger.due(T + 59, 10) == []
    [row] = await ledger.due(T + 60, 10)
    assert (row.key, row.state, row.group, row.retry_at) == (KEY, "retry_scheduled", "g1", T + 60)
    assert (row.reason, row.message, row.attempt_number) == ("waits for the digest", MESSAGE, 0)


async def test_a_delivery_is_gathered_once_and_its_message_that_comes_again_finds_it_waiting(ledger: Ledger) -> None:
    await gathered(ledger)
    [before] = await ledger.rows(10)
    assert await gathered(ledger, now=T + 5, at=T + 600) == Waiting(T + 60)
    assert await plain_claim(ledger, T + 5) == Waiting(T + 60)
    assert await ledger.rows(10) == [before]


async def test_a_delivery_that_is_attempted_delivered_held_or_retried_is_not_gathered(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await gathered(ledger, now=T + LEASE - 1) == Busy()
    assert await ledger.settle(claim, held())
    assert await gathered(ledger) == Finished()
    await ledger.release("crm", T)
    assert await gathered(ledger) == Waiting(T)
    assert (await the_row(ledger)).group == ""


async def test_another_payload_with_the_same_id_is_not_gathered(ledger: Ledger) -> None:
    other = replace(DELIVERY, event=replace(EVENT, payloadhash="b" * 64))
    await gathered(ledger)
    assert await ledger.gather(other, MESSAGE, "g1", "", T, T + 60) == Conflict()


async def test_a_delivery_whose_attempt_has_no_record_is_gathered_with_a_record_of_it(ledger: Ledger) -> None:
    await claimed(ledger)
    assert await gathered(ledger, now=T + LEASE, at=T + 60) == Gathered()
    row = await the_row(ledger)
    assert (row.state, row.group, row.crashes, row.unknown_count) == ("retry_scheduled", "g1", 1, 1)
    assert [(each.attempt_number, each.outcome) for each in row.attempts] == [(1, "unknown")]


async def test_a_reopened_delivery_is_gathered(ledger: Ledger) -> None:
    await finished(ledger)
    await ledger.reopen(KEY, T + 5)
    assert await gathered(ledger, now=T + 5) == Gathered()
    [row] = await ledger.due(T + 60, 10)
    assert (row.group, row.generation, row.message) == ("g1", 1, MESSAGE)


async def test_a_claimed_delivery_is_gathered_by_its_settlement(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, put_off(T + 60)._replace(group="g1"))
    [row] = await ledger.due(T + 60, 10)
    assert (row.group, row.attempt_number) == ("g1", 0)


async def test_a_postponed_delivery_stays_in_its_group_and_a_claimed_one_leaves_it(ledger: Ledger) -> None:
    [(key, fence)] = await waiting(ledger, 1)
    moved = await ledger.postpone(key, fence, T, T + 300)
    [row] = await ledger.due(T + 300, 10)
    assert row.group == "g1"
    claim = await ledger.claim(delivery(0), MESSAGE, T, LEASE, moved)
    assert isinstance(claim, Claimed)
    assert (claim.row.group, claim.row.attempt_number) == ("", 1)
    assert await ledger.settle(claim, put_off(T + 900))
    assert [row.group for row in await ledger.rows(10)] == [""]


# To merge


async def test_merged_deliveries_are_final_and_name_their_digest(ledger: Ledger) -> None:
    moves = await waiting(ledger, 2)
    assert await ledger.merge_all(moves, T + 61, DIGEST) == [True, True]
    rows = await ledger.rows(10, state="merged")
    assert {row.key for row in rows} == {key for key, _ in moves}
    for row in rows:
        assert (row.group, row.reason, row.retry_at, row.updated_at) == (DIGEST, f"merged into {DIGEST}", None, T + 61)
        assert row.message == b""
    assert await ledger.due(T + 1_000, 10) == []
    assert await gathered(ledger, 0, T + 61, T + 120) == Finished()
    assert await ledger.claim(delivery(0), MESSAGE, T + 61, LEASE) == Finished()


async def test_only_what_waits_since_it_was_listed_is_merged(ledger: Ledger) -> None:
    moves = await waiting(ledger, 2)
    claim = await ledger.claim(delivery(7), MESSAGE, T, LEASE)
    assert isinstance(claim, Claimed)
    asked = [(moves[0][0], moves[0][1] + 1), moves[1], ("unknown", 1), (claim.row.key, claim.row.fence)]
    assert await ledger.merge_all(asked, T + 61, DIGEST) == [False, True, False, False]
    assert {row.key: row.state for row in await ledger.rows(10)} == {
        moves[0][0]: "retry_scheduled",
        moves[1][0]: "merged",
        claim.row.key: "attempted",
    }


async def test_what_was_reopened_and_gathered_again_waits_for_another_digest(ledger: Ledger) -> None:
    moves = await waiting(ledger, 1)
    await ledger.merge_all(moves, T + 61, DIGEST)
    await ledger.reopen(moves[0][0], T + 62)
    assert await gathered(ledger, 0, T + 63, T + 120) == Gathered()
    assert await ledger.merge_all(moves, T + 64, DIGEST) == [False]
    assert [row.group for row in await ledger.due(T + 120, 10)] == ["g1"]


async def test_a_delivery_is_merged_into_one_digest_however_often_it_is_asked_for(ledger: Ledger) -> None:
    moves = await waiting(ledger, 1)
    assert await ledger.merge_all(moves, T + 61, DIGEST) == [True]
    [before] = await ledger.rows(10)
    assert await ledger.merge_all(moves, T + 62, DIGEST) == [True]
    assert await ledger.merge_all(moves, T + 62, "another") == [False]
    assert await ledger.rows(10) == [before]


async def test_two_sweeps_at_once_merge_a_delivery_into_one_of_two_digests(ledger: Ledger) -> None:
    moves = await waiting(ledger, 1)
    answers = await asyncio.gather(*(ledger.merge_all(moves, T + 61, digest) for digest in "abab"))
    [row] = await ledger.rows(10)
    assert answers == [[row.group == digest] for digest in "abab"]
