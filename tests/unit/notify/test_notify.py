"""Notify: one delivery claimed, attempted once, and what came of it recorded; then held, retried or replayed."""

import asyncio
import json

import pytest

from functions.notify.attempt import undelivered_since
from functions.notify.destination import Attempt
from functions.notify.notifier import Acknowledged, Nacked
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater
from shared.errors import Temporary
from shared.ledger import Claimed, DestinationState, Settlement
from tests.fakes.destinations import FakeDestination
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import DELIVERY, FakeNotifier, a_delivery

# What is delivered


async def test_a_delivery_is_attempted_once_recorded_and_acknowledged() -> None:
    notifier = FakeNotifier()
    result = await notifier.take()
    assert isinstance(result, Acknowledged)
    assert (result.outcome, result.attempt_number) == ("delivered", 1)
    assert notifier.crm.delivered == [DELIVERY]
    row = await notifier.row()
    assert (row.state, row.answer) == ("delivered", "202 Accepted")


async def test_an_attempt_gets_its_key_its_number_and_its_time() -> None:
    notifier = FakeNotifier()
    await notifier.take()
    assert notifier.crm.attempts == [Attempt(DELIVERY.id, 1, 0, notifier.clock.now(), 15.0)]


async def test_the_same_message_again_is_acknowledged_and_delivered_no_second_time() -> None:
    notifier = FakeNotifier()
    await notifier.take()
    again = await notifier.take()
    assert (type(again), again.outcome) == (Acknowledged, "finished")
    assert len(notifier.crm.attempts) == 1


async def test_the_same_message_while_the_first_is_at_work_is_nacked() -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    async def slow(delivery: Delivery, attempt: Attempt) -> Outcome:
        began.set()
        await may_end.wait()
        return Delivered()

    notifier = FakeNotifier(FakeDestination(slow))
    first = asyncio.create_task(notifier.take())
    await began.wait()
    again = await notifier.take()
    may_end.set()
    assert (type(again), again.outcome) == (Nacked, "busy")
    assert (await first).outcome == "delivered"


async def test_an_attempt_is_journaled_with_what_came_of_it() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there", answer="429 Too Many Requests")))
    await notifier.take()
    (entry,) = notifier.journal.attempts
    assert (entry.delivery_id, entry.event_id, entry.destination) == (DELIVERY.id, "e1", "crm")
    assert (entry.outcome, entry.reason, entry.answer) == ("retry_scheduled", "busy there", "429 Too Many Requests")


# What is tried again


async def test_a_destination_in_trouble_is_acknowledged_and_tried_again_by_its_schedule() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there"), RetryLater("still busy")))
    start = notifier.clock.now()
    result = await notifier.take()
    assert (type(result), result.outcome) == (Acknowledged, "retry_scheduled")
    row = await notifier.row()
    assert row.retry_at is not None
    assert start + 5 <= row.retry_at <= start + 6
    assert (await notifier.take()).outcome == "waiting"
    notifier.clock.advance(6)
    (second,) = await notifier.sweep_and_take()
    assert (second.outcome, second.attempt_number) == ("retry_scheduled", 2)
    notifier.clock.advance(331)
    (third,) = await notifier.sweep_and_take()
    assert (third.outcome, third.attempt_number) == ("delivered", 3)


async def test_the_end_of_the_schedule_is_a_dead_letter() -> None:
    notifier = FakeNotifier(FakeDestination(*[RetryLater("busy there")] * 3))
    await notifier.take()
    for _ in range(2):
        notifier.clock.advance(3_600)
        (result,) = await notifier.sweep_and_take()
    assert (type(result), result.outcome, result.code) == (Acknowledged, "dead_lettered", "retries_exhausted")
    (letter,) = notifier.dead_letters
    assert letter.attributes["code"] == "retries_exhausted"
    row = await notifier.row()
    assert (row.state, row.reason) == ("dead_lettered", "retries_exhausted: attempt 3, the last: busy there")


async def test_a_destination_that_asks_for_a_pause_is_left_alone_and_the_wait_counts_as_no_attempt() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("locked out", pause_destination_seconds=120.0)))
    await notifier.take(a_delivery(1))
    paused = await notifier.take(a_delivery(2))
    assert paused.reason == "the destination is paused: locked out"
    assert len(notifier.crm.attempts) == 1
    notifier.clock.advance(119)
    assert await notifier.sweep_and_take() == []  # it waits without coming to notify
    assert len(notifier.crm.attempts) == 1
    notifier.clock.advance(26)
    assert {result.outcome for result in await notifier.sweep_and_take()} == {"delivered"}
    assert sorted(attempt.attempt_number for attempt in notifier.crm.attempts) == [1, 1, 2]


