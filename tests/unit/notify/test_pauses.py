"""The sweep while a destination is paused: what is due waits for the end of the pause, at one write each."""

from collections.abc import Sequence

import pytest

from deploy.history.destinations import NOTICE_SECONDS, resume_destination
from functions.notify.waiting.pauses import Pauses
from functions.notify.waiting.sweep import Sweeper
from shared.delivery import RetryLater
from shared.errors import Temporary
from shared.ledger import DestinationState, Move
from shared.ports import DELIVERIES
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import FakeNotifier, a_delivery

HOUR = 3_600.0


async def waiting(count: int, max_delay_seconds: float = 0.0, **options: object) -> FakeNotifier:
    """Deliveries to a destination that is paused for an hour once they wait for their second attempt."""
    crm = FakeDestination(*[RetryLater("busy there")] * count)
    destinations = FakeDestinations(
        {"crm": crm, "other": FakeDestination(RetryLater("busy there"))},
        retry_seconds=(300.0, 300.0),
        options={"crm": Options(**options)},  # type: ignore[typeddict-item]
    )
    notifier = FakeNotifier(crm, destinations, ledger=FakeLedger(), bus=FakeBus(max_delay_seconds))
    for number in range(count):
        await notifier.take(a_delivery(number))
    notifier.clock.advance(370)
    await notifier.ledger.pause("crm", notifier.clock.now() + HOUR, notifier.clock.now())
    return notifier


async def test_what_is_due_moves_to_the_end_of_the_pause_and_is_not_published() -> None:
    notifier = await waiting(20)
    now = notifier.clock.now()
    assert await notifier.sweep() == 0
    times = [row.retry_at or 0 for row in await notifier.ledger.rows(30)]

    assert all(now + HOUR <= at <= now + 1.2 * HOUR for at in times)
    assert len(set(times)) == 20  # they do not come back together
    notifier.clock.advance(1.2 * HOUR)
    assert {result.outcome for result in await notifier.sweep_and_take()} == {"delivered"}


async def test_what_may_expire_meanwhile_is_left_to_notify() -> None:
    notifier = await waiting(3, expires_after_seconds=1e9)
    assert [result.outcome for result in await notifier.sweep_and_take()] == ["deferred"] * 3


async def test_what_is_due_within_the_minute_is_not_handed_to_the_bus_either() -> None:
    notifier = await waiting(3, max_delay_seconds=900)
    for row in await notifier.ledger.rows(9):
        await notifier.ledger.postpone(row.key, row.fence, notifier.clock.now() - 100, notifier.clock.now() + 30)
    pauses = Pauses(notifier.parts.states, notifier.parts.destinations.configured)
    sweeper = Sweeper(
        notifier.ledger, notifier.bus, notifier.clock, notifier.clock.sleep, looks_ahead=True, pauses=pauses
    )
    assert await sweeper.sweep() == 0
    assert not [each for each in notifier.bus.on(DELIVERIES) if each.delay_seconds == 30]
    assert min(row.retry_at or 0 for row in await notifier.ledger.rows(9)) >= notifier.clock.now() + HOUR


async def test_a_ledger_that_does_not_answer_for_the_destination_leaves_them_due(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notifier = await waiting(3)

    async def silent(destination: str) -> DestinationState:
        raise Temporary("ledger_unavailable", destination)

    monkeypatch.setattr(notifier.ledger, "destination_state", silent)
    notifier.clock.advance(11)
    with pytest.raises(Temporary):
        await notifier.sweep()
    assert len(await notifier.ledger.due(notifier.clock.now(), 10)) == 3


async def test_a_pause_that_is_ended_while_the_sweep_moves_deliveries_leaves_none_behind() -> None:
    """The sweep knows the state of up to ten seconds ago; the operator's resume finds only what waits already."""
    notifier = await waiting(3)
    postpone_all = notifier.ledger.postpone_all

    async def postpone_late(moves: Sequence[Move], now: float) -> Sequence[int | Temporary | None]:
        notifier.ledger.postpone_all = postpone_all  # type: ignore[method-assign] # once
        await resume_destination(notifier.ledger, "crm", now)
        return await postpone_all(moves, now)

    notifier.ledger.postpone_all = postpone_late  # type: ignore[method-assign]
    before = len(notifier.bus.on(DELIVERIES))
    await notifier.sweep()
    notifier.clock.advance(NOTICE_SECONDS)
    await notifier.sweep()
    for message in notifier.bus.on(DELIVERIES)[before:]:
        await notifier.take_message(message)
    assert len(notifier.crm.delivered) == 3
