"""Deliveries that wait for their destination: paused, over a rate or cap, or without a place in the process."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import pytest
from hypothesis import given, strategies as st

from deploy.history.resumption import NOTICE_SECONDS, resume_destination
from functions.notify.attempt import SUSPECT_SECONDS
from functions.notify.notifier import Acknowledged, Result
from functions.notify.notify import PUT_BACK
from functions.notify.registry import DeliveryOptions
from functions.notify.waiting.caps import Caps, bucket_name
from functions.notify.waiting.pauses import CACHE_SECONDS, RECENT_SECONDS, after_outcome, with_pause_of_ledger
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Temporary
from shared.jsontext import Json
from shared.ledger import Move
from shared.outgoing.circuit import BreakerSettings, Circuit
from shared.outgoing.gate import HANGING_ANSWERS, ProcessGate
from shared.outgoing.instance_leases import MOST_INSTANCES
from shared.ports import DELIVERIES
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination, Options
from tests.fakes.grants import FakeGrants
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier, a_delivery

NOW = 1_790_000_000.0
SETTINGS = BreakerSettings(failures=3, pause_seconds=60.0, max_pause_seconds=200.0)
CLOSED = Circuit()
BUSY = RetryLater("busy there")


def after(*outcomes: Outcome, circuit: Circuit = CLOSED) -> Circuit:
    for outcome in outcomes:
        circuit = after_outcome(circuit, SETTINGS, outcome, NOW)
    return circuit


@pytest.mark.parametrize("failure", [BUSY, Unknown("no answer")])
def test_failures_in_a_row_open_it_and_fewer_do_not(failure: Outcome) -> None:
    assert after(failure, failure).open_until == 0
    assert after(failure, failure, failure) == Circuit(0, 60.0, NOW + 60)


@pytest.mark.parametrize("answer", [Delivered(), Failed("request_rejected", "no", "400"), Disabled("gone")])
def test_a_destination_that_judges_a_delivery_is_not_in_trouble(answer: Outcome) -> None:
    assert after(BUSY, BUSY, answer, BUSY, BUSY).open_until == 0


def test_a_delivery_that_failed_before_it_was_sent_says_nothing_of_the_destination() -> None:
    unsent, half_open = Failed("template_failed", "no such field"), Circuit(0, 60.0, NOW - 1)
    assert after(BUSY, BUSY, unsent, BUSY).open_until == NOW + 60
    assert after(unsent, circuit=half_open) == half_open


@given(st.lists(st.booleans(), max_size=12))
def test_each_failure_after_a_pause_doubles_it_up_to_the_longest_and_a_success_closes_it(successes: list[bool]) -> None:
    circuit, now, expected = after(BUSY, BUSY, BUSY), NOW, 60.0
    for success in successes:
        now = circuit.open_until
        if not circuit.is_half_open(now):
            break
        circuit = after_outcome(circuit, SETTINGS, Delivered() if success else BUSY, now)
        if success:
            assert not circuit.is_half_open(now)
            break
        expected = min(expected * 2, 200.0)
        assert (circuit.pause_seconds, circuit.open_until) == (expected, now + expected)


def test_a_pause_of_another_instance_is_learned_with_its_length_and_an_old_one_is_history() -> None:
    assert with_pause_of_ledger(Circuit(), SETTINGS, NOW + 120, NOW) == Circuit(0, 120.0, NOW + 120)
    assert with_pause_of_ledger(Circuit(), SETTINGS, NOW - 1, NOW).is_half_open(NOW)
    assert with_pause_of_ledger(Circuit(), SETTINGS, NOW - RECENT_SECONDS - 1, NOW) == Circuit()
    assert with_pause_of_ledger(Circuit(2), SETTINGS, None, NOW) == Circuit(2)


def breaking(*answers: Outcome) -> FakeNotifier:
    return FakeNotifier(FakeDestination(*answers), options=Options(breaker=SETTINGS, retry_seconds=(5.0,) * 20))


async def test_an_open_breaker_lets_deliveries_wait_and_no_attempt_counts() -> None:
    notifier = breaking(*[BUSY] * 3)
    outcomes = [(await notifier.take(a_delivery(number))).outcome for number in range(8)]
    assert outcomes == ["retry_scheduled"] * 3 + ["deferred"] * 5
    assert len(notifier.crm.attempts) == 3
    waiting = [row for row in await notifier.ledger.rows(10) if row.attempt_number == 0]
    assert len(waiting) == 5
    assert all(row.retry_at is not None and 60 <= row.retry_at - notifier.clock.now() <= 72 for row in waiting)
    notifier.start()
    assert (await notifier.take(a_delivery(8))).outcome == "deferred", "another instance knows of the pause"


async def test_while_one_is_tried_the_others_wait() -> None:
    notifier = breaking(*[BUSY] * 3)

    async def slow(*_: object) -> Outcome:
        others.append(await notifier.take(a_delivery(11)))
        return Delivered()

    others: list[object] = []
    for number in range(3):
        await notifier.take(a_delivery(number))
    notifier.clock.advance(61)
    notifier.crm.answers.append(slow)
    assert (await notifier.take(a_delivery(10))).outcome == "delivered"
    assert "another delivery is tried first" in str(others[0])
    assert (await notifier.take(a_delivery(12))).outcome == "delivered"


async def test_an_operator_who_resumes_the_destination_ends_the_pause_in_every_instance() -> None:
    notifier = breaking(*[BUSY] * 3)
    for number in range(3):
        await notifier.take(a_delivery(number))
    await notifier.ledger.release("crm", notifier.clock.now())
    notifier.clock.advance(CACHE_SECONDS + 1)
    assert (await notifier.take(a_delivery(4))).outcome == "delivered"


async def test_a_delivery_right_after_the_release_of_a_disabled_destination_is_tried_and_not_held() -> None:
    notifier = breaking(Disabled("gone"))
    assert [(await notifier.take(a_delivery(number))).outcome for number in range(2)] == ["held", "held"]
    await notifier.ledger.release("crm", notifier.clock.now())
    assert (await notifier.take(a_delivery(3))).outcome == "delivered"


async def test_a_receiver_that_accepts_a_delivery_and_wants_no_more_gets_that_one_only_once() -> None:
    notifier = breaking(Delivered("200", disable_reason="no more"))
    assert [(await notifier.take(a_delivery(number))).outcome for number in range(2)] == ["delivered", "held"]
    assert len(notifier.crm.attempts) == 1


HOUR = 3_600.0


async def waiting(count: int, **options: Unpack[Options]) -> FakeNotifier:
    """Deliveries to a destination that is paused for an hour once they wait for their second attempt."""
    options["retry_seconds"] = (300.0, 300.0)
    notifier = FakeNotifier(FakeDestination(*[BUSY] * count), options=options)
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


BREAKER = BreakerSettings(failures=5, pause_seconds=60.0, max_pause_seconds=200.0)


class Silent:
    """A destination that does not answer until it is let go."""

    def __init__(self) -> None:
        self.is_silent = True
        self.may_end = asyncio.Event()
        self.answer: Outcome = Delivered()

    async def __call__(self, delivery: Delivery, attempt: object) -> Outcome:
        if self.is_silent:
            await self.may_end.wait()
        return self.answer


class World:
    """Notify with a destination `crm` that can be silent, `quiet` that answers, and few places."""

    def __init__(self, max_delay_seconds: float = 900.0, **options: Unpack[Options]) -> None:
        self.silent = Silent()
        crm, others = FakeDestination(*[self.silent] * 1_000), {"quiet": FakeDestination()}
        bus = FakeBus(max_delay_seconds)
        self.notifier = FakeNotifier(crm, options=options, others=others, bus=bus, places=10)
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
    reason = "earlier deliveries to this destination use its whole share of the capacity"
    assert [(row.attempt_number, row.reason) for row in waiting] == [(0, reason)] * 2
    assert world.notifier.bus.on(DELIVERIES) == []
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


async def test_an_attempt_that_hangs_and_then_fails_counts_once() -> None:
    world = World(breaker=BREAKER)
    await world.learn()
    await world.begin(3)
    world.notifier.clock.advance(6)
    await world.begin(1, first=20)
    world.silent.answer = BUSY
    await world.let_go()
    assert (await world.notifier.ledger.destination_state("crm")).paused_until is None


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
    monkeypatch.setattr("shared.outgoing.gate.NEW_SECONDS", 0.01)
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


CRM = DeliveryOptions("crm", "fake", None, (5.0,), 15.0, "resend")


def delivery(number: int, customer: Json = None) -> Delivery:
    return Delivery(replace(EVENT, id=f"e{number}", data={"customer": {"id": customer}}), "route", "crm")


async def test_no_more_are_under_way_than_the_cap_and_an_instance_that_died_gives_its_places_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("functions.notify.waiting.caps.PATIENCE_SECONDS", 0.01)
    clock, grants = FakeClock(), FakeGrants()
    dead, other = Caps(lambda: grants, clock), Caps(lambda: grants, clock)
    settings = replace(CRM, in_flight=5)
    assert [await dead.enter(settings, delivery(number), 0.0) for number in range(5)] == [None] * 5
    for caps in (dead, other):
        assert await caps.enter(settings, delivery(6), 0.0) is not None
    clock.advance(settings.timeout_seconds)
    assert await other.enter(settings, delivery(7), 0.0) is not None, "the attempts of the dead may still be under way"
    clock.advance(60)
    assert [await other.enter(settings, delivery(number), 0.0) for number in range(10, 15)] == [None] * 5
    assert await other.enter(settings, delivery(15), 0.0) is not None
    await other.leave(delivery(10))
    assert await other.enter(settings, delivery(15), 0.0) is None


async def test_deliveries_over_the_cap_of_a_fast_receiver_return_in_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones came back after minutes, because an attempt was assumed to take a second."""
    monkeypatch.setattr("functions.notify.waiting.caps.PATIENCE_SECONDS", 0.01)
    clock = FakeClock()
    caps, settings = Caps(FakeGrants, clock), replace(CRM, in_flight=2)
    for number in range(2):
        assert await caps.enter(settings, delivery(number), 0.0) is None
    waits = [await caps.enter(settings, delivery(number), 0.0) for number in range(2, 102)]
    assert max(wait.until for wait in waits if wait) < clock.now() + 6


