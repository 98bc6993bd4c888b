from shared.delivery import RetryLater
from shared.ports import DELIVERIES, BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination
from tests.fakes.notifier import FakeNotifier


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


async def test_every_wait_is_the_sweep_s_where_the_bus_has_no_delays() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")))
    await notifier.take()

    assert notifier.bus.on(DELIVERIES) == []
