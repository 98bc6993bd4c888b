"""Notify on a virtual clock, while everything around it crashes, repeats, delays and loses what it can.

A failure names its seed, and the same seed fails the same way.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import pytest

from functions.notify.destination import Attempt
from functions.notify.notifier import Acknowledged, Notifier
from functions.notify.notify import notify
from functions.notify.registry import DestinationStates
from functions.notify.waiting.pauses import Breakers
from functions.notify.waiting.sweep import Sweeper
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater
from shared.errors import Temporary, TemporaryCode
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Settlement
from shared.ledger_rules import DEAD_LETTERED, DELIVERED
from shared.outgoing.gate import ProcessGate
from shared.ports import DEAD_LETTERS, DELIVERIES, BusMessage
from tests.fakes.destinations import FakeDestinations
from tests.fakes.journal import FakeJournal
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import a_delivery, message_of, push_of
from tests.fakes.virtual_time import VirtualLoop

DELIVERY_COUNT = 300
SEEDS = range(6)
CHAOS_SECONDS = 2 * 3_600.0
END_SECONDS = 12 * 3_600.0

TROUBLES: list[Outcome] = [
    *[RetryLater("busy")] * 8,
    RetryLater("busy", after_seconds=30.0),
    RetryLater("busy", pause_destination_seconds=60.0),
    Failed("mail_rejected", "no such list"),
    Disabled("verify the sender"),
]

Given = ParamSpec("Given")
Answer = TypeVar("Answer")


class Crash(BaseException):
    """The process is killed: nothing of it runs any more, and nobody is told."""


@dataclass
class Chaos:
    """Strikes before and after each effect, until the simulation lets things settle."""

    random: random.Random
    is_on: bool = True
    crashes: int = 0

    def happens(self, share: float) -> bool:
        return self.is_on and self.random.random() < share

    async def around(
        self, code: TemporaryCode, call: Callable[Given, Awaitable[Answer]], *values: Given.args, **named: Given.kwargs
    ) -> Answer:
        await asyncio.sleep(100.0 if self.happens(0.002) else self.random.random() * 0.05)
        self.strike(code)
        answer = await call(*values, **named)
        self.strike(code)
        return answer

    def strike(self, code: TemporaryCode) -> None:
        self.crash()
        if self.happens(0.01):
            raise Temporary(code, "chaos")

    def crash(self) -> None:
        if self.happens(0.01):
            self.crashes += 1
            raise Crash


class ChaosLedger(FakeLedger):
    """Counts the claims that took over an attempt nobody recorded."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__()
        self.chaos = chaos
        self.windows: Counter[str] = Counter()

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        return await self.chaos.around(
            "ledger_unavailable", self.counted, delivery, message, now, lease_seconds, due_fence
        )

    async def counted(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None
    ) -> Claim:
        before = self.table.get(delivery.id)
        claim = await super().claim(delivery, message, now, lease_seconds, due_fence)
        crashes = before.crashes if before else 0
        self.windows[delivery.id] += isinstance(claim, Claimed) and claim.row.crashes > crashes
        return claim

    async def begin(self, claim: Claimed, now: float) -> Claimed | None:
        return await self.chaos.around("ledger_unavailable", super().begin, claim, now)

    async def give_back(self, claim: Claimed, now: float) -> bool:
        return await self.chaos.around("ledger_unavailable", super().give_back, claim, now)

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        return await self.chaos.around("ledger_unavailable", super().settle, claim, settlement)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        return await self.chaos.around("ledger_unavailable", super().due, now, limit, since)

    async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
        return await self.chaos.around("ledger_unavailable", super().postpone, key, fence, now, at)

    async def destination_state(self, destination: str) -> DestinationState:
        return await self.chaos.around("ledger_unavailable", super().destination_state, destination)


class ChaosDestination:
    """Counts what it really took, whatever it answered or whoever heard it."""

    dedupes_repeats = False

    def __init__(self, chaos: Chaos) -> None:
        self.chaos = chaos
        self.effects: Counter[str] = Counter()
        self.unheard: Counter[str] = Counter()

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        await asyncio.sleep(self.chaos.random.random())
        self.chaos.strike("secret_unavailable")
        if self.chaos.happens(0.3):
            return self.chaos.random.choice(TROUBLES)
        self.effects[delivery.id] += 1
        if self.chaos.happens(0.03):
            self.unheard[delivery.id] += 1
            await asyncio.sleep(60)
        self.chaos.crash()
        return Delivered("202")