@pytest.mark.parametrize("seconds", [0.0, -60.0])
async def test_a_clock_that_is_set_back_during_an_attempt_stops_no_other_delivery(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.notify.waiting.caps.PATIENCE_SECONDS", 0.01)
    clock = FakeClock()
    caps, settings = Caps(FakeGrants, clock), replace(CRM, in_flight=1)
    assert await caps.enter(settings, delivery(0), 0.0) is None
    clock.advance(seconds)
    await caps.leave(delivery(0))
    assert await caps.enter(settings, delivery(1), 0.0) is None
    waits = [await caps.enter(settings, delivery(number), 0.0) for number in range(2, 5)]
    times = [wait.until for wait in waits if wait]
    assert len(times) == 3
    assert times == sorted(times)


async def test_a_store_of_grants_that_fails_is_temporary_and_leaves_no_place_taken() -> None:
    grants = FakeGrants()
    caps, settings = Caps(lambda: grants, FakeClock()), replace(CRM, rate=(10, 1.0), in_flight=1)
    grants.records.fault = "down"
    with pytest.raises(Temporary):
        await caps.enter(settings, delivery(1), 0.0)
    grants.records.fault = None
    assert await caps.enter(settings, delivery(2), 0.0) is None


@pytest.mark.parametrize("queued", [1, 6])
@pytest.mark.parametrize("rate", [(1, 1.0), (1, 5.0), (100, 1.0)])
async def test_a_clock_that_is_set_back_by_an_hour_makes_no_delivery_wait_for_longer(
    rate: tuple[int, float], queued: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demand grew beyond what a float holds, so that each delivery failed until the hour was over."""
    monkeypatch.setattr("functions.notify.waiting.caps.PATIENCE_SECONDS", 0.01)
    clock, grants = FakeClock(), FakeGrants()
    caps, settings = Caps(lambda: grants, clock), replace(CRM, rate=rate)
    for number in range(queued):
        await caps.enter(settings, delivery(number), 0.0)
    clock.advance(-3_600)
    closed = await caps.enter(settings, delivery(queued), 0.0)
    assert closed is None or closed.until <= clock.now() + (queued + 1) * rate[1] + 2


async def test_a_changed_rate_counts_for_new_deliveries_at_once_and_for_waiting_ones_when_they_come_back() -> None:
    clock, grants = FakeClock(), FakeGrants()
    caps = Caps(lambda: grants, clock)
    slow, fast = replace(CRM, rate=(20, 3_600.0)), replace(CRM, rate=(100, 1.0))
    assert await caps.enter(slow, delivery(0)) is None
    waits = [await caps.enter(slow, delivery(number)) for number in range(1, 4)]
    assert [wait and wait.until - clock.now() for wait in waits] == [180, 360, 540]

    assert await caps.enter(fast, delivery(4)) is None, "a faster rate has another queue"
    slower = replace(CRM, rate=(1, 3_600.0))
    clock.advance(180)
    assert await caps.enter(slower, delivery(5)) is None
    assert waits[0] is not None
    later = await caps.enter(slower, delivery(1), waits[0].until, waits[0].reason)
    assert later is not None, "its slot was one of the faster rate"
    assert later.until - clock.now() == 3_600
    assert await caps.enter(slow, delivery(1), waits[0].until, waits[0].reason) is None, "for its own rate it counts"


async def test_an_attempt_begins_only_in_a_place_whose_lease_outlasts_it() -> None:
    clock, grants = FakeClock(), FakeGrants()
    here, there = Caps(lambda: grants, clock), Caps(lambda: grants, clock)
    settings = replace(CRM, in_flight=1)
    assert await here.enter(settings, delivery(1), 0.0) is None
    await here.leave(delivery(1))
    clock.advance(16)
    assert await here.enter(settings, delivery(2), 0.0) is None
    clock.advance(settings.timeout_seconds + 4)
    assert await there.enter(settings, delivery(3), 0.0), "the second attempt may still be under way"


def test_an_expression_that_finds_no_text_or_number_shares_one_bucket() -> None:
    per = replace(CRM, rate=(1, 1.0), per="data.customer.id")
    keyless: list[Json] = [None, True, ["a"], {"a": 1}]
    shared = {bucket_name(per, delivery(1, key)) for key in keyless}
    own = [bucket_name(per, delivery(1, key)) for key in ("a", "b", "", 7, "ü" * 5_000, "\ud800")]

    assert shared == {"crm:"}
    assert len({*own, *shared}) == len(own) + 1
    assert bucket_name(per, delivery(1, 7)) == bucket_name(per, delivery(1, "7"))
    assert max(map(len, own)) < 50
    numbers: list[Json] = [int("9" * 4_300)] * 2
    assert bucket_name(replace(per, per="sum(data.customer.id)"), delivery(1, numbers)) == "crm:"
    assert bucket_name(replace(CRM, rate=(1, 1.0), per="max(data.customer.id)"), delivery(1, "a")) == "crm:"


def capped(crm: FakeDestination, **options: Unpack[Options]) -> FakeNotifier:
    others = {"other": FakeDestination()}
    return FakeNotifier(crm, options=options, others=others, bus=FakeBus(900))


async def test_a_delivery_over_the_rate_waits_without_an_attempt_and_no_other_destination_does() -> None:
    notifier = capped(FakeDestination(), rate=(20, 3_600.0))
    results = [await notifier.take(a_delivery(number)) for number in range(3)]

    assert [result.outcome for result in results] == ["delivered", "deferred", "deferred"]
    assert results[1].reason == "the `rate` allows 20 in 1 h: one delivery each 3 min"
    rows = {row.key: row for row in await notifier.ledger.rows(10)}
    waits = [round((rows[a_delivery(number).id].retry_at or 0) - notifier.clock.now()) for number in (1, 2)]
    assert waits == [180, 360]
    assert [rows[a_delivery(number).id].attempt_number for number in (1, 2)] == [0, 0]
    assert (await notifier.take(a_delivery(4, "other"))).outcome == "delivered"
    notifier.clock.advance(180)
    assert [result.outcome for result in await notifier.sweep_and_take()] == ["delivered"]
    assert len(notifier.crm.attempts) == 2
    assert notifier.crm.attempts[1].attempt_number == 1


async def test_a_delivery_that_waits_for_computations_loses_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    may_compute = iter([False, True])

    async def wait_to_compute(*_: object) -> bool:
        return next(may_compute)

    monkeypatch.setattr(ProcessGate, "wait_to_compute", wait_to_compute)
    notifier = capped(FakeDestination(), rate=(20, 3_600.0))
    assert (await notifier.take(a_delivery(0))).outcome == "deferred"
    notifier.clock.advance(10)
    assert [result.outcome for result in await notifier.sweep_and_take()] == ["delivered"]


async def test_a_delivery_that_succeeds_at_once_costs_two_writes_of_its_row_and_few_grants() -> None:
    notifier = capped(FakeDestination(), rate=(1_000, 1.0), in_flight=10)
    assert isinstance(notifier.ledger, FakeLedger)
    for number in range(100):
        assert (await notifier.take(a_delivery(number))).outcome == "delivered"
        notifier.clock.advance(1)

    assert notifier.ledger.writes == 200  # the claim and the outcome of each
    assert notifier.grants.records.writes <= 25


async def test_a_place_is_free_again_whatever_came_of_the_attempt() -> None:
    answers = RetryLater("busy there"), RuntimeError("broken"), Temporary("secret_unavailable", "down")
    notifier = capped(FakeDestination(*answers), in_flight=1)
    assert [(await notifier.take(a_delivery(number))).outcome for number in range(2)] == [
        "retry_scheduled",
        "dead_lettered",
    ]
    with pytest.raises(Temporary):
        await notifier.take(a_delivery(2))

    assert (await notifier.take(a_delivery(3))).outcome == "delivered"
