"""The sweep: what is due is published once, at its time and at a pace."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from functions.notify.waiting import sweep
from functions.notify.waiting.due import BACK_SECONDS
from functions.notify.waiting.sweep import BATCH_ROWS, MAX_PER_SECOND, PURGE_EVERY_SECONDS, STAY_SECONDS, Sweeper
from shared.delivery import REMEMBERED_SECONDS, RetryLater
from shared.errors import Temporary
from shared.ledger import LedgerRow
from shared.ports import DELIVERIES, BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import DELIVERY, FakeNotifier, a_delivery


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
    counts = await asyncio.gather(*(notifier.sweep() for _ in range(4)))
    assert sum(counts) == 30


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


async def test_a_sweep_forgets_what_was_finished_45_days_ago() -> None:
    notifier = FakeNotifier()
    await notifier.take(DELIVERY)
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock)
    notifier.clock.advance(REMEMBERED_SECONDS)
    await sweeper.sweep()
    assert len(await notifier.ledger.rows(10)) == 1
    notifier.clock.advance(3_601)
    await sweeper.sweep()
    assert await notifier.ledger.rows(10) == []


@pytest.mark.parametrize("starts", ["before", "after"])
async def test_a_clock_that_jumps_by_years_forgets_nothing_whatever_else_arrives(starts: str) -> None:
    notifier = FakeNotifier()
    await notifier.take(DELIVERY)
    sweeper = Sweeper(notifier.ledger, notifier.bus, notifier.clock)
    if starts == "before":
        await sweeper.sweep()
    notifier.clock.advance(5 * 365 * 86_400)
    for number in (7, 8):  # after the jump, and an hour later
        await sweeper.sweep()
        await notifier.take(a_delivery(number))
        notifier.clock.advance(PURGE_EVERY_SECONDS)
    await sweeper.sweep()
    assert len(await notifier.ledger.rows(10)) == 3


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
    messages = await sweep_ahead(notifier)

    assert notifier.clock.now() - begun <= STAY_SECONDS
    assert len(messages) == sum(at <= begun + 61 for at in slots) == 30  # the last look goes up to the next sweep
    notifier.clock.time = slots[len(messages) - 1]
    assert (await notifier.take_message(messages[-1])).outcome == "delivered"


async def test_what_was_moved_since_it_got_its_slot_is_published_at_its_time() -> None:
    notifier = await queued(2, max_delay_seconds=0)
    [row] = [row for row in await notifier.ledger.rows(9) if row.slot_at]
    at = notifier.clock.now() + STAY_SECONDS + 3
    await notifier.ledger.postpone(row.key, row.fence, notifier.clock.now(), at)
    assert await sweep_ahead(notifier) == []
    notifier.clock.time = at
    assert len(await sweep_ahead(notifier)) == 1


async def test_a_short_wait_keeps_its_own_timer() -> None:
    notifier = FakeNotifier(FakeDestination(RetryLater("busy there")), bus=FakeBus(900))
    await notifier.take()
    (timer,) = notifier.bus.on(DELIVERIES)

    assert await sweep_ahead(notifier) == []
    notifier.clock.advance(timer.delay_seconds)
    assert (await notifier.take_message(timer)).outcome == "delivered"


async def test_a_bus_that_fails_leaves_what_it_was_to_keep_back_due() -> None:
    notifier = await waiting_ahead(max_delay_seconds=900)
    notifier.clock.advance(60)
    notifier.bus.fault = "down"
    try:
        await sweep_ahead(notifier)
    except Temporary:
        notifier.bus.fault = None
    assert await sweep_ahead(notifier) == []  # none is tried before its time
    notifier.clock.advance(60)
    assert len(await sweep_ahead(notifier)) == 3


NOW = 1_790_000_000.0


class TimedBus(FakeBus):
    """Notes when each delivery was published, and to which destination."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.at: list[tuple[float, str]] = []

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        await super().publish(topic, messages)
        for message in messages:
            if topic == DELIVERIES:
                self.at.append((self.clock.now(), "crm" if b'"crm"' in message.data else "pager"))


async def outage(count: int) -> tuple[FakeNotifier, TimedBus]:
    """`count` deliveries to the CRM that failed together, and five to the pager that failed after them."""
    crm, pager = FakeDestination(*[RetryLater("down")] * count), FakeDestination(*[RetryLater("down")] * 5)
    notifier = FakeNotifier(crm, FakeDestinations({"crm": crm, "pager": pager}))
    for number in range(count):
        await notifier.take(a_delivery(number))
    notifier.clock.advance(2)
    for number in range(5):
        await notifier.take(a_delivery(number, "pager"))
    notifier.clock.advance(10)
    return notifier, TimedBus(notifier.clock)


async def test_four_thousand_that_failed_together_come_back_at_400_a_second_and_others_pass_them() -> None:
    notifier, bus = await outage(4_000)
    began = notifier.clock.now()
    sweeper = Sweeper(notifier.ledger, bus, notifier.clock, notifier.clock.sleep)

    assert await sweeper.sweep() == 4_005

    seconds = Counter(int(at - began) for at, name in bus.at if name == "crm")
    assert max(seconds.values()) <= 400
    assert sum(seconds.values()) == 4_000
    assert notifier.clock.now() - began <= 11
    assert {at - began for at, name in bus.at if name == "pager"} == {0.0}


@pytest.mark.slow
async def test_what_one_sweep_has_no_time_for_the_next_ones_publish_at_the_same_pace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep, "SWEEP_SECONDS", 4.0)
    count = 4 * MAX_PER_SECOND + 1_000
    notifier, bus = await outage(count)
    began = notifier.clock.now()
    sweeper = Sweeper(notifier.ledger, bus, notifier.clock, notifier.clock.sleep)
    for _ in range(3):
        await sweeper.sweep()
        notifier.clock.advance(2)
    seconds = Counter(int(at - began) for at, name in bus.at if name == "crm")
    assert max(seconds.values()) <= MAX_PER_SECOND
    assert sum(seconds.values()) == count
    assert len({message.attributes["ce-id"] for message in bus.on(DELIVERIES)}) == count + 5


async def test_a_sweep_looks_back_to_the_last_complete_one_and_once_an_hour_to_the_beginning() -> None:
    class Watched(FakeLedger):
        def __init__(self) -> None:
            super().__init__()
            self.bounds: list[float] = []

        async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
            self.bounds.append(since)
            return await super().due(now, limit, since)

    ledger = Watched()
    notifier = FakeNotifier(ledger=ledger)
    sweeper = Sweeper(ledger, notifier.bus, notifier.clock)
    start = notifier.clock.now()
    await sweeper.sweep()
    notifier.clock.advance(60)
    await sweeper.sweep()
    notifier.clock.advance(PURGE_EVERY_SECONDS)
    await sweeper.sweep()
    assert ledger.bounds == [0.0, start - 600, 0.0]
