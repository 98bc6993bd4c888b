"""Ten thousand events in a minute, and a weekend without a mail server: few digests, and all are counted."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random

import pytest

from functions.notify.destination import Attempt
from functions.notify.digests.settings import Digest, GatherSettings, QuietHours
from functions.notify.waiting.schedule import DIGEST_RETRY_SECONDS
from shared.delivery import Delivered, Delivery, Outcome, RetryLater
from shared.errors import Temporary
from shared.ledger import Move
from shared.times import rfc3339
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier

QUARTER = GatherSettings(digest=Digest(900.0, None), line="{{ data.number }}")


class CountingLedger(FakeLedger):
    def __init__(self) -> None:
        super().__init__()
        self.moved = 0

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | Temporary | None]:
        self.moved += len(moves)
        return await super().postpone_all(moves, now)


def notifier_of(crm: FakeDestination, gather: GatherSettings, start: float, **options: object) -> FakeNotifier:
    own = Options(gather=gather)
    own.update(options)  # type: ignore[typeddict-item] # a test's own
    waits = tuple(map(float, DIGEST_RETRY_SECONDS))
    made = FakeNotifier(
        crm, FakeDestinations({"crm": crm}, retry_seconds=waits, options={"crm": own}), ledger=CountingLedger()
    )
    made.clock.time = start
    return made


async def send(notifier: FakeNotifier, number: int) -> None:
    received = rfc3339(notifier.clock.now())
    await notifier.take(
        Delivery(replace(EVENT, id=f"{number:032x}", data={"number": number}, receivedat=received), "r", "crm")
    )


async def pass_minutes(notifier: FakeNotifier, minutes: int, at_once: int = 1) -> None:
    for _ in range(0, minutes, at_once):
        notifier.clock.advance(60.0 * at_once)
        await notifier.sweep_and_take()


@pytest.mark.slow
async def test_ten_thousand_events_in_a_minute_are_in_five_digests_at_most() -> None:
    crm = FakeDestination()
    notifier = notifier_of(crm, QUARTER, 1_790_000_100.0 - 20.0)  # a digest is due meanwhile
    for number in range(10_000):
        notifier.clock.advance(0.006)
        await send(notifier, number)
        if number % 5_000 == 4_999:
            await notifier.sweep_and_take()
    await pass_minutes(notifier, 40)
    counts = {delivery.id: delivery.merged for delivery in crm.delivered}
    assert len(counts) <= 5
    assert sum(counts.values()) == 10_000
    assert isinstance(notifier.ledger, FakeLedger)
    digests = {delivery.event.id for delivery in crm.delivered}
    members = [row for row in notifier.ledger.table.values() if row.state == "merged"]
    assert len(members) == 10_000
    assert {row.group for row in members} == digests


async def test_a_burst_over_a_rate_is_in_few_digests() -> None:
    crm = FakeDestination()
    notifier = notifier_of(crm, GatherSettings(is_rated=True), 1_790_000_100.0, rate=(20, 3_600.0))
    for number in range(2_000):
        notifier.clock.advance(0.03)
        await send(notifier, number)
    await pass_minutes(notifier, 30)
    assert sum(max(1, delivery.merged) for delivery in crm.delivered) == 2_000
    assert len({delivery.id for delivery in crm.delivered}) <= 5


async def test_a_weekend_without_a_mail_server_ends_in_few_digests_soon_after_it_is_back() -> None:
    friday = datetime(2026, 10, 23, 16, tzinfo=UTC).timestamp()  # the clocks are set back on Sunday
    back_at = datetime(2026, 10, 26, 6, 30, tzinfo=UTC).timestamp()

    class Server(FakeDestination):
        async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
            up = attempt.now >= back_at
            self.answers = [Delivered("250") if up else RetryLater("connection refused", 60.0)]
            return await super().attempt(delivery, attempt)

    server = Server()
    night = QuietHours(22 * 60, 7 * 60, "Europe/Berlin")
    notifier = notifier_of(server, QUARTER._replace(quiet_hours=night), friday)
    random, sent = Random(7), 0
    while notifier.clock.now() < back_at + 2 * 3_600:
        if random.random() < 0.3 and notifier.clock.now() < back_at:
            await send(notifier, sent)
            sent += 1
        await pass_minutes(notifier, 3, at_once=3)
    counts = {delivery.id: delivery.merged for delivery in server.delivered}
    assert sent > 300
    assert sum(counts.values()) == sent
    assert len(counts) <= 3
    assert isinstance(notifier.ledger, CountingLedger)
    assert notifier.ledger.moved < 60 * sent  # once an hour, and not each minute
