"""A ledger that is throttled for a while: what exists already is written once it answers, and is not sent again."""

import pytest

from functions.notify.destination import Attempt
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Temporary
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import DELIVERY, FakeNotifier


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


async def test_an_attempt_that_sent_nothing_does_not_count_though_the_ledger_was_throttled() -> None:
    notifier = throttled(Temporary("secret_unavailable", "down"), 1.2)
    with pytest.raises(Temporary):
        await notifier.take()
    assert (await notifier.take()).outcome == "delivered"
    row = await notifier.row()
    assert (row.attempt_number, row.crashes) == (1, 0)


async def test_what_only_begins_gives_up_at_once() -> None:
    ledger = ThrottledLedger(1.2)
    ledger.throttle()
    began = ledger.clock.now()
    notifier = FakeNotifier(ledger=ledger, clock=ledger.clock)
    with pytest.raises(Temporary):
        await notifier.take(DELIVERY)
    assert ledger.clock.now() == began
