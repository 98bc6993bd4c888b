"""Caps: the rate and the limit of attempts under way, over all instances, and what waits for them."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import pytest

from functions.notify.registry import Configured
from functions.notify.waiting import caps as caps_module
from functions.notify.waiting.caps import Caps, bucket_name
from shared.delivery import Delivery, RetryLater
from shared.errors import Temporary
from shared.jsontext import Json
from shared.ledger import LedgerRow
from shared.time_bound import bounded
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.grants import FakeGrants
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier, a_delivery
from tests.fakes.virtual_time import VirtualLoop, run

CRM = Configured("crm", "fake", None, (5.0,), 15.0, "resend")


def delivery(number: int, customer: Json = None) -> Delivery:
    return Delivery(replace(EVENT, id=f"e{number}", data={"customer": {"id": customer}}), "route", "crm")


def configured(
    rate: tuple[int, float] | None = None, in_flight: int | None = None, per: str | None = None
) -> Configured:
    return replace(CRM, rate=rate, in_flight=in_flight, per=per)


@dataclass
class World:
    """Instances of notify, and a bus that brings a delivery to any of them, and later again where it has to wait.

    `lag`: how late a delivery comes back, at most.
    """

    configured: Configured
    instances: int = 1
    seconds_of_an_attempt: float = 0.1
    lag: float = 1.0
    grants: FakeGrants = field(default_factory=FakeGrants)
    begun: list[tuple[float, Delivery]] = field(default_factory=list)
    waits: Counter[str] = field(default_factory=Counter)
    under_way: int = 0
    most_under_way: int = 0

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.clock = loop
        self.start = loop.now()
        self.random = random.Random(7)
        self.caps = [Caps(lambda: self.grants, loop) for _ in range(self.instances)]

    async def deliver(self, delivery: Delivery, at: float = 0.0) -> None:
        await asyncio.sleep(at)
        slot_at = 0.0
        while True:
            caps = self.random.choice(self.caps)
            closed = await caps.enter(self.configured, delivery, slot_at)
            if closed is None:
                break
            self.waits[delivery.id] += 1
            assert closed.until > self.clock.now()
            slot_at = closed.until if closed.has_slot else 0.0
            await asyncio.sleep(closed.until - self.clock.now() + self.random.random() * self.lag)
        self.begun.append((self.clock.now() - self.start, delivery))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(self.seconds_of_an_attempt)
        self.under_way -= 1
        await caps.leave(delivery)

    async def deliver_all(self, deliveries: list[tuple[Delivery, float]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for each, at in deliveries:
                tasks.create_task(self.deliver(each, at))

    def most_in(self, seconds: float) -> int:
        """Return the largest number that began within so many seconds."""
        times = sorted(at for at, _ in self.begun)
        return max(sum(1 for at in times[first:] if at < begin + seconds) for first, begin in enumerate(times))

    @property
    def end(self) -> float:
        return max(at for at, _ in self.begun)


Simulated = Callable[[], Awaitable[World]]


def simulated(simulate: Simulated) -> World:
    async def main() -> World:
        return await simulate()

    return run(main())


@pytest.mark.parametrize(
    ("rate", "count"), [((10, 1.0), 600), ((100, 1.0), 3_000), ((100, 60.0), 400), ((20, 3_600.0), 60)]
)
@pytest.mark.parametrize("instances", [1, 5, 20])
def test_a_flood_over_all_instances_keeps_the_rate(rate: tuple[int, float], count: int, instances: int) -> None:
    async def flood() -> World:
        world = World(configured(rate), instances)
        await world.deliver_all([(delivery(n), world.random.random() * 5) for n in range(count)])
        return world

    world = simulated(flood)
    per_second = rate[0] / rate[1]
    window = max(10.0, 30 / per_second)
    assert len(world.begun) == count
    assert world.most_in(window) <= 1.2 * per_second * window + 1
    assert world.end <= 1.2 * count / per_second + 10  # nor is it much slower than the rate allows
    assert sum(world.waits.values()) <= 1.1 * count  # each comes back once, at its slot


@pytest.mark.parametrize("instances", [1, 10])
def test_what_is_within_the_rate_hardly_waits_and_costs_few_grants(instances: int) -> None:
    async def stream() -> World:
        world = World(configured((50, 1.0)), instances)
        await world.deliver_all([(delivery(n), n / 25) for n in range(2_500)])
        return world

    world = simulated(stream)
    assert world.end <= 103
    assert sum(world.waits.values()) <= 0.04 * 2_500
    assert world.grants.records.writes <= 0.1 * 2_500


@pytest.mark.parametrize("instances", [1, 4, 12])
def test_no_more_are_under_way_than_the_cap_over_all_instances(instances: int) -> None:
    async def flood() -> World:
        world = World(configured(in_flight=5), instances, seconds_of_an_attempt=2.0)
        await world.deliver_all([(delivery(n), world.random.random() * 5) for n in range(200)])
        return world

    world = simulated(flood)
    assert world.most_under_way <= 5
    assert len(world.begun) == 200
    assert world.end <= 4 * 200 * 2 / 5


def test_an_instance_that_died_gives_its_places_back_after_its_lease() -> None:
    async def crash() -> World:
        world = World(configured(in_flight=5), 1)
        dead = Caps(lambda: world.grants, world.clock)
        assert [await dead.enter(world.configured, delivery(n), 0.0) for n in range(5)] == [None] * 5
        await world.deliver_all([(delivery(n), 1.0) for n in range(10, 30)])
        return world

    world = simulated(crash)
    assert min(at for at, _ in world.begun) >= 15  # as long as the attempts of the dead may take
    assert world.end <= 90


def test_one_key_that_floods_delays_no_other_key() -> None:
    """1 of 50 customers sends 2,000 in 10 s, the others one each second."""

    async def flood() -> World:
        world = World(configured((10, 1.0), in_flight=4, per="data.customer.id"), 3)
        noisy = [(delivery(n, "noisy"), world.random.random() * 10) for n in range(2_000)]
        others = [(delivery(10_000 + 100 * c + n, f"c{c}"), n + c / 50) for c in range(49) for n in range(60)]
        due = {each.id: at for each, at in others}
        await world.deliver_all([*noisy, *others])
        world.waits = Counter(
            {each.id: round(1_000 * (at - due[each.id])) for at, each in world.begun if each.id in due}
        )
        return world

    world = simulated(flood)
    late = sorted(world.waits.values())
    assert len(late) == 49 * 60
    assert late[int(0.99 * len(late))] <= 1_000
    noisy = [at for at, each in world.begun if each.event.data == {"customer": {"id": "noisy"}}]
    assert len(noisy) == 2_000
    assert max(noisy) >= 2_000 / 12


def test_a_store_of_grants_that_fails_is_temporary_and_leaves_no_place_taken() -> None:
    async def fail() -> World:
        world = World(configured((10, 1.0), in_flight=1))
        world.grants.records.fault = "down"
        with pytest.raises(Temporary):
            await world.caps[0].enter(world.configured, delivery(1), 0.0)
        world.grants.records.fault = None
        await world.deliver_all([(delivery(n), 0.0) for n in range(3)])
        return world

    assert len(simulated(fail).begun) == 3


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


def test_a_key_that_cannot_be_written_or_takes_too_long_shares_the_bucket_too(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers: list[Json] = [int("9" * 4_300)] * 2
    assert bucket_name(configured((1, 1.0), per="sum(data.customer.id)"), delivery(1, numbers)) == "crm:"
    per = configured((1, 1.0), per="length(data.customer.id[?length(@) > `0`])")
    assert bucket_name(per, delivery(1, ["x"] * 10)) != "crm:"
    monkeypatch.setattr(caps_module, "bounded", lambda: bounded(0.01))
    assert bucket_name(per, delivery(1, ["x"] * 30_000)) == "crm:"


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
