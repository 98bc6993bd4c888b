"""The pace of a sweep: its pure decisions, and what a destination gets that comes back after an outage."""

from collections import Counter
from collections.abc import Sequence

import pytest

from functions.notify.waiting import sweep
from functions.notify.waiting.sweep import MAX_PER_SECOND, Sweeper
from shared.delivery import RetryLater
from shared.ledger import LedgerRow
from shared.ports import DELIVERIES, BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination, FakeDestinations
from tests.fakes.notifier import FakeNotifier, a_delivery

NOW = 1_790_000_000.0


def a_row(number: int, destination: str = "crm") -> LedgerRow:
    return LedgerRow(f"k{number}", "e", "r", destination, "retry_scheduled", 1, 0, 1, NOW, "", "", NOW, NOW, b"")


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
    assert max(seconds.values()) <= MAX_PER_SECOND
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
