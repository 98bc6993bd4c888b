"""Workers of notify in bad weather, each with a clock of its own, over one bus and one ledger."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Final, TypeVar

from functions.notify.notifier import Acknowledged, Notifier
from functions.notify.notify import notify
from functions.notify.registry import Destinations
from functions.notify.waiting.pauses import Breakers, DestinationStates
from functions.notify.waiting.sweep import Sweeper
from shared.errors import Temporary
from shared.ledger_rules import FINAL
from shared.outgoing.gate import ProcessGate
from shared.ports import DELIVERIES
from tests.simulation.bus import SimulatedBus
from tests.simulation.faults import Crash, Rates, SkewedClock, Weather
from tests.simulation.ports import WeatheredLedger

EPOCH: Final = 1_790_000_000.0
WORKERS: Final = 3
Answer = TypeVar("Answer")


class Workers:
    """What the worlds of this kind have in common. `notifiers` has one for each of the `clocks`."""

    notifiers: list[Notifier]

    def __init__(self, seed: int, rates: Rates) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.weather = Weather(self.random, rates)
        self.bus = SimulatedBus(self.weather)
        self.ledger = WeatheredLedger(self.weather)
        skew = rates.skew_seconds
        self.clocks = [SkewedClock(EPOCH, self.random.uniform(-skew, skew)) for _ in range(WORKERS)]
        self.bus.subscribe(DELIVERIES, self._notify)

    def notifier(self, clock: SkewedClock, destinations: Destinations) -> Notifier:
        states = DestinationStates(self.ledger, clock)
        gate = ProcessGate(clock.now, 40, 8)
        ports = self.ledger, self.bus, None, clock, Breakers(states, clock, gate), gate
        return Notifier(destinations, states, *ports, sleep=asyncio.sleep)

    def sweeper(self, notifier: Notifier) -> Sweeper:
        return Sweeper(self.ledger, self.bus, notifier.clock)

    async def run(self, senders: Iterable[Awaitable[None]], calm: Rates) -> None:
        """Let all be sent, and then, at the rates `calm`, come to its end."""
        sweeping = [asyncio.create_task(self._sweep_for_ever(every)) for every in (5.0, 7.0)]
        await asyncio.gather(*senders)
        self.weather.rates = calm
        for _ in range(10_000):
            await asyncio.sleep(10)
            if self.bus.is_empty and all(row.state in FINAL for row in self.ledger.table.values()):
                break
        for each in sweeping:
            each.cancel()

    async def until_answered(self, send: Callable[[], Awaitable[Answer]]) -> Answer:
        """Send again until there is an answer, at some time of the first minute."""
        await asyncio.sleep(self.random.uniform(0, 60))
        while True:
            self.weather.begin_run()
            try:
                return await send()
            except (Temporary, Crash):
                await asyncio.sleep(self.random.uniform(1, 20))

    async def _notify(self, body: bytes) -> bool:
        try:
            return isinstance(await notify(body, self.random.choice(self.notifiers)), Acknowledged)
        except Temporary:
            return False

    async def _sweep_for_ever(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            with contextlib.suppress(Temporary, Crash):
                await self.sweeper(self.random.choice(self.notifiers)).sweep()