class PausingLedger(FakeLedger):
    """Counts pauses, and refuses them where `fault_of_pauses` is set, as a document does that many write at once."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses = 0
        self.fault_of_pauses: str | None = None

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        self.pauses += 1
        if self.fault_of_pauses:
            raise Temporary("ledger_unavailable", self.fault_of_pauses)
        await super().pause(destination, until, now, reason)


async def test_a_pause_that_cannot_be_written_loses_no_outcome() -> None:
    """Else the attempt would count as one that ended without a record, and three of those as a crash."""
    ledger = PausingLedger()
    ledger.fault_of_pauses = "others kept writing it"
    notifier = FakeNotifier(FakeDestination(RetryLater("locked out", pause_destination_seconds=120.0)), ledger=ledger)
    with pytest.raises(Temporary):
        await notifier.take()
    row = await notifier.row()
    assert (row.state, row.reason) == ("retry_scheduled", "locked out")
    assert (await notifier.take()).outcome == "waiting"


async def test_a_pause_that_could_not_be_written_is_written_by_the_next_that_is_rejected() -> None:
    ledger = PausingLedger()
    ledger.fault_of_pauses = "others kept writing it"
    rejection = RetryLater("locked out", pause_destination_seconds=120.0)
    notifier = FakeNotifier(FakeDestination(rejection, rejection), ledger=ledger)
    with pytest.raises(Temporary):
        await notifier.take(a_delivery(1))
    ledger.fault_of_pauses = None
    assert (await notifier.take(a_delivery(2))).outcome == "retry_scheduled"
    assert (await ledger.destination_state("crm")).paused_until is not None


# What is held


@pytest.mark.parametrize("reason_end", ["", "; then `hookchain resume crm`"])
async def test_a_destination_that_needs_an_operator_holds_what_is_owed_to_it_and_says_so_once(
    reason_end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = f"verify the sender a@example.com at SendGrid{reason_end}"
    notifier = FakeNotifier(FakeDestination(Disabled(reason, "403")))
    assert (await notifier.take(a_delivery(1))).outcome == "held"
    assert (await notifier.take(a_delivery(2))).outcome == "held"
    assert len(notifier.crm.attempts) == 1
    assert notifier.dead_letters == []
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["reason"] for line in lines if line["severity"] == "ERROR"] == [
        "verify the sender a@example.com at SendGrid; then `hookchain resume crm`"
    ]


async def test_a_release_that_comes_just_before_a_delivery_is_held_releases_that_one_too() -> None:
    class ReleasedMeanwhile(FakeLedger):
        async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
            await self.release("crm", settlement.now)
            return await super().settle(claim, settlement)

    notifier = FakeNotifier(FakeDestination(Disabled("verify the sender")), ledger=ReleasedMeanwhile())
    await notifier.take()
    assert (await notifier.row()).state == "retry_scheduled"


async def test_an_attempt_does_not_begin_where_its_lease_could_end_before_it() -> None:
    class SlowState(FakeLedger):
        async def destination_state(self, destination: str) -> DestinationState:
            if not notifier.clock.now() - started:
                notifier.clock.advance(30.0)
            return await super().destination_state(destination)

    notifier = FakeNotifier(ledger=SlowState())
    started = notifier.clock.now()
    result = await notifier.take()
    assert (type(result), result.outcome, notifier.crm.attempts) == (Nacked, "lease_expired", [])
    assert (await notifier.take()).outcome == "delivered"
    assert (await notifier.row()).attempt_number == 1


# Replays


async def test_a_replay_leaves_a_finished_delivery_finished() -> None:
    notifier = FakeNotifier()
    await notifier.take()
    assert (await notifier.take(replay="r1")).outcome == "finished"


async def test_a_forced_replay_delivers_again_once_under_a_key_of_its_generation() -> None:
    notifier = FakeNotifier()
    await notifier.take()
    assert (await notifier.take(replay="r1", force="true")).outcome == "delivered"
    assert (await notifier.take(replay="r1", force="true")).outcome == "finished"
    assert (await notifier.take(replay="r2", force="true")).outcome == "delivered"
    assert [attempt.idempotency_key for attempt in notifier.crm.attempts] == [
        DELIVERY.id,
        f"{DELIVERY.id}-r1",
        f"{DELIVERY.id}-r2",
    ]
    assert [attempt.attempt_number for attempt in notifier.crm.attempts] == [1, 1, 1]


async def test_replays_write_under_the_same_key_until_one_is_delivered() -> None:
    failed = Failed("outcome_unknown", "accepted or not: unknown")
    notifier = FakeNotifier(FakeDestination(failed, Delivered(), failed, failed, Delivered(), failed))
    await notifier.take()
    for replay in ("r1", "r2", "r3", "r4", "r5"):
        await notifier.take(replay=replay, force="true")
    keys = [attempt.row_key.removeprefix(DELIVERY.id) for attempt in notifier.crm.attempts]
    assert keys == ["", "", "-r2", "-r2", "-r2", "-r5"]


async def test_a_row_that_an_earlier_version_reopened_is_written_under_the_key_of_its_generation() -> None:
    notifier = FakeNotifier()
    await notifier.take()
    [row] = await notifier.ledger.rows(1, event_id=DELIVERY.event.id)
    assert undelivered_since(row._replace(generation=2)) == 2
    assert undelivered_since(row._replace(generation=2, attempts=())) == 0


async def test_a_dead_letter_can_be_replayed() -> None:
    notifier = FakeNotifier(FakeDestination(Failed("mail_rejected", "no such list")))
    await notifier.take()
    assert (await notifier.take(replay="r1", force="true")).outcome == "delivered"
