"""A delivery without a place in the process: it is put back on the bus, or waits in the ledger, and others pass it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from functions.notify.attempt import SUSPECT_SECONDS
from functions.notify.notifier import Acknowledged, Result
from functions.notify.registry import Configured, Target
from functions.notify.waiting.places import PUT_BACK, lane_and_group
from shared.delivery import Delivered, Delivery, Outcome
from shared.errors import Temporary
from shared.outgoing.circuit import BreakerSettings
from shared.outgoing.gate import HANGING_ANSWERS
from shared.outgoing.instance_leases import MOST_INSTANCES
from shared.ports import DELIVERIES
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.notifier import FakeNotifier, a_delivery

BREAKER = BreakerSettings(failures=5, pause_seconds=60.0, max_pause_seconds=200.0)


class Silent:
    """A destination that does not answer until it is let go."""

    def __init__(self) -> None:
        self.is_silent = True
        self.may_end = asyncio.Event()

    async def __call__(self, delivery: Delivery, attempt: object) -> Outcome:
        if self.is_silent:
            await self.may_end.wait()
        return Delivered()


class World:
    """Notify with a destination `crm` that can be silent, `quiet` that answers, and few places."""

    def __init__(self, max_delay_seconds: float = 900.0, **options: BreakerSettings) -> None:
        self.silent = Silent()
        crm = FakeDestination(*[self.silent] * 1_000)
        configured = FakeDestinations(
            {"crm": crm, "quiet": FakeDestination()}, options={"crm": Options(breaker=BREAKER)} if options else {}
        )
        self.notifier = FakeNotifier(crm, configured, bus=FakeBus(max_delay_seconds), places=10)
        self.tasks: list[asyncio.Task[Result]] = []

    async def begin(self, count: int, first: int = 0) -> list[Result]:
        """Take deliveries to `crm`. Return the results of those that ended."""
        took = self.notifier.take
        tasks = [asyncio.create_task(took(a_delivery(number))) for number in range(first, first + count)]
        self.tasks += tasks
        for _ in range(200):
            await asyncio.sleep(0)
        return [task.result() for task in tasks if task.done()]

    async def learn(self) -> None:
        self.silent.is_silent = False
        for number in range(HANGING_ANSWERS):
            await self.notifier.take(a_delivery(1_000 + number))
            await self.notifier.take(a_delivery(2_000 + number, "quiet"))
        self.silent.is_silent = True

    async def let_go(self) -> None:
        self.silent.may_end.set()
        await asyncio.gather(*self.tasks)


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let messages wait in the bus, so that nothing is held in the process."""
    monkeypatch.setattr("functions.notify.notify._waited_seconds", lambda document, now: 5.0)


Step = Callable[[World], Awaitable[None]]


@pytest.mark.usefixtures("queued")
async def test_what_has_no_place_is_put_back_before_the_claim_with_all_that_its_message_had() -> None:
    world = World()
    await world.learn()
    rows = len(await world.notifier.ledger.rows(100))
    results = await world.begin(10)
    assert [(type(result), result.outcome) for result in results] == [(Acknowledged, "deferred")] * 2
    assert len(await world.notifier.ledger.rows(100)) == rows + 8, "what was put back has no row"
    first, second = world.notifier.bus.on(DELIVERIES)
    assert (first.attributes[PUT_BACK], second.attributes[PUT_BACK]) == ("1", "1")
    assert 1.0 <= first.delay_seconds < second.delay_seconds
    await world.let_go()
    assert (await world.notifier.take_message(first)).outcome == "delivered"


@pytest.mark.usefixtures("queued")
async def test_a_bus_without_delays_lets_it_wait_in_the_ledger_instead_and_no_attempt_counts() -> None:
    world = World(max_delay_seconds=0.0)
    await world.learn()
    results = await world.begin(10)
    assert [result.outcome for result in results] == ["deferred"] * 2
    waiting = [row for row in await world.notifier.ledger.rows(100) if row.state == "retry_scheduled"]
    assert [row.attempt_number for row in waiting] == [0, 0]
    assert world.notifier.bus.on(DELIVERIES) == []
    await world.let_go()


@pytest.mark.usefixtures("queued")
async def test_a_destination_that_hangs_lets_its_deliveries_wait_in_the_ledger_and_others_pass() -> None:
    world = World()
    await world.learn()
    await world.begin(8)
    world.notifier.clock.advance(3)
    results = await world.begin(10, first=20)
    assert [result.outcome for result in results] == ["deferred"] * 10
    assert (await world.notifier.take(a_delivery(50, "quiet"))).outcome == "delivered"
    await world.let_go()


