"""Attempts without an answer or a record, and outcomes that are written while the ledger fails."""

import asyncio
import time
from dataclasses import replace

import pytest

from functions.notify.claims import LEASE_MARGIN_SECONDS
from functions.notify.destination import Attempt
from functions.notify.notifier import Acknowledged, Nacked, Result
from functions.notify.notify import notify
from functions.notify.waiting.pauses import Breakers
from shared.cloud.platform import SystemClock
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Temporary, Unanswered
from shared.outgoing.gate import ALONE_SECONDS, ComeBack, ProcessGate
from shared.outgoing.loop_time import LoopTime
from shared.ports import DELIVERIES
from shared.push import Push
from shared.time_bound import bounded
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import DELIVERY, FakeNotifier, a_delivery, message_of
from tests.fakes.virtual_time import run

LEASE = 15.0 + LEASE_MARGIN_SECONDS


async def test_between_attempts_that_compute_the_process_reads_the_answers_to_others() -> None:
    longest_seconds = 0.0

    async def compute(delivery: Delivery, attempt: Attempt) -> Outcome:
        with bounded():
            time.sleep(0.06)
        await asyncio.sleep(0.3)  # for the answer
        return Delivered()

    async def watch() -> None:
        nonlocal longest_seconds
        while True:
            began_at = time.monotonic()
            await asyncio.sleep(0)
            longest_seconds = max(longest_seconds, time.monotonic() - began_at)

    notifier = FakeNotifier(FakeDestination(*[compute] * 15))
    clock = SystemClock()
    gate = ProcessGate(clock.now, 40, 40, LoopTime(clock.now))
    notifier.parts = replace(notifier.parts, gate=gate, breakers=Breakers(notifier.parts.states, notifier.clock, gate))
    watching = asyncio.create_task(watch())
    results = await asyncio.gather(*[notifier.take(a_delivery(number)) for number in range(15)])
    watching.cancel()
    assert {result.outcome for result in results} == {"delivered"}
    assert longest_seconds < 0.3, "they compute for 0.9 s"


# What nobody knows


def test_an_attempt_without_an_answer_is_cancelled_and_its_outcome_is_unknown() -> None:
    cancelled = asyncio.Event()

    async def silent(delivery: Delivery, attempt: Attempt) -> Outcome:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Delivered()

    notifier = FakeNotifier(FakeDestination(silent))
    assert run(notifier.take()).outcome == "unknown"
    assert cancelled.is_set()
    assert [entry.outcome for entry in notifier.journal.attempts] == ["unknown"]


RETRIES = Options(retry_seconds=(5.0, 60.0, 300.0, 1_800.0))


async def attempts_of(notifier: FakeNotifier) -> tuple[list[float], Result]:
    """Take the delivery to its end, each time in a process that has just started; the waits, and the last result."""
    waits: list[float] = []
    result = await notifier.take()
    while (row := await notifier.row()).state == "retry_scheduled":
        assert row.retry_at is not None
        waits.append(row.retry_at - notifier.clock.now())
        notifier.clock.advance(waits[-1])
        notifier.start()
        (result,) = await notifier.sweep_and_take()
    return waits, result


