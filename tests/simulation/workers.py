"""Workers of notify, as all worlds make them; and those of a world in bad weather, over one bus and one ledger."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from random import Random
from typing import Final, TypeVar

from functions.notify.notifier import Acknowledged, Notifier
from functions.notify.notify import notify
from functions.notify.registry import Destinations, read_destinations
from functions.notify.waiting.caps import Caps
from functions.notify.waiting.pauses import Breakers, DestinationStates
from functions.notify.waiting.sweep import Sweeper
from shared.errors import Temporary
from shared.fetch import Fetch
from shared.jsontext import JsonObject
from shared.ledger import Ledger
from shared.ledger_rules import FINAL
from shared.outgoing.gate import ProcessGate
from shared.ports import DELIVERIES, Bus, Clock
from shared.store_ports import Grants
from tests.fakes.destinations import a_context
from tests.fakes.secrets import FakeSecrets
from tests.simulation.bus import SimulatedBus
from tests.simulation.faults import Crash, Rates, SkewedClock, Weather
from tests.simulation.ports import WeatheredLedger

EPOCH: Final = 1_790_000_000.0
WORKERS: Final = 3
Answer = TypeVar("Answer")


def notifier_over(destinations: Destinations, ledger: Ledger, bus: Bus, clock: Clock, gate: ProcessGate) -> Notifier:
    """Return what a process knows when it has just started. It has no journal."""
    states = DestinationStates(ledger, clock)
    breakers = Breakers(states, clock, gate)
    return Notifier(destinations, states, ledger, bus, None, clock, breakers, gate, sleep=asyncio.sleep)


def compiled_notifier(
    compiled: JsonObject, network: Fetch, ledger: Ledger, bus: Bus, clock: Clock, gate: ProcessGate, grants: Grants
) -> Notifier:
    """Return notify as it is deployed with this slice. Only the network and its secrets are stand-ins."""
    secrets = FakeSecrets({"chat-url": "https://crm.example.com/chat"})
    context = replace(a_context(secrets, network), clock=clock)
    destinations = Destinations(read_destinations(compiled), context)
    return replace(notifier_over(destinations, ledger, bus, clock, gate), caps=Caps(lambda: grants, clock))


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
        return notifier_over(destinations, self.ledger, self.bus, clock, ProcessGate(clock.now, 40, 8))

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