@pytest.mark.usefixtures("queued")
@pytest.mark.parametrize(
    ("has_answered", "reason"),
    [
        (True, "earlier deliveries to this destination use its whole share of the capacity"),
        (False, "attempts at this destination are still running without an answer"),
    ],
)
async def test_it_says_whether_its_destination_is_busy_or_does_not_answer(has_answered: bool, reason: str) -> None:
    world = World(max_delay_seconds=0.0)
    if has_answered:
        await world.learn()
    deferred = await world.begin(10)
    assert {result.reason for result in deferred} == {reason}
    assert {row.reason for row in await world.notifier.ledger.rows(100, state="retry_scheduled")} == {reason}
    await world.let_go()


async def test_five_attempts_that_hang_pause_the_destination_before_their_timeout_and_count_once() -> None:
    world = World(breaker=BREAKER)
    await world.learn()
    await world.begin(5)
    world.notifier.clock.advance(4)
    assert [result.outcome for result in await world.begin(1, first=20)] == ["deferred"], "it has no place"
    assert (await world.notifier.parts.states.state("crm")).paused_until is None
    world.notifier.clock.advance(2)
    [result] = await world.begin(1, first=21)
    state = await world.notifier.parts.states.state("crm")
    assert state.paused_until == world.notifier.clock.now() + 60
    assert "has not ended yet" in state.pause_reason
    assert "paused" in (result.reason or "")
    await world.let_go()


async def test_a_destination_whose_own_queue_is_full_lets_its_delivery_wait_and_does_not_nack() -> None:
    notifier = FakeNotifier(FakeDestination(Temporary("mail_queue_full", "16 mails are being sent"), Delivered()))
    result = await notifier.take()
    assert (type(result), result.outcome, result.reason) == (Acknowledged, "deferred", "16 mails are being sent")
    row = await notifier.row()
    assert (row.state, row.attempts) == ("retry_scheduled", ())
    assert 5 <= (row.retry_at or 0) - notifier.clock.now() <= 6
    notifier.clock.advance(7)
    assert [(each.outcome, each.attempt_number) for each in await notifier.sweep_and_take()] == [("delivered", 1)]


async def test_after_an_hour_such_a_delivery_counts_its_attempts_so_that_it_ends() -> None:
    notifier = FakeNotifier(FakeDestination(*[Temporary("mail_queue_full", "16 mails are being sent")] * 9))
    outcomes = [(await notifier.take()).outcome]
    for _ in range(4):
        notifier.clock.advance(3_600)
        outcomes += [each.outcome for each in await notifier.sweep_and_take()]
    assert outcomes == ["deferred", "retry_scheduled", "retry_scheduled", "dead_lettered"]


async def test_a_suspect_whose_attempt_hangs_delays_no_other_suspect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.notify.attempt.SUSPECT_SECONDS", SUSPECT_SECONDS / 100)
    world = World()
    await world.begin(2)
    for task in world.tasks:
        task.cancel()
    await asyncio.gather(*world.tasks, return_exceptions=True)
    world.tasks.clear()
    world.notifier.clock.advance(60)
    world.notifier.start()
    assert await world.begin(1) == []
    again = asyncio.create_task(world.notifier.take(a_delivery(1)))
    assert (await again).outcome == "deferred"
    await world.let_go()


def test_a_group_is_a_source_at_a_destination_or_a_key_of_per() -> None:
    crm = Configured("crm", "webhook", None, (), 15.0, "resend")
    destination = FakeDestination()
    assert lane_and_group(Target(crm, destination), a_delivery(1)) == ("crm", "crm /sources/web")
    by_key = Target(replace(crm, per="id"), destination)
    assert lane_and_group(by_key, a_delivery(1)) != lane_and_group(by_key, a_delivery(2))


async def test_on_lambda_a_new_destination_that_another_instance_tries_is_put_back_before_the_claim() -> None:
    notifier = FakeNotifier(bus=FakeBus(900.0), is_on_lambda=True)
    await notifier.grants.lease("crm:instances", "another", MOST_INSTANCES, MOST_INSTANCES, notifier.clock.now(), 30.0)
    result = await notifier.take(a_delivery(1))
    assert (type(result), result.outcome) == (Acknowledged, "deferred")
    assert await notifier.ledger.rows(100) == []
    [again] = notifier.bus.on(DELIVERIES)
    notifier.clock.advance(31)
    assert (await notifier.take_message(again)).outcome == "delivered"
    writes = notifier.grants.records.writes
    assert (await notifier.take(a_delivery(2))).outcome == "delivered"
    assert notifier.grants.records.writes == writes, "a healthy destination needs no lease"


async def test_on_lambda_what_was_put_back_three_times_waits_in_the_ledger() -> None:
    notifier = FakeNotifier(bus=FakeBus(900.0), is_on_lambda=True)
    await notifier.grants.lease("crm:instances", "another", MOST_INSTANCES, MOST_INSTANCES, notifier.clock.now(), 90.0)
    await notifier.take(a_delivery(1))
    for number in range(3):
        assert (await notifier.take_message(notifier.bus.on(DELIVERIES)[number])).outcome == "deferred"
    assert [row.state for row in await notifier.ledger.rows(100)] == ["retry_scheduled"]