@dataclass
class ChaosBus:
    """At least once, in any order: what is not acknowledged comes again, and so does some of what is."""

    chaos: Chaos
    bring: Callable[[BusMessage], None]
    max_delay_seconds: float
    dead_letters: set[str] = field(default_factory=set)

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        await self.chaos.around("bus_unavailable", self.store, topic, messages)

    async def store(self, topic: str, messages: Sequence[BusMessage]) -> None:
        if topic == DEAD_LETTERS:
            self.dead_letters.update(message.attributes["id"] for message in messages)
        else:
            assert topic == DELIVERIES
            for message in messages:
                for _ in range(2 if self.chaos.happens(0.1) else 1):
                    self.bring(message)


class Simulation:
    def __init__(self, seed: int, loop: VirtualLoop, on_unknown: str) -> None:
        self.clock = loop
        self.chaos = Chaos(random.Random(seed))
        self.ledger = ChaosLedger(self.chaos)
        self.tasks = asyncio.TaskGroup()
        self.bus = ChaosBus(self.chaos, self.start_bringing, 900.0 if seed % 2 else 0.0)
        self.crm = ChaosDestination(self.chaos)
        self.on_unknown = on_unknown
        self.workers = [self.worker() for _ in range(3)]
        self.deliveries = [a_delivery(number) for number in range(DELIVERY_COUNT)]

    def worker(self) -> Notifier:
        states = DestinationStates(self.ledger, self.clock)
        gate = ProcessGate(self.clock.now, 40, 8)
        return Notifier(
            destinations=FakeDestinations(
                {"crm": self.crm}, retry_seconds=(5.0, 60.0, 300.0, 300.0, 900.0), on_unknown=self.on_unknown
            ),
            states=states,
            ledger=self.ledger,
            bus=self.bus,
            journal=FakeJournal(),
            clock=self.clock,
            sleep=asyncio.sleep,
            breakers=Breakers(states, self.clock, gate),
            gate=gate,
        )

    async def run(self) -> None:
        async with self.tasks:
            self.tasks.create_task(self.publish_all())
            self.tasks.create_task(self.operate())
            self.tasks.create_task(self.sweep())

    async def publish_all(self) -> None:
        for delivery in self.deliveries:
            await asyncio.sleep(self.chaos.random.random() * 30)
            await self.bus.store(DELIVERIES, [BusMessage(message_of(delivery, self.clock.now()))])
        await asyncio.sleep(CHAOS_SECONDS - self.clock.time())
        self.chaos.is_on = False

    async def operate(self) -> None:
        while self.clock.time() < END_SECONDS - 7_200:
            await asyncio.sleep(200)
            await self.ledger.release("crm", self.clock.now())

    async def sweep(self) -> None:
        while self.clock.time() < END_SECONDS:
            await asyncio.sleep(60)
            try:
                await Sweeper(self.ledger, self.bus, self.clock).sweep()
            except (Crash, Temporary):
                continue

    def start_bringing(self, message: BusMessage) -> None:
        self.tasks.create_task(self.bring(message))

    async def bring(self, message: BusMessage) -> None:
        """As the bus does: some time after, and until it is acknowledged and has heard so."""
        body = push_of(message.data, dict(message.attributes))
        await asyncio.sleep(message.delay_seconds + self.chaos.random.random())
        while self.clock.time() < 2 * END_SECONDS:
            number = self.chaos.random.randrange(len(self.workers))
            try:
                result = await notify(body, self.workers[number])
                if isinstance(result, Acknowledged) and not self.chaos.happens(0.05):
                    return
            except Temporary:
                pass
            except Crash:
                self.workers[number] = self.worker()
            await asyncio.sleep(10 + self.chaos.random.random() * 60)


@pytest.fixture(params=["resend", "hold"])
def on_unknown(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def simulated(seed: int, on_unknown: str) -> Simulation:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        simulation = Simulation(seed, loop, on_unknown)
        runner.run(simulation.run())
    return simulation


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_nothing_comes_twice_but_where_the_promise_says_so(seed: int, on_unknown: str) -> None:
    simulation = simulated(seed, on_unknown)
    ledger, crm = simulation.ledger, simulation.crm
    assert simulation.chaos.crashes > DELIVERY_COUNT / 20, "there was no chaos to speak of"
    for delivery in simulation.deliveries:
        row = ledger.table[delivery.id]
        where = f"seed {seed}, {row}"
        assert row.state in (DELIVERED, DEAD_LETTERED), f"lost: {where}"
        if row.state == DEAD_LETTERED:
            assert row.key in simulation.bus.dead_letters, f"failed without a dead letter: {where}"
        else:
            assert crm.effects[row.key] >= 1, f"done without an effect: {where}"
        windows = ledger.windows[row.key] + crm.unheard[row.key]
        assert crm.effects[row.key] <= 1 + windows, f"delivered twice: {where}"
