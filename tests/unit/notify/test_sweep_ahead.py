"""What is due before the next sweep, which comes a minute later on the clouds."""

from functions.notify.waiting.sweep import STAY_SECONDS, Sweeper
from shared.delivery import RetryLater
from shared.errors import Temporary
from shared.ports import DELIVERIES, BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.notifier import FakeNotifier, a_delivery

WAITS = (70.0, 90.0, 100.0, 500.0)


async def waiting(max_delay_seconds: float) -> FakeNotifier:
    """Deliveries that wait longer than a timer of their own does."""
    answers = [RetryLater("busy there", after_seconds=wait) for wait in WAITS]
    notifier = FakeNotifier(FakeDestination(*answers), bus=FakeBus(max_delay_seconds))
    for number, _ in enumerate(WAITS):
        await notifier.take(a_delivery(number))
    return notifier


async def sweep(notifier: FakeNotifier) -> list[BusMessage]:
    """The messages that one more sweep publishes."""
    before = len(notifier.bus.on(DELIVERIES))
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock, notifier.clock.sleep, looks_ahead=True)
    await sweeper.sweep()
    return notifier.bus.on(DELIVERIES)[before:]


async def test_where_the_bus_has_delays_it_keeps_them_back_until_their_time() -> None:
    notifier = await waiting(max_delay_seconds=900)
    due = sorted(row.retry_at or 0 for row in await notifier.ledger.rows(10))
    notifier.clock.advance(60)
    messages = await sweep(notifier)

    assert {notifier.clock.now() + message.delay_seconds for message in messages} == set(due[:3])
    assert notifier.clock.now() == 1_790_000_060  # nothing waited in the sweep
    assert await sweep(notifier) == []
    notifier.clock.advance(60)
    assert [(await notifier.take_message(message)).outcome for message in messages] == ["delivered"] * 3


async def test_where_it_has_none_the_sweep_waits_for_them() -> None:
    notifier = await waiting(max_delay_seconds=0)
    rows = sorted(row.retry_at or 0 for row in await notifier.ledger.rows(10))
    notifier.clock.advance(60)
    messages = await sweep(notifier)

    assert len(messages) == len([at for at in rows if at <= 1_790_000_060 + STAY_SECONDS]) >= 2
    assert notifier.clock.now() <= 1_790_000_060 + STAY_SECONDS
    assert {message.delay_seconds for message in messages} == {0.0}


async def queued(count: int, max_delay_seconds: float) -> FakeNotifier:
    """Deliveries with slots that are two seconds apart."""
    crm = FakeDestination()
    destinations = FakeDestinations({"crm": crm}, options={"crm": Options(rate=(30, 60.0))})
    notifier = FakeNotifier(crm, destinations, bus=FakeBus(max_delay_seconds))
    for number in range(count):
        await notifier.take(a_delivery(number))
    return notifier


async def test_where_it_has_none_what_has_a_slot_is_published_shortly_before_it() -> None:
    notifier = await queued(40, max_delay_seconds=0)
    slots = sorted(row.slot_at for row in await notifier.ledger.rows(50) if row.slot_at)
    begun = notifier.clock.now()
    messages = await sweep(notifier)

    assert notifier.clock.now() - begun <= STAY_SECONDS
    assert len(messages) == sum(at <= begun + 61 for at in slots) == 30  # the last look goes up to the next sweep
    notifier.clock.time = slots[len(messages) - 1]
    assert (await notifier.take_message(messages[-1])).outcome == "delivered"


async def test_what_was_moved_since_it_got_its_slot_is_published_at_its_time() -> None:
    notifier = await queued(2, max_delay_seconds=0)
    [row] = [row for row in await notifier.ledger.rows(9) if row.slot_at]
    at = notifier.clock.now() + STAY_SECONDS + 3
    await notifier.ledger.postpone(row.key, row.fence, notifier.clock.now(), at)
    assert await sweep(notifier) == []
    notifier.clock.time = at
    assert len(await sweep(notifier)) == 1


async def test_a_short_wait_keeps_its_own_timer() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")), bus=FakeBus(900))
    await notifier.take()
    (timer,) = notifier.bus.on(DELIVERIES)

    assert await sweep(notifier) == []
    notifier.clock.advance(timer.delay_seconds)
    assert (await notifier.take_message(timer)).outcome == "delivered"


async def test_a_bus_that_fails_leaves_what_it_was_to_keep_back_due() -> None:
    notifier = await waiting(max_delay_seconds=900)
    notifier.clock.advance(60)
    notifier.bus.fault = "down"
    try:
        await sweep(notifier)
    except Temporary:
        notifier.bus.fault = None
    assert await sweep(notifier) == []  # none is tried before its time
    notifier.clock.advance(60)
    assert len(await sweep(notifier)) == 3