async def test_a_destination_that_answers_too_late_gets_three_attempts_minutes_apart_and_then_a_dead_letter() -> None:
    crm = FakeDestination(*[TimeoutError()] * 11)
    notifier = FakeNotifier(crm, options=RETRIES)
    waits, last = await attempts_of(notifier)
    assert len(crm.attempts) == 3
    assert [wait // 300 for wait in waits] == [1, 2]
    assert (type(last), last.outcome, last.code) == (Acknowledged, "dead_lettered", "outcome_unknown")
    (letter,) = notifier.dead_letters
    assert b"accepted or not: unknown" in letter.data
    assert [entry.outcome for entry in notifier.journal.attempts] == ["unknown"] * 3


async def test_a_destination_that_recognises_a_repeat_gets_its_whole_schedule() -> None:
    crm = FakeDestination(*[TimeoutError()] * 11, dedupes_repeats=True)
    notifier = FakeNotifier(crm, options=RETRIES)
    waits, last = await attempts_of(notifier)
    assert len(crm.attempts) == 5
    assert {attempt.idempotency_key for attempt in crm.attempts} == {DELIVERY.id}
    assert waits[0] >= 300
    assert waits == sorted(waits)
    assert last.code == "retries_exhausted"
    assert "accepted or not: unknown" in (last.reason or "")


async def test_an_answer_ends_the_count_of_unknown_attempts() -> None:
    silent, busy = TimeoutError(), RetryLater("busy there")
    notifier = FakeNotifier(FakeDestination(silent, silent, busy, silent, Delivered()), options=RETRIES)
    _, last = await attempts_of(notifier)
    assert (last.outcome, last.attempt_number) == ("delivered", 5)


async def test_a_dead_letter_that_cannot_be_published_causes_no_fourth_attempt() -> None:
    crm = FakeDestination(*[TimeoutError()] * 11)
    notifier = FakeNotifier(crm, options=RETRIES)
    await notifier.take()
    notifier.clock.advance(400)
    await notifier.sweep_and_take()
    notifier.clock.advance(700)
    await notifier.sweep()
    notifier.bus.fault = "down"
    with pytest.raises(Temporary):
        await notifier.take_message(notifier.bus.on(DELIVERIES)[-1])
    notifier.bus.fault = None
    notifier.clock.advance(LEASE)
    assert (await notifier.take()).code == "outcome_unknown"
    assert len(crm.attempts) == 3


async def test_a_request_that_was_sent_by_fetch_and_got_no_answer_is_unknown() -> None:
    notifier = FakeNotifier(FakeDestination(Unanswered("host_unreachable", "example.com did not answer within 15 s")))
    assert (await notifier.take()).outcome == "unknown"


async def crash(notifier: FakeNotifier) -> None:
    """The worker dies within its attempt."""
    with pytest.raises(KeyboardInterrupt):
        await notifier.take()
    notifier.start()


async def test_a_delivery_is_its_workers_for_as_long_as_its_destination_may_take_and_thirty_seconds() -> None:
    notifier = FakeNotifier(
        FakeDestination(KeyboardInterrupt()), options=Options(timeout_seconds=240.0), is_on_lambda=True
    )
    await crash(notifier)
    notifier.clock.advance(240.0 + LEASE_MARGIN_SECONDS - 1)
    assert (await notifier.take()).outcome == "busy"
    notifier.clock.advance(1)
    assert (await notifier.take()).outcome == "delivered"


class YieldingClock(FakeClock):
    """A clock on which one task that sleeps lets the others go on."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        await asyncio.sleep(0)


async def take_copies(count: int, is_elsewhere: bool = False, is_on_lambda: bool = False) -> list[tuple[bool, str]]:
    """Take a message so many times at once. Return for each time whether it was acknowledged, and the outcome."""

    async def slow(delivery: Delivery, attempt: Attempt) -> Outcome:
        for _ in range(3):
            await asyncio.sleep(0)
        return Delivered()

    crm, clock, ledger = FakeDestination(slow), YieldingClock(), FakeLedger()
    first, second = (
        FakeNotifier(crm, ledger=ledger, clock=clock, places=10, is_on_lambda=is_on_lambda) for _ in range(2)
    )
    copies = [(second if is_elsewhere else first).take() for _ in range(count - 1)]
    results = await asyncio.gather(first.take(), *copies)
    assert len(crm.attempts) == 1
    return [(isinstance(each, Acknowledged), each.outcome) for each in results]


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_a_copy_of_a_message_waits_until_the_first_is_done_and_is_acknowledged(is_elsewhere: bool) -> None:
    assert await take_copies(2, is_elsewhere) == [(True, "delivered"), (True, "finished")]


async def test_a_copy_comes_again_on_aws_and_where_a_fifth_of_the_places_wait_already() -> None:
    assert await take_copies(2, is_on_lambda=True) == [(True, "delivered"), (False, "busy")]
    results = await take_copies(6)
    assert results == [(True, "delivered"), *[(True, "finished")] * 2, *[(False, "busy")] * 3]


@pytest.mark.parametrize("is_elsewhere", [False, True])
@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({}, "duplicate"),
        ({"payloadhash": "b" * 64}, "dead_lettered"),
        ({"payloadhash": "b" * 64, "recovered": "true"}, "duplicate"),
        ({"replay": "r1", "force": "true"}, None),
    ],
    ids=["the same", "another body", "as its API writes it", "a replay"],
)
async def test_what_a_sender_repeats_meanwhile_is_acknowledged_at_once(
    more: dict[str, str], outcome: str | None, is_elsewhere: bool
) -> None:
    is_over = asyncio.Event()

    async def slow(delivery: Delivery, attempt: Attempt) -> Outcome:
        await is_over.wait()
        return Delivered()

    crm, ledger = FakeDestination(slow), FakeLedger()
    first, second = (FakeNotifier(crm, ledger=ledger, places=10) for _ in range(2))
    other = second if is_elsewhere else first

    async def sleep(_: float) -> None:
        await is_over.wait()

    other.parts = replace(other.parts, sleep=sleep)

    def take(
        notifier: FakeNotifier, message_id: str, payloadhash: str = "", recovered: str = "", **attributes: str
    ) -> asyncio.Task[Result]:
        payloadhash = payloadhash or DELIVERY.event.payloadhash
        event = replace(DELIVERY.event, payloadhash=payloadhash, recovered=bool(recovered))
        data = message_of(replace(DELIVERY, event=event), notifier.clock.now())
        return asyncio.create_task(notify(Push(data, attributes, message_id), notifier.parts))

    tasks = [take(first, "1")]
    await asyncio.sleep(0.01)
    if is_elsewhere:
        tasks.append(take(second, "2"))  # waits for the other process
        await asyncio.sleep(0.01)
    copies = [take(other, str(number), **more) for number in range(3, 20)]
    await asyncio.sleep(0.01)
    results = [copy.result() for copy in copies if copy.done()]
    acknowledged = [each.outcome for each in results if isinstance(each, Acknowledged)]
    assert acknowledged == ([outcome] * len(copies) if outcome else [])
    is_over.set()
    await asyncio.gather(*tasks, *copies)
    assert len(crm.attempts) == (2 if "replay" in more else 1)


def test_a_copy_comes_again_in_time_though_each_look_waits_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def enter_late(*_: object) -> ComeBack:
        await asyncio.sleep(ALONE_SECONDS)
        return ComeBack(0.0, "healthy")

    async def seconds_of_a_copy() -> float:
        notifier = FakeNotifier(FakeDestination(KeyboardInterrupt()))
        await crash(notifier)
        monkeypatch.setattr(notifier.parts.gate, "enter", enter_late)
        assert (await notifier.take()).outcome == "busy"
        return asyncio.get_running_loop().time()

    assert run(seconds_of_a_copy()) == 2 * ALONE_SECONDS


async def test_where_a_resend_would_harm_a_worker_that_died_leaves_its_delivery_held() -> None:
    notifier = FakeNotifier(FakeDestination(KeyboardInterrupt()), options=Options(on_unknown="hold"))
    await crash(notifier)
    notifier.clock.advance(LEASE)
    assert (await notifier.take()).outcome == "held"
    assert len(notifier.crm.attempts) == 1


async def test_a_late_worker_records_nothing_and_is_not_acknowledged() -> None:
    async def slow(delivery: Delivery, attempt: Attempt) -> Outcome:
        notifier.clock.advance(2 * LEASE)
        notifier.start()
        assert (await notifier.take()).outcome == "delivered"
        return RetryLater("too late to matter")

    notifier = FakeNotifier(FakeDestination(slow))
    late = await notifier.take()
    assert (type(late), late.outcome) == (Nacked, "lease_expired")
    assert (await notifier.row()).state == "delivered"


async def test_a_clock_that_is_set_ahead_during_an_attempt_leads_to_no_second_one() -> None:
    async def slow(delivery: Delivery, attempt: Attempt) -> Outcome:
        notifier.clock.advance(3_600.0)
        again = await notifier.take()
        assert (type(again), again.outcome) == (Nacked, "busy")
        return Delivered()

    notifier = FakeNotifier(FakeDestination(slow))
    assert (await notifier.take()).outcome == "delivered"
    assert len(notifier.crm.attempts) == 1


LEASE_IS_OVER = 60.0
POISON = a_delivery(1)
PEERS = (a_delivery(0), a_delivery(2))


class Fragile:
    """Ends its worker over the poison, while whatever else is being attempted has no answer yet."""

    dedupes_repeats = False

    def __init__(self) -> None:
        self.crashed = asyncio.Event()

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        if delivery == POISON:
            self.crashed.set()
        for _ in range(100):
            await asyncio.sleep(0)
        return Delivered("202")


async def one_life(notifier: FakeNotifier, fragile: Fragile) -> None:
    """A new worker takes all three at once, until it has finished or crashed."""
    notifier.clock.advance(LEASE_IS_OVER)
    notifier.start()
    fragile.crashed.clear()
    tasks = [asyncio.create_task(notifier.take(delivery)) for delivery in (PEERS[0], POISON, PEERS[1])]
    crash = asyncio.create_task(fragile.crashed.wait())
    finished = asyncio.create_task(asyncio.wait(tasks))
    await asyncio.wait({finished, crash}, return_when=asyncio.FIRST_COMPLETED)
    everything: list[asyncio.Task[object]] = [*tasks, finished, crash]
    for task in everything:
        task.cancel()
    await asyncio.wait(everything)  # all at once, as a process ends


async def test_the_poison_is_given_up_on_after_three_attempts_and_its_peers_are_delivered() -> None:
    fragile = Fragile()
    notifier = FakeNotifier(destinations=FakeDestinations({"crm": fragile}))
    for _ in range(4):
        await one_life(notifier, fragile)
    rows = {row.event_id: row for row in await notifier.ledger.rows(10)}
    assert {name: row.state for name, row in rows.items()} == {
        "e0": "delivered",
        "e1": "dead_lettered",
        "e2": "delivered",
    }
    assert (rows["e1"].attempt_number, rows["e1"].reason) == (
        3,
        "crashed: 3 attempts in a row ended without a record; accepted or not: unknown",
    )


class ThrottledLedger(FakeLedger):
    """Throttled for `burst` seconds from the next attempt on."""

    def __init__(self, burst: float) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.burst = burst
        self.until = 0.0

    def throttle(self) -> None:
        self.until = self.clock.now() + self.burst

    def _fail_if_faulty(self) -> None:
        if self.clock.now() < self.until:
            raise Temporary("ledger_unavailable", "throttled")


def throttled(outcome: Outcome | BaseException, burst: float) -> FakeNotifier:
    ledger = ThrottledLedger(burst)

    async def answer(delivery: Delivery, attempt: Attempt) -> Outcome:
        ledger.throttle()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return FakeNotifier(FakeDestination(answer), ledger=ledger, clock=ledger.clock)


@pytest.mark.parametrize("burst", [1.2, 20.0])
@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Delivered("202"), "delivered"),
        (RetryLater("503", pause_destination_seconds=60.0), "retry_scheduled"),
        (Unknown("no answer"), "retry_scheduled"),
        (Failed("mail_rejected", "no such list"), "dead_lettered"),
        (Disabled("the password is wrong"), "held"),
    ],
)
async def test_an_outcome_is_recorded_once_the_ledger_answers_again(outcome: Outcome, state: str, burst: float) -> None:
    notifier = throttled(outcome, burst)
    assert (await notifier.take()).attempt_number == 1
    row = await notifier.row()
    assert (row.state, row.crashes, len(row.attempts)) == (state, 0, 1)
    await notifier.take()  # the bus brings it again
    assert len(notifier.crm.attempts) == 1


async def test_it_is_given_up_shortly_before_the_lease_ends() -> None:
    notifier = throttled(Delivered("202"), 3_600.0)
    began = notifier.clock.now()
    with pytest.raises(Temporary):
        await notifier.take()
    assert 38.0 <= notifier.clock.now() - began < 45.0  # the lease is the timeout of 15 s and 30 s
