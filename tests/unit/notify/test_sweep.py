"""The sweep and the schedule of retries: what is due is published once and at its time."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from functions.notify.alerts.monitor import Monitor
from functions.notify.waiting.due import BACK_SECONDS
from functions.notify.waiting.schedule import MAX_ASKED_SECONDS, next_retry_at
from functions.notify.waiting.sweep import BATCH_ROWS, STAY_SECONDS, Sweeper
from shared.delivery import Delivered, Disabled, RetryLater, Unknown
from shared.errors import Temporary
from shared.ports import DELIVERIES, BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import FakeNotifier, a_delivery


async def waiting(count: int = 1) -> FakeNotifier:
    """Deliveries that were tried once and whose time to be tried again has come."""
    notifier = FakeNotifier(FakeDestination(*[RetryLater("busy there")] * count))
    for number in range(count):
        await notifier.take(a_delivery(number))
    notifier.clock.advance(6)
    return notifier


async def test_what_is_due_is_published_as_it_came_with_its_new_fence() -> None:
    notifier = await waiting()
    before = await notifier.row()
    assert await notifier.sweep() == 1
    (message,) = notifier.bus.on(DELIVERIES)
    row = await notifier.row()
    assert message.data == before.message
    assert message.attributes["due"] == str(row.fence) != str(before.fence)
    assert message.attributes["ce-type"] == "hookchain.delivery"


async def test_more_than_one_batch_is_published_in_one_sweep() -> None:
    notifier = await waiting(BATCH_ROWS * 2 + 1)
    assert await notifier.sweep() == BATCH_ROWS * 2 + 1


async def test_sweeps_that_overlap_publish_each_delivery_once() -> None:
    notifier = await waiting(30)
    assert sum(await asyncio.gather(*(notifier.sweep() for _ in range(4)))) == 30


async def test_a_sweep_that_left_rows_behind_does_not_raise_the_lower_bound() -> None:
    notifier = await waiting()
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock)
    notifier.bus.fault = "down"
    for _ in range(3):
        with pytest.raises(Temporary):
            await sweeper.sweep()
        notifier.clock.advance(BACK_SECONDS)
    notifier.bus.fault = None
    assert await sweeper.sweep() == 1


async def test_a_row_that_cannot_be_moved_holds_up_no_other() -> None:
    """It is due first again and again, and the others, moved ahead, would each time be due once more too late."""

    class OneStuck(FakeLedger):
        async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
            if key == a_delivery(1).id:
                raise Temporary("ledger_unavailable", "others kept writing it")
            return await super().postpone(key, fence, now, at)

    notifier = FakeNotifier(FakeDestination(*[RetryLater("busy there")] * 3), ledger=OneStuck())
    for number in range(3):
        await notifier.take(a_delivery(number))
    notifier.clock.advance(6)
    with pytest.raises(Temporary, match="others kept writing it"):
        await notifier.sweep()
    published = {message.attributes["ce-id"] for message in notifier.bus.on(DELIVERIES)}
    assert published == {a_delivery(0).id, a_delivery(2).id}


async def test_a_look_for_alerts_that_fails_holds_up_no_delivery() -> None:
    class Blind(Monitor):
        def __init__(self) -> None:
            pass

        async def check(self) -> None:
            raise Temporary("records_unavailable", "there is no such table")

    notifier = await waiting()
    with pytest.raises(Temporary, match="no such table"):
        await Sweeper(notifier.ledger, notifier.bus, notifier.clock, monitor=Blind()).sweep()
    assert len(notifier.bus.on(DELIVERIES)) == 1


async def test_a_message_that_arrived_without_being_confirmed_starts_no_second_retry() -> None:
    class Unconfirmed(FakeBus):
        async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
            await super().publish(topic, messages)
            raise Temporary("bus_unavailable", "it stored them, and the connection broke")

    notifier = await waiting()
    bus = Unconfirmed()
    with pytest.raises(Temporary):
        await Sweeper(notifier.ledger, bus, notifier.clock).sweep()
    (stale,) = bus.on(DELIVERIES)
    assert (await notifier.take_message(stale)).outcome == "waiting"
    assert [result.outcome for result in await notifier.sweep_and_take()] == ["delivered"]
    assert (await notifier.take_message(stale)).outcome == "finished"


WAITS = (70.0, 90.0, 100.0, 500.0)


async def waiting_ahead(max_delay_seconds: float) -> FakeNotifier:
    """Deliveries that wait longer than a timer of their own does."""
    answers = [RetryLater("busy there", after_seconds=wait) for wait in WAITS]
    notifier = FakeNotifier(FakeDestination(*answers), bus=FakeBus(max_delay_seconds))
    for number, _ in enumerate(WAITS):
        await notifier.take(a_delivery(number))
    return notifier


async def sweep_ahead(notifier: FakeNotifier) -> list[BusMessage]:
    """The messages that one more sweep publishes."""
    before = len(notifier.bus.on(DELIVERIES))
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock, notifier.clock.sleep, looks_ahead=True)
    await sweeper.sweep()
    return notifier.bus.on(DELIVERIES)[before:]


async def test_where_the_bus_has_delays_it_keeps_them_back_until_their_time() -> None:
    notifier = await waiting_ahead(max_delay_seconds=900)
    due = sorted(row.retry_at or 0 for row in await notifier.ledger.rows(10))
    notifier.clock.advance(60)
    messages = await sweep_ahead(notifier)

    assert {notifier.clock.now() + message.delay_seconds for message in messages} == set(due[:3])
    assert notifier.clock.now() == 1_790_000_060  # nothing waited in the sweep
    assert await sweep_ahead(notifier) == []
    notifier.clock.advance(60)
    assert [(await notifier.take_message(message)).outcome for message in messages] == ["delivered"] * 3


async def test_where_it_has_none_the_sweep_waits_for_them() -> None:
    notifier = await waiting_ahead(max_delay_seconds=0)
    rows = sorted(row.retry_at or 0 for row in await notifier.ledger.rows(10))
    notifier.clock.advance(60)
    messages = await sweep_ahead(notifier)

    assert len(messages) == len([at for at in rows if at <= 1_790_000_060 + STAY_SECONDS]) >= 2
    assert notifier.clock.now() <= 1_790_000_060 + STAY_SECONDS
    assert {message.delay_seconds for message in messages} == {0.0}


SCHEDULE = (5.0, 300.0, 1_800.0)
NOW = 1_790_000_000.0


def test_the_same_attempt_always_waits_the_same_and_others_differ() -> None:
    waits = [next_retry_at(SCHEDULE, 2, f"d{number}", NOW) for number in range(50)]
    assert waits == [next_retry_at(SCHEDULE, 2, f"d{number}", NOW) for number in range(50)]
    assert len(set(waits)) == 50


@given(number=st.integers(1, 3), after=st.floats(0, 2 * MAX_ASKED_SECONDS) | st.just(float("inf")))
def test_a_wait_is_the_schedules_or_what_was_asked_up_to_a_day_and_a_fifth_more(number: int, after: float) -> None:
    at = next_retry_at(SCHEDULE, number, "d", NOW, after)
    assert at is not None
    least = max(SCHEDULE[number - 1], min(after, MAX_ASKED_SECONDS))
    assert least <= at - NOW <= 1.2 * least


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


async def test_a_short_wait_is_the_bus_s_and_the_ledger_keeps_it_too() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")), bus=FakeBus(max_delay_seconds=900))
    await notifier.take()
    (message,) = notifier.bus.on(DELIVERIES)
    row = await notifier.row()

    assert row.retry_at == notifier.clock.now() + message.delay_seconds
    assert 5 <= message.delay_seconds <= 6
    notifier.clock.advance(message.delay_seconds)
    assert (await notifier.take_message(message)).outcome == "delivered"


async def test_a_bus_that_fails_leaves_the_wait_to_the_sweep() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")), bus=FakeBus(max_delay_seconds=900))
    notifier.bus.fault = "down"
    assert (await notifier.take()).outcome == "retry_scheduled"
    notifier.bus.fault = None
    notifier.clock.advance(6)
    assert await notifier.sweep() == 1
