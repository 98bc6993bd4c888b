"""What every implementation of the Ledger port, and its fake, must do."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from shared.cloud.gcp.ledger import FirestoreLedger
from shared.cloud.local.ledger import LocalLedger
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.event import Event
from shared.ledger import Busy, Claim, Claimed, Conflict, DestinationState, Finished, Ledger, LedgerRow, Waiting
from tests.contract.conftest import EmulatedFirestore
from tests.fakes.ledger import FakeLedger

T = 1_790_000_000.0
LEASE = 45.0
EVENT = Event("e1", "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "a" * 64, {"name": "Ada"})
DELIVERY = Delivery(EVENT, "tell the list", "crm")
KEY = DELIVERY.id
MESSAGE = b'{"the":"message"}'


@pytest.fixture(params=["fake", "local", "firestore", "npm_firestore"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ledger]:
    if request.param == "fake":
        yield FakeLedger()
    elif request.param == "local":
        local = LocalLedger(tmp_path / "state" / "ledger.db")
        yield local
        await local.close()
    else:
        emulated: EmulatedFirestore = request.getfixturevalue(request.param)
        on_firestore = FirestoreLedger(emulated.connect())
        yield on_firestore
        on_firestore.close()
        await asyncio.sleep(0)  # in which its connections are gone


def delivery(number: int, destination: str = "crm") -> Delivery:
    return Delivery(replace(EVENT, id=f"e{number}"), "tell the list", destination)


async def claimed(ledger: Ledger, now: float = T, due_fence: int | None = None) -> Claimed:
    answer = await ledger.claim(DELIVERY, MESSAGE, now, LEASE, due_fence)
    assert isinstance(answer, Claimed)
    return answer


async def plain_claim(ledger: Ledger, now: float) -> Claim:
    return await ledger.claim(DELIVERY, MESSAGE, now, LEASE)


async def in_retry(ledger: Ledger, at: float) -> Claimed:
    claim = await claimed(ledger)
    assert await ledger.attempted(KEY, claim.fence, T)
    assert await ledger.retry_at(KEY, claim.fence, T, at, "busy there", "429")
    return claim


async def finished(ledger: Ledger) -> Claimed:
    claim = await claimed(ledger)
    assert await ledger.attempted(KEY, claim.fence, T)
    assert await ledger.done(KEY, claim.fence, T, "202 Accepted")
    return claim


async def the_row(ledger: Ledger) -> LedgerRow:
    (row,) = await ledger.rows(10)
    return row


# A claim and its lease


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
    assert (await the_row(ledger)).state == "done"


async def test_a_claim_given_back_is_taken_again_at_once_with_the_same_number(ledger: Ledger) -> None:
    first = await claimed(ledger)
    assert await ledger.attempted(KEY, first.fence, T)
    assert await ledger.give_back(KEY, first.fence, T)
    second = await claimed(ledger)
    assert (second.attempt_number, second.unknown) == (1, False)
    assert not await ledger.give_back(KEY, first.fence, T)


# Outcomes


async def test_a_delivery_that_is_done_is_finished(ledger: Ledger) -> None:
    await finished(ledger)
    assert await plain_claim(ledger, T + 10 * LEASE) == Finished()
    row = await the_row(ledger)
    assert (row.state, row.answer, row.attempt_number) == ("done", "202 Accepted", 1)


async def test_a_delivery_that_failed_is_finished_and_says_why(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.failed(KEY, claim.fence, T, "refused: no such list", "404")
    assert await plain_claim(ledger, T + 10 * LEASE) == Finished()
    row = await the_row(ledger)
    assert (row.state, row.reason, row.answer) == ("failed", "refused: no such list", "404")


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


# Retries and the sweep


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
        assert await ledger.retry_at(delivery(number).id, claim.fence, T, T + at, "", "")
    assert [row.event_id for row in await ledger.due(T + 60, 2)] == ["e1", "e2"]


async def test_only_the_message_of_the_sweep_starts_the_retry(ledger: Ledger) -> None:
    first = await in_retry(ledger, at=T + 5)
    fence = await ledger.postpone(KEY, first.fence, T + 5, T + 605)
    assert fence is not None
    assert await ledger.claim(DELIVERY, MESSAGE, T + 5, LEASE, first.fence) == Waiting(T + 605)
    second = await claimed(ledger, T + 5, due_fence=fence)
    assert (second.attempt_number, second.unknown) == (2, False)


async def test_a_row_is_postponed_by_one_sweep_only(ledger: Ledger) -> None:
    first = await in_retry(ledger, at=T)
    fences = await asyncio.gather(*(ledger.postpone(KEY, first.fence, T, T + 600) for _ in range(5)))
    assert sum(fence is not None for fence in fences) == 1
    assert await ledger.due(T, 10) == []


async def test_only_what_waits_for_its_retry_is_postponed(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.postpone(KEY, claim.fence, T, T + 600) is None
    assert await ledger.attempted(KEY, claim.fence, T)


async def test_a_postponed_row_whose_message_was_lost_is_due_again(ledger: Ledger) -> None:
    first = await in_retry(ledger, at=T)
    await ledger.postpone(KEY, first.fence, T, T + 600)
    assert [row.key for row in await ledger.due(T + 600, 10)] == [KEY]


async def test_a_message_of_the_sweep_that_comes_twice_starts_one_retry(ledger: Ledger) -> None:
    first = await in_retry(ledger, at=T)
    fence = await ledger.postpone(KEY, first.fence, T, T + 600)
    second = await claimed(ledger, T, due_fence=fence)
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE, fence) == Busy()
    assert await ledger.retry_at(KEY, second.fence, T, T + 60, "", "")
    assert await ledger.claim(DELIVERY, MESSAGE, T, LEASE, fence) == Waiting(T + 60)


async def test_a_claim_that_made_no_attempt_counts_none(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.retry_at(KEY, claim.fence, T, T, "paused", "")
    fence = await ledger.postpone(KEY, claim.fence, T, T + 600)
    assert (await claimed(ledger, T, due_fence=fence)).attempt_number == 1


async def test_what_is_put_off_without_an_attempt_leaves_the_one_before_unknown(ledger: Ledger) -> None:
    first = await claimed(ledger)
    assert await ledger.attempted(KEY, first.fence, T)
    second = await claimed(ledger, T + LEASE)
    assert await ledger.retry_at(KEY, second.fence, T + LEASE, T + LEASE, "paused", "")
    fence = await ledger.postpone(KEY, second.fence, T + LEASE, T + LEASE + 600)
    third = await claimed(ledger, T + LEASE, due_fence=fence)
    assert (third.unknown, third.crashes) == (True, 1)


async def test_an_outcome_that_is_known_ends_the_count_of_crashes(ledger: Ledger) -> None:
    first = await claimed(ledger)
    assert await ledger.attempted(KEY, first.fence, T)
    second = await claimed(ledger, T + LEASE)
    assert await ledger.attempted(KEY, second.fence, T + LEASE)
    assert await ledger.retry_at(KEY, second.fence, T + LEASE, T + LEASE, "busy there", "429")
    fence = await ledger.postpone(KEY, second.fence, T + LEASE, T + LEASE + 600)
    third = await claimed(ledger, T + LEASE, due_fence=fence)
    assert (third.unknown, third.crashes) == (False, 0)


# Whole destinations


async def test_a_destination_is_enabled_until_it_is_disabled(ledger: Ledger) -> None:
    assert await ledger.destination_state("crm") == DestinationState()
    await ledger.disable("crm", "verify the sender", T)
    assert await ledger.destination_state("crm") == DestinationState("verify the sender")
    assert await ledger.destination_state("other") == DestinationState()


async def test_a_paused_destination_says_until_when(ledger: Ledger) -> None:
    await ledger.disable("crm", "verify the sender", T)
    await ledger.pause("crm", T + 30, T)
    await ledger.pause("crm", T + 60, T)
    assert await ledger.destination_state("crm") == DestinationState("verify the sender", T + 60)


async def test_what_is_held_is_finished_until_it_is_released_and_then_due(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    await ledger.disable("crm", "verify the sender", T)
    assert await ledger.hold(KEY, claim.fence, T, "verify the sender", "403")
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
    assert await ledger.hold(other.id, claim.fence, T, "", "")
    assert await ledger.release("crm", T) == 0
    assert [row.state for row in await ledger.rows(10)] == ["disabled"]


# What operators do


async def test_a_finished_delivery_reopened_is_claimed_for_the_first_attempt_of_the_next_generation(
    ledger: Ledger,
) -> None:
    await finished(ledger)
    assert await ledger.reopen(KEY, T + 60) == 1
    again = await claimed(ledger, T + 60)
    assert (again.generation, again.attempt_number, again.unknown) == (1, 1, False)


async def test_a_delivery_that_is_not_finished_is_not_reopened(ledger: Ledger) -> None:
    claim = await claimed(ledger)
    assert await ledger.reopen(KEY, T) is None
    assert await ledger.hold(KEY, claim.fence, T, "", "")
    assert await ledger.reopen(KEY, T) is None


async def test_one_replay_reopens_a_delivery_once_and_the_next_replay_again(ledger: Ledger) -> None:
    await finished(ledger)
    assert await ledger.reopen(KEY, T, "replay-1") == 1
    again = await claimed(ledger)
    assert await ledger.failed(KEY, again.fence, T, "", "")
    assert await ledger.reopen(KEY, T, "replay-1") is None
    assert await ledger.reopen(KEY, T, "replay-2") == 2
    assert (await the_row(ledger)).replays == ("replay-1", "replay-2")


async def test_a_claim_keeps_the_message_that_it_came_with(ledger: Ledger) -> None:
    await finished(ledger)
    await ledger.reopen(KEY, T)
    await ledger.claim(DELIVERY, b"after other steps", T, LEASE)
    assert (await the_row(ledger)).message == b"after other steps"


async def test_rows_come_newest_first_and_by_what_was_asked_for(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        await ledger.claim(delivery(number, f"d{number % 2}"), MESSAGE, T + number, LEASE)
    claim = await ledger.claim(delivery(3, "d1"), MESSAGE, T + 3 + LEASE, LEASE)
    assert isinstance(claim, Claimed)
    assert await ledger.failed(delivery(3, "d1").id, claim.fence, T, "", "")
    assert [row.event_id for row in await ledger.rows(10)] == ["e3", "e2", "e1"]
    assert [row.event_id for row in await ledger.rows(2)] == ["e3", "e2"]
    assert [row.event_id for row in await ledger.rows(10, event_id="e2")] == ["e2"]
    assert [row.event_id for row in await ledger.rows(10, destination="d1")] == ["e3", "e1"]
    assert [row.event_id for row in await ledger.rows(10, destination="d1", state="claimed")] == ["e1"]


async def test_a_purge_forgets_old_finished_rows_and_no_others(ledger: Ledger) -> None:
    await finished(ledger)
    await ledger.claim(delivery(2), MESSAGE, T, LEASE)
    assert await ledger.purge(T) == 0
    assert await ledger.purge(T + 1) == 1
    assert [row.event_id for row in await ledger.rows(10)] == ["e2"]
    assert isinstance(await plain_claim(ledger, T + 1), Claimed)


# SQLite's own


async def test_two_processes_may_share_the_file(tmp_path: Path) -> None:
    one, other = LocalLedger(tmp_path / "ledger.db"), LocalLedger(tmp_path / "ledger.db")
    answers = await asyncio.gather(*(plain_claim(each, T) for each in (one, other) * 50))
    assert [type(answer) for answer in answers].count(Claimed) == 1
    await asyncio.gather(one.close(), other.close())


async def test_what_was_written_outlives_the_process(tmp_path: Path) -> None:
    first = LocalLedger(tmp_path / "ledger.db")
    await finished(first)
    await first.close()
    second = LocalLedger(tmp_path / "ledger.db")
    assert await plain_claim(second, T) == Finished()
    await second.close()


async def test_a_file_that_cannot_be_opened_is_temporary_and_says_which(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"this is no database" * 100)
    local = LocalLedger(tmp_path / "ledger.db")
    with pytest.raises(Temporary, match=r"ledger\.db"):
        await plain_claim(local, T)
    await local.close()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    local = LocalLedger(tmp_path / "ledger.db")
    with pytest.raises(Temporary, match="newer"):
        await plain_claim(local, T)
    await local.close()


async def test_a_large_purge_is_whole(tmp_path: Path) -> None:
    local = LocalLedger(tmp_path / "ledger.db")

    async def fail(number: int) -> None:
        claim = await local.claim(delivery(number), MESSAGE, T, LEASE)
        assert isinstance(claim, Claimed)
        await local.failed(delivery(number).id, claim.fence, T, "", "")

    await asyncio.gather(*(fail(number) for number in range(1_500)))
    assert await local.purge(T + 1) == 1_500
    assert await local.rows(10) == []
    await local.close()
