"""Groups that are closed while workers die, messages come twice and sweeps overlap: each event is in one digest."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.notify.digests.settings import Digest, GatherSettings
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.ledger import LedgerRow
from shared.ports import DELIVERIES, BusMessage
from shared.store_ports import Answer, DecideRecord
from tests.fakes.bus import FakeBus
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import EVENT, FakeNotifier
from tests.fakes.records import FakeRecords

GATHER = GatherSettings(digest=Digest(60.0, None), max_events=200)


class Died(BaseException):
    """The worker died here."""


class Fate:
    """What becomes of each write: the numbers of those at which the worker dies, before they are done or after."""

    def __init__(self, deaths: Sequence[tuple[int, bool]] = ()) -> None:
        self.deaths = dict(deaths)
        self.count = 0

    async def do(self, write: Callable[[], Awaitable[Answer]]) -> Answer:
        dies_after = self.deaths.get(self.count)
        self.count += 1
        if dies_after is False:
            raise Died
        answer = await write()
        if dies_after:
            raise Died
        return answer


class Records(FakeRecords):
    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        change = super().change
        return await self._fate.do(lambda: change(name, now, decide))


class Bus(FakeBus):
    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        publish = super().publish
        await self._fate.do(lambda: publish(topic, messages))


class Ledger(FakeLedger):
    """A row at a time: a worker may die between two members."""

    def __init__(self, fate: Fate) -> None:
        super().__init__()
        self._fate = fate

    async def merge_all(
        self, moves: Sequence[tuple[str, int]], now: float, digest_id: str
    ) -> Sequence[bool | Temporary]:
        def merge(key: str, fence: int) -> Awaitable[bool]:
            return self._fate.do(lambda: self._merge(key, fence, now, digest_id))

        return [await merge(*move) for move in moves]


class World:
    """A destination with digests, and workers that die where fate says so."""

    def __init__(self, deaths: Sequence[tuple[int, bool]] = ()) -> None:
        self.fate = Fate()
        crm = FakeDestination()
        self.notifier = FakeNotifier(
            crm,
            FakeDestinations({"crm": crm}, options={"crm": Options(gather=GATHER)}),
            ledger=Ledger(self.fate),
            bus=Bus(self.fate),
            records=Records(self.fate),
        )
        self.fate.deaths = dict(deaths)
        self.brought = 0
        self.sent: list[str] = []

    async def send(self, number: int) -> None:
        event_id = f"{number:032x}"
        self.sent.append(event_id)
        await self.notifier.take(Delivery(replace(EVENT, id=event_id, data={"number": number}), "r", "crm"))

    async def step(self, seconds: float = 20.0) -> None:
        """Let time pass, then sweep, and take what the bus has; whoever dies is followed by another."""
        self.notifier.clock.advance(seconds)
        with contextlib.suppress(Died):
            await self.notifier.sweep()
        messages = self.notifier.bus.on(DELIVERIES)
        while self.brought < len(messages):
            message = messages[self.brought]
            self.brought += 1
            try:
                await self.notifier.take_message(message)
            except Died:
                self.notifier.bus.sent.append((DELIVERIES, message))
                messages = self.notifier.bus.on(DELIVERIES)

    async def settle(self) -> None:
        for _ in range(120):
            await self.step()
            if all(row.state in {"delivered", "merged"} for row in self.rows()):
                return

    def rows(self) -> list[LedgerRow]:
        assert isinstance(self.notifier.ledger, FakeLedger)
        return list(self.notifier.ledger.table.values())

    def assert_each_event_is_in_one_digest(self) -> None:
        contents: dict[str, str] = {}
        told: Counter[str] = Counter()
        for delivery in self.notifier.crm.delivered:
            data = delivery.event.data
            text = json.dumps([data, delivery.merged], sort_keys=True)
            assert contents.setdefault(delivery.id, text) == text
        for text in contents.values():
            data, merged = json.loads(text)
            ids = [each["id"] for each in data["events"]] if "events" in data else [f"{data['number']:032x}"]
            assert len(ids) == merged
            told.update(ids)
        assert told == Counter(dict.fromkeys(self.sent, 1))


@pytest.mark.parametrize("dies_after", [False, True])
async def test_a_worker_may_die_at_any_write(dies_after: bool) -> None:
    for at in range(12):
        world = World([(at, dies_after)])
        for number in range(4):
            await world.send(number)
        await world.step(75)
        for number in range(4, 7):
            await world.send(number)
        await world.settle()
        world.assert_each_event_is_in_one_digest()


@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=12), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_deaths_and_copies_leave_each_event_in_one_digest(deaths: list[tuple[int, bool]], seed: int) -> None:
    async def live() -> None:
        random, world = Random(seed), World(deaths)
        for number in range(12):
            for _ in range(random.choice((1, 1, 2))):
                if f"{number:032x}" not in world.sent:
                    await world.send(number)
                else:
                    world.sent.pop(world.sent.index(f"{number:032x}"))
                    await world.send(number)
            if random.random() < 0.5:
                await world.step(random.choice((5, 20, 65)))
        await world.settle()
        world.assert_each_event_is_in_one_digest()

    asyncio.run(live())


async def test_a_sweep_that_was_overtaken_puts_no_event_into_a_second_digest() -> None:
    world = World()
    records = world.notifier.records
    for number in range(3):
        await world.send(number)
    read = records.read
    is_first = True

    async def read_late(name: str) -> str | None:
        nonlocal is_first
        if is_first:  # meanwhile another sweep does all of it
            is_first = False
            await world.step(0)
        return await read(name)

    records.read = read_late  # type: ignore[method-assign] # once
    await world.step(75)
    await world.settle()
    world.assert_each_event_is_in_one_digest()
    assert len(world.notifier.crm.delivered) == 1


async def test_clocks_that_differ_by_minutes_leave_each_event_in_one_digest() -> None:
    world = World()
    clock = world.notifier.clock
    random = Random(3)
    for number in range(40):
        clock.time += (skew := random.uniform(-240, 240))
        await world.send(number)
        await world.notifier.sweep()
        clock.time -= skew
        await world.step(10)
    await world.settle()
    world.assert_each_event_is_in_one_digest()
