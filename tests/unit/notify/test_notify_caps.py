"""Notify with caps: a delivery that has to wait, waits without an attempt."""

from collections.abc import Callable

import pytest

from functions.notify.registry import Configured
from shared.delivery import RetryLater
from shared.errors import Temporary
from shared.ledger import LedgerRow
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import FakeNotifier, a_delivery


class CountingLedger(FakeLedger):
    """Counts the writes of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0

    async def _change(self, key: str, rule: Callable[[LedgerRow], LedgerRow | None]) -> LedgerRow | None:
        self.changes += 1
        return await super()._change(key, rule)


def capped(crm: FakeDestination, **options: object) -> FakeNotifier:
    destinations = FakeDestinations({"crm": crm, "other": FakeDestination()}, options={"crm": Options(**options)})  # type: ignore[typeddict-item]
    return FakeNotifier(crm, destinations, ledger=CountingLedger(), bus=FakeBus(900))


async def test_a_delivery_over_the_rate_waits_without_an_attempt_and_no_other_destination_does() -> None:
    notifier = capped(FakeDestination(), rate=(20, 3_600.0))
    results = [await notifier.take(a_delivery(number)) for number in range(3)]

    assert [result.outcome for result in results] == ["delivered", "deferred", "deferred"]
    assert results[1].reason == "the `rate` allows one delivery each 3 min"
    rows = {row.key: row for row in await notifier.ledger.rows(10)}
    waits = [round((rows[a_delivery(number).id].retry_at or 0) - notifier.clock.now()) for number in (1, 2)]
    assert waits == [180, 360]
    assert [rows[a_delivery(number).id].attempt_number for number in (1, 2)] == [0, 0]
    assert (await notifier.take(a_delivery(4, "other"))).outcome == "delivered"
    notifier.clock.advance(180)
    assert [result.outcome for result in await notifier.sweep_and_take()] == ["delivered"]
    assert len(notifier.crm.attempts) == 2
    assert notifier.crm.attempts[1].attempt_number == 1


async def test_a_delivery_that_succeeds_at_once_costs_two_writes_of_its_row_and_few_grants() -> None:
    notifier = capped(FakeDestination(), rate=(1_000, 1.0), in_flight=10)
    ledger = notifier.ledger
    assert isinstance(ledger, CountingLedger)
    for number in range(100):
        assert (await notifier.take(a_delivery(number))).outcome == "delivered"
        notifier.clock.advance(1)

    assert ledger.changes == 100  # besides the claims, each of which is one
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


async def test_grants_that_cannot_be_had_give_the_claim_back() -> None:
    notifier = capped(FakeDestination(), rate=(10, 1.0))
    notifier.grants.records.fault = "down"
    with pytest.raises(Temporary) as error:
        await notifier.take()
    assert error.value.code == "grants_unavailable"
    notifier.grants.records.fault = None

    assert (await notifier.take()).outcome == "delivered"
    assert notifier.crm.attempts[0].attempt_number == 1


def test_a_destination_without_caps_is_configured_without_them() -> None:
    plain = Configured("crm", "fake", None, (5.0,), 15.0, "resend")
    assert (plain.rate, plain.in_flight, plain.per) == (None, None, None)
