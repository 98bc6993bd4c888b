"""The schedule of retries, and the messages that start one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.waiting.schedule import MAX_ASKED_SECONDS, next_retry_at
from shared.delivery import Delivered, Disabled, RetryLater, Unknown
from shared.ports import DELIVERIES, BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination
from tests.fakes.notifier import FakeNotifier

NOW = 1_790_000_000.0
SCHEDULE = (5.0, 300.0, 1_800.0)


@given(number=st.integers(1, 3), delivery_id=st.text(max_size=20))
def test_the_wait_is_the_schedules_and_up_to_a_fifth_more(number: int, delivery_id: str) -> None:
    at = next_retry_at(SCHEDULE, number, delivery_id, NOW)
    assert at is not None
    assert SCHEDULE[number - 1] <= at - NOW <= SCHEDULE[number - 1] * 1.2


def test_the_same_attempt_always_waits_the_same_and_others_differ() -> None:
    waits = [next_retry_at(SCHEDULE, 2, f"d{number}", NOW) for number in range(50)]
    assert waits == [next_retry_at(SCHEDULE, 2, f"d{number}", NOW) for number in range(50)]
    assert len(set(waits)) == 50


@given(after=st.floats(0, MAX_ASKED_SECONDS))
def test_no_wait_is_shorter_than_the_destination_asked_for(after: float) -> None:
    at = next_retry_at(SCHEDULE, 1, "d", NOW, after)
    assert at is not None
    assert at >= NOW + max(5.0, after)


@pytest.mark.parametrize("after", [float("inf"), 1e18])
def test_a_destination_that_asks_for_years_is_asked_again_after_about_a_day(after: float) -> None:
    at = next_retry_at(SCHEDULE, 1, "d", NOW, after)
    assert at is not None
    assert MAX_ASKED_SECONDS <= at - NOW <= MAX_ASKED_SECONDS * 1.2


async def test_a_delivery_that_was_held_has_its_whole_schedule_once_it_is_resumed() -> None:
    """Its attempts did not reach the destination, or could not have succeeded before the operator acted."""
    held = Disabled("set the secret")
    notifier = FakeNotifier(
        FakeDestination(RetryLater("away"), held, held, RetryLater("away"), Unknown("no answer"), held, Delivered())
    )
    await notifier.take()
    notifier.clock.advance(10)
    await notifier.sweep_and_take()
    waits = []
    for _ in range(2):  # the first release is held again
        await notifier.ledger.release("crm", notifier.clock.now())
        await notifier.sweep_and_take()
    for _ in range(2):
        row = await notifier.row()
        waits.append((row.retry_at or 0) - notifier.clock.now())
        notifier.clock.advance(waits[-1])
        await notifier.sweep_and_take()
    assert (await notifier.row()).state == "held"
    assert 5 <= waits[0] <= 6
    assert 300 <= waits[1] <= 360


def notifier_with_delays(*answers: RetryLater) -> FakeNotifier:
    return FakeNotifier(FakeDestination(*answers), bus=FakeBus(max_delay_seconds=900))


async def timer_of(notifier: FakeNotifier) -> BusMessage:
    await notifier.take()
    (message,) = notifier.bus.on(DELIVERIES)
    return message


async def test_a_short_wait_is_the_bus_s_and_the_ledger_keeps_it_too() -> None:
    notifier = notifier_with_delays(RetryLater("busy there"))
    message = await timer_of(notifier)
    row = await notifier.row()

    assert row.retry_at == notifier.clock.now() + message.delay_seconds
    assert 5 <= message.delay_seconds <= 6
    notifier.clock.advance(message.delay_seconds)
    assert (await notifier.take_message(message)).outcome == "delivered"


async def test_a_timer_that_comes_twice_or_after_the_sweep_does_nothing() -> None:
    notifier = notifier_with_delays(RetryLater("busy there"), RetryLater("busy there"))
    message = await timer_of(notifier)
    notifier.clock.advance(6)
    await notifier.sweep_and_take()

    assert (await notifier.take_message(message)).outcome == "waiting"
    assert len(notifier.crm.attempts) == 2


async def test_a_bus_that_fails_leaves_the_wait_to_the_sweep() -> None:
    notifier = notifier_with_delays(RetryLater("busy there"))
    notifier.bus.fault = "down"

    assert (await notifier.take()).outcome == "retry_scheduled"
    notifier.bus.fault = None
    notifier.clock.advance(6)
    assert await notifier.sweep() == 1
