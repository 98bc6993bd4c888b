"""Pauses of destinations: circuit breakers, and what the sweep moves to the end of a pause."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.history.destinations import NOTICE_SECONDS, resume_destination
from functions.notify.registry import CACHE_SECONDS
from functions.notify.waiting.pauses import RECENT_SECONDS, after_outcome, with_pause_of_ledger
from shared.delivery import Delivered, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Temporary
from shared.ledger import DestinationState, Ledger, Move
from shared.outgoing.circuit import BreakerSettings, Circuit
from shared.ports import DELIVERIES
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import FakeNotifier, a_delivery

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


def test_what_was_under_way_when_it_opened_neither_closes_nor_prolongs_it() -> None:
    opened = after(BUSY, BUSY, BUSY)
    assert after(BUSY, Delivered(), circuit=opened) == opened


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


class CountingLedger(FakeLedger):
    """Counts the states that are read and written."""

    reads = 0
    writes = 0

    async def destination_state(self, destination: str):  # type: ignore[no-untyped-def]
        self.reads += 1
        return await super().destination_state(destination)

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        self.writes += 1
        reads = self.reads
        await super().pause(destination, until, now, reason)
        self.reads = reads  # the fake reads its own table


def breaking(*answers: Outcome, ledger: Ledger | None = None) -> FakeNotifier:
    crm = FakeDestination(*answers)
    destinations = FakeDestinations({"crm": crm}, retry_seconds=(5.0,) * 20, options={"crm": Options(breaker=SETTINGS)})
    return FakeNotifier(crm, destinations, ledger or FakeLedger())


async def test_an_open_breaker_lets_deliveries_wait_and_no_attempt_counts() -> None:
    notifier = breaking(*[BUSY] * 3)
    outcomes = [(await notifier.take(a_delivery(number))).outcome for number in range(8)]
    assert outcomes == ["retry_scheduled"] * 3 + ["deferred"] * 5
    assert len(notifier.crm.attempts) == 3
    waiting = [row for row in await notifier.ledger.rows(10) if row.attempt_number == 0]
    assert len(waiting) == 5
    assert all(row.retry_at is not None and 60 <= row.retry_at - notifier.clock.now() <= 72 for row in waiting)


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


async def test_another_instance_knows_that_it_is_open() -> None:
    notifier = breaking(*[BUSY] * 3)
    for number in range(3):
        await notifier.take(a_delivery(number))
    notifier.start()
    await notifier.take(a_delivery(4))
    assert len(notifier.crm.attempts) == 3


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


async def test_a_destination_whose_breaker_is_off_is_always_tried() -> None:
    crm = FakeDestination(*[BUSY] * 20)
    notifier = FakeNotifier(crm)
    for number in range(20):
        await notifier.take(a_delivery(number))
    assert len(crm.attempts) == 20


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
