import asyncio
from collections.abc import Sequence

import pytest

from functions.notify.waiting.schedule import BACK_SECONDS, PURGE_EVERY_SECONDS
from functions.notify.waiting.sweep import BATCH_ROWS, Sweeper
from shared.delivery import REMEMBERED_SECONDS, Disabled, RetryLater
from shared.errors import Temporary
from shared.ledger import LedgerRow
from shared.ports import DELIVERIES, BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination
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


async def test_a_release_of_many_deliveries_that_are_due_at_the_same_second_is_swept_at_once() -> None:
    count = BATCH_ROWS * 4 + 1
    notifier = FakeNotifier(FakeDestination(*[Disabled("out of order")] * count))
    for number in range(count):
        await notifier.take(a_delivery(number))
    await notifier.ledger.release("crm", notifier.clock.now())
    assert await notifier.sweep() == count
    published = [message.attributes["ce-id"] for message in notifier.bus.on(DELIVERIES)]
    assert len(set(published)) == len(published) == count


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
    assert ledger.bounds == [0.0, start - BACK_SECONDS, 0.0]


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
