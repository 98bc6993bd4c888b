"""Deliveries that wait in groups and are merged, in every implementation of the Ledger port and in its fake."""

import asyncio
from dataclasses import replace

from shared.ledger import Busy, Claimed, Conflict, Finished, Gathered, Ledger, Waiting
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
    plain_claim,
    put_off,
    the_row,
)

DIGEST = "0f" * 16


async def gathered(ledger: Ledger, number: int = 1, now: float = T, at: float = T + 60) -> object:
    return await ledger.gather(delivery(number), MESSAGE, "g1", "waits for the digest", now, at)


async def waiting(ledger: Ledger, count: int) -> list[tuple[str, int]]:
    """Return the keys and fences of so many deliveries that wait in a group."""
    await asyncio.gather(*(gathered(ledger, number) for number in range(count)))
    return [(row.key, row.fence) for row in await ledger.due(T + 60, count)]


async def test_the_row_of_a_digest_says_how_many_deliveries_it_stands_for_until_its_end(ledger: Ledger) -> None:
    digest = replace(DELIVERY, merged=37)
    claim = await ledger.claim(digest, MESSAGE, T, LEASE)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, done())
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


async def test_of_many_that_gather_a_delivery_at_once_one_does(ledger: Ledger) -> None:
    answers = await asyncio.gather(*(gathered(ledger) for _ in range(4)))
    assert sorted(type(answer).__name__ for answer in answers) == ["Gathered", "Waiting", "Waiting", "Waiting"]


async def test_a_delivery_that_is_attempted_delivered_held_or_retried_is_not_gathered(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await gathered(ledger, now=T + LEASE - 1) == Busy()
    assert await ledger.settle(claim, held())
    assert await gathered(ledger) == Finished()
    await ledger.release("crm", T)
    assert await gathered(ledger) == Waiting(T)
    assert (await the_row(ledger)).group == ""


async def test_a_delivery_that_was_delivered_is_not_gathered(ledger: Ledger) -> None:
    await finished(ledger)
    assert await gathered(ledger) == Finished()


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


async def test_what_was_postponed_since_it_was_listed_is_merged(ledger: Ledger) -> None:
    [(key, fence)] = await waiting(ledger, 1)
    await ledger.postpone(key, fence, T, T + 600)
    assert await ledger.merge_all([(key, fence)], T + 61, DIGEST) == [True]


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


async def test_a_merged_delivery_that_is_reopened_belongs_to_no_digest_any_more(ledger: Ledger) -> None:
    [(key, fence)] = await waiting(ledger, 1)
    await ledger.merge_all([(key, fence)], T + 61, DIGEST)
    assert await ledger.reopen(key, T + 62) == 1
    assert await ledger.merge_all([(key, fence)], T + 62, DIGEST) == [False]
    claim = await ledger.claim(delivery(0), MESSAGE, T + 62, LEASE)
    assert isinstance(claim, Claimed)
    assert (claim.row.group, claim.row.attempt_number, claim.row.generation) == ("", 1, 1)


async def test_a_retry_that_is_in_no_group_may_be_merged_and_keeps_its_attempts(ledger: Ledger) -> None:
    claim = await in_retry(ledger, at=T + 60)
    assert await ledger.merge_all([(KEY, claim.row.fence)], T + 61, DIGEST) == [True]
    row = await the_row(ledger)
    assert (row.state, row.group, [each.outcome for each in row.attempts]) == ("merged", DIGEST, ["retry_scheduled"])


async def test_merged_deliveries_are_purged_as_delivered_ones_are(ledger: Ledger) -> None:
    await ledger.merge_all(await waiting(ledger, 1), T + 61, DIGEST)
    assert await ledger.purge(T + 61) == 0
    assert await ledger.purge(T + 62) == 1
    assert await ledger.rows(10) == []
