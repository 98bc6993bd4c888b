"""Caps: the rate and the limit of attempts under way, over all instances, and what waits for them."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from functions.notify.registry import Configured
from functions.notify.waiting.caps import Caps, bucket_name
from shared.delivery import Delivery, RetryLater
from shared.errors import Temporary
from shared.jsontext import Json
from shared.ledger import LedgerRow
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.grants import FakeGrants
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier, a_delivery

CRM = Configured("crm", "fake", None, (5.0,), 15.0, "resend")


def delivery(number: int, customer: Json = None) -> Delivery:
    return Delivery(replace(EVENT, id=f"e{number}", data={"customer": {"id": customer}}), "route", "crm")


def configured(
    rate: tuple[int, float] | None = None, in_flight: int | None = None, per: str | None = None
) -> Configured:
    return replace(CRM, rate=rate, in_flight=in_flight, per=per)


async def test_no_more_are_under_way_than_the_cap_and_an_instance_that_died_gives_its_places_back() -> None:
    clock, grants = FakeClock(), FakeGrants()
    dead, other = Caps(lambda: grants, clock), Caps(lambda: grants, clock)
    settings = configured(in_flight=5)
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


async def test_a_store_of_grants_that_fails_is_temporary_and_leaves_no_place_taken() -> None:
    grants = FakeGrants()
    caps, settings = Caps(lambda: grants, FakeClock()), configured((10, 1.0), in_flight=1)
    grants.records.fault = "down"
    with pytest.raises(Temporary):
        await caps.enter(settings, delivery(1), 0.0)
    grants.records.fault = None
    assert await caps.enter(settings, delivery(2), 0.0) is None


@pytest.mark.parametrize("rate", [(1, 1.0), (100, 1.0)])
async def test_a_clock_that_is_set_back_by_an_hour_makes_no_delivery_wait_for_longer(rate: tuple[int, float]) -> None:
    """The demand grew beyond what a float holds, so that each delivery failed until the hour was over."""
    clock = FakeClock()
    caps, settings = Caps(FakeGrants, clock), configured(rate=rate)
    assert await caps.enter(settings, delivery(1), 0.0) is None
    back_at = clock.now()
    clock.advance(-3_600)
    closed = await caps.enter(settings, delivery(2), 0.0)
    assert closed is None or closed.until <= back_at + 2


async def test_an_attempt_begins_only_in_a_place_whose_lease_outlasts_it() -> None:
    clock, grants = FakeClock(), FakeGrants()
    here, there = Caps(lambda: grants, clock), Caps(lambda: grants, clock)
    settings = configured(in_flight=1)
    assert await here.enter(settings, delivery(1), 0.0) is None
    await here.leave(delivery(1))
    clock.advance(16)
    assert await here.enter(settings, delivery(2), 0.0) is None
    clock.advance(settings.timeout_seconds + 4)
    assert await there.enter(settings, delivery(3), 0.0), "the second attempt may still be under way"


def test_an_expression_that_finds_no_text_or_number_shares_one_bucket() -> None:
    per = configured((1, 1.0), per="data.customer.id")
    keyless: list[Json] = [None, True, ["a"], {"a": 1}]
    shared = {bucket_name(per, delivery(1, key)) for key in keyless}
    own = [bucket_name(per, delivery(1, key)) for key in ("a", "b", "", 7, "ü" * 5_000, "\ud800")]

    assert shared == {"crm:"}
    assert len({*own, *shared}) == len(own) + 1
    assert bucket_name(per, delivery(1, 7)) == bucket_name(per, delivery(1, "7"))
    assert max(map(len, own)) < 50
    assert bucket_name(configured((1, 1.0), per="max(data.customer.id)"), delivery(1, "a")) == "crm:"


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
