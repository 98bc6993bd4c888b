"""What operators do and look at, in every implementation of the Ledger port and in its fake."""

from collections.abc import Callable

from shared.ledger import Claimed, DestinationState, Finished, Ledger, Settlement
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
    finished,
    held,
    later,
    plain_claim,
    the_row,
)

# Whole destinations


async def test_a_destination_is_enabled_until_it_is_disabled(ledger: Ledger) -> None:
    assert await ledger.destination_state("crm") == DestinationState()
    await ledger.disable("crm", "verify the sender", T)
    assert await ledger.destination_state("crm") == DestinationState("verify the sender")
    assert await ledger.destination_state("other") == DestinationState()


async def test_a_paused_destination_says_until_when_and_why(ledger: Ledger) -> None:
    await ledger.disable("crm", "verify the sender", T)
    await ledger.pause("crm", T + 30, T, "5 attempts in a row failed")
    await ledger.pause("crm", T + 60, T, "it still fails")
    assert await ledger.destination_state("crm") == DestinationState("verify the sender", T + 60, "it still fails")


async def test_what_is_held_is_finished_until_it_is_released_and_then_due(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    await ledger.disable("crm", "verify the sender", T)
    assert await ledger.settle(claim, held(T, "verify the sender"))
    assert await plain_claim(ledger, T + 10 * LEASE) == Finished()
    assert await ledger.due(T + 10 * LEASE, 10) == []
    assert await ledger.release("crm", T + 60) == 1
    assert await ledger.destination_state("crm") == DestinationState()
    (row,) = await ledger.due(T + 60, 10)
    fence = await ledger.postpone(KEY, row.fence, T + 60, T + 660)
    assert isinstance(await ledger.claim(DELIVERY, MESSAGE, T + 60, LEASE, fence), Claimed)


async def test_a_release_leaves_other_destinations_alone(ledger: Ledger) -> None:
    other = delivery(2, "other")
    claim = await ledger.claim(other, MESSAGE, T, LEASE)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, held())
    assert await ledger.release("crm", T) == 0
    assert [row.state for row in await ledger.rows(10)] == ["held"]


# What operators do


async def test_a_finished_delivery_reopened_is_claimed_for_the_first_attempt_of_the_next_generation(
    ledger: Ledger,
) -> None:
    await finished(ledger)
    assert await ledger.reopen(KEY, T + 60) == 1
    again = await claimed(ledger, T + 60)
    assert (again.row.generation, again.row.attempt_number, again.row.crashes) == (1, 1, 0)


async def test_a_row_says_which_generation_is_the_first_since_it_was_delivered(ledger: Ledger) -> None:
    """However often it is reopened, and although it keeps its newest attempts only."""
    outcomes: list[Callable[[float], Settlement]] = [failed, done, failed, done, failed, failed]
    since = []
    for number, outcome in enumerate(outcomes):
        claim = await claimed(ledger, T + number)
        since.append(claim.row.undelivered_since)
        assert await ledger.settle(claim, outcome(T + number))
        await ledger.reopen(KEY, T + number)
    assert since == [0, 0, 2, 2, 4, 4]
    assert (await the_row(ledger)).undelivered_since == 4


async def test_a_delivery_that_is_not_finished_is_not_reopened(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.reopen(KEY, T) is None
    assert await ledger.settle(claim, held())
    assert await ledger.reopen(KEY, T) is None


async def test_one_replay_reopens_a_delivery_once_and_the_next_replay_again(ledger: Ledger) -> None:
    await finished(ledger)
    assert await ledger.reopen(KEY, T, "replay-1") == 1
    again = await claimed(ledger)
    assert await ledger.settle(again, failed())
    assert await ledger.reopen(KEY, T, "replay-1") is None
    assert await ledger.reopen(KEY, T, "replay-2") == 2
    assert (await the_row(ledger)).replays == ("replay-1", "replay-2")


async def test_rows_come_newest_first_and_by_what_was_asked_for(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        await ledger.claim(delivery(number, f"d{number % 2}"), MESSAGE, T + number, LEASE)
    claim = await ledger.claim(delivery(3, "d1"), MESSAGE, T + 3 + LEASE, LEASE)
    assert isinstance(claim, Claimed)
    assert await ledger.settle(claim, failed(T))
    assert [row.event_id for row in await ledger.rows(10)] == ["e3", "e2", "e1"]
    assert [row.event_id for row in await ledger.rows(2)] == ["e3", "e2"]
    assert [row.event_id for row in await ledger.rows(10, event_id="e2")] == ["e2"]
    assert [row.event_id for row in await ledger.rows(10, state="dead_lettered")] == ["e3"]
    assert [row.event_id for row in await ledger.rows(10, destination="d1")] == ["e3", "e1"]
    assert [row.event_id for row in await ledger.rows(10, destination="d1", state="attempted")] == ["e1"]


async def test_a_forgotten_delivery_is_never_claimed_again_and_holds_nothing(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, held())
    forgotten = await ledger.forget(KEY, T + 60)
    assert forgotten
    assert (forgotten.state, forgotten.reason, forgotten.message) == ("dead_lettered", "forgotten", b"")
    assert await ledger.release("crm", T + 60) == 0
    assert isinstance(await plain_claim(ledger, T + 60), Finished)
    assert await ledger.forget(KEY, T + 120) == forgotten
    assert await ledger.forget("unknown", T) is None


async def test_what_became_of_a_forgotten_delivery_stays_but_for_answers(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.settle(claim, failed(T, "mail_rejected: no Ada", "550 no Ada"))
    await ledger.forget(KEY, T + 60)
    row = await the_row(ledger)
    assert (row.state, row.reason, row.answer, row.updated_at) == ("dead_lettered", "mail_rejected", "", T)
    [attempt] = row.attempts
    assert (attempt.outcome, attempt.reason, attempt.answer) == ("failed", "", "")


async def test_a_purge_forgets_old_finished_rows_and_no_others(ledger: Ledger) -> None:
    await finished(ledger)
    for number, settlement in ((2, None), (3, held()), (4, later(T + 60))):
        claim = await ledger.claim(delivery(number), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        assert settlement is None or await ledger.settle(claim, settlement)
    assert await ledger.purge(T) == 0
    assert await ledger.purge(T + 1) == 1
    assert {row.event_id for row in await ledger.rows(10)} == {"e2", "e3", "e4"}
    assert isinstance(await plain_claim(ledger, T + 1), Claimed)
