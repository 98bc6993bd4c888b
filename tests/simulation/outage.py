"""Destinations that are away for days on a virtual clock, and what comes of what is owed to them.

The configuration is compiled as for a deployment; the instances of notify share a ledger, and the sweep comes each
minute. Only the network is a stand-in: receivers that refuse connections, take requests and never answer, or answer.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Literal

from deploy.history.resumption import resume_destination
from functions.notify.dead_letters import letter_of_body
from functions.notify.notifier import Acknowledged
from functions.notify.notify import notify
from functions.notify.waiting.pauses import SweepPauses
from functions.notify.waiting.sweep import Sweeper
from shared.delivery import Delivery, delivery_message
from shared.errors import Temporary, Unanswered
from shared.event import Event, event_json
from shared.fetch import Fetched, Outgoing
from shared.jsontext import JsonObject
from shared.ledger_rules import FINAL
from shared.outgoing.gate import ProcessGate
from shared.ports import DEAD_LETTERS, DELIVERIES
from shared.times import rfc3339
from tests.fakes.configurations import compile_text
from tests.fakes.grants import FakeGrants
from tests.fakes.ledger import FakeLedger
from tests.fakes.virtual_time import VirtualLoop
from tests.simulation.bus import SimulatedBus
from tests.simulation.faults import CALM, Weather
from tests.simulation.workers import compiled_notifier

Away = Literal["refuses", "hangs"]
DAY: Final = 86_400.0
HOUR: Final = 3_600.0
SWEEP_SECONDS: Final = 60.0
HEAD: Final = "sources: {shop: {auth: none}}\nroutes: [{name: all, from: shop, to: crm}]\ndestinations:\n"
END_SECONDS: Final = 10 * DAY
_DIGITS: Final = re.compile("[0-9]+")
"""Of which the first in each body are the event's number."""


@dataclass(frozen=True, slots=True)
class Post:
    """An event of the customer `customer`, posted so many seconds after the start, and whom it is owed to."""

    number: int
    at: float
    customer: str = "c0"
    to: str = "crm"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`destinations` is that part of the configuration; the host of each is its name and `.example.com`.

    `away` is how the destination `crm` is away, until `back_at`. `sweeps_from`: the scheduler is away until then.
    `has_delays`: the bus can keep a message back for a while, as SQS can, and Pub/Sub cannot.
    `resumed_at`: an operator resumes `crm` then.
    `instances` of notify share the ledger and the grants.
    """

    destinations: str
    posts: Sequence[Post]
    away: Away = "refuses"
    back_at: float = 0.0
    sweeps_from: float = 0.0
    has_delays: bool = True
    resumed_at: float | None = None
    instances: int = 2
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that a receiver took. `key` is what it may recognise a repeat by."""

    number: int
    key: str
    at: float
    is_answered: bool = True


@dataclass(slots=True)
class Result:
    """`arrivals` by destination; `dead_letters` with destination and code.

    `takes` counts the bus's messages, `writes` those of rows.
    """

    arrivals: dict[str, list[Arrival]] = field(default_factory=dict)
    dead_letters: Counter[tuple[str, str]] = field(default_factory=Counter)
    attempts_while_away: int = 0
    takes: int = 0
    writes: int = 0
    is_over: bool = False

    def answered(self, destination: str) -> Counter[int]:
        """How often each event was accepted with an answer."""
        return Counter(each.number for each in self.arrivals.get(destination, ()) if each.is_answered)

    def keys(self, destination: str) -> dict[int, set[str]]:
        """The keys under which each event came."""
        found: dict[int, set[str]] = {}
        for each in self.arrivals.get(destination, ()):
            found.setdefault(each.number, set()).add(each.key)
        return found

    def last_at(self, destination: str) -> float:
        return max(each.at for each in self.arrivals[destination])

    def most_within(self, destination: str, seconds: float) -> int:
        """The most arrivals within so many seconds."""
        times = sorted(each.at for each in self.arrivals[destination])
        most = first = 0
        for last, at in enumerate(times):
            while at - times[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def delays(self, destination: str, posts: Sequence[Post]) -> dict[str, list[float]]:
        """How long the events took to be accepted, by customer, the shortest first."""
        posted = {post.number: post for post in posts}
        found: dict[str, list[float]] = {}
        for each in self.arrivals[destination]:
            post = posted[each.number]
            found.setdefault(post.customer, []).append(each.at - post.at)
        return {customer: sorted(delays) for customer, delays in found.items()}


def run_outage(scenario: Scenario) -> Result:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(_World(scenario, loop).live())


class _World:
    def __init__(self, scenario: Scenario, clock: VirtualLoop) -> None:
        self._scenario = scenario
        self._clock = clock
        self._random = Random(scenario.seed)
        self._bus = SimulatedBus(Weather(self._random, CALM))
        self._bus.max_delay_seconds *= scenario.has_delays
        self._ledger = FakeLedger()
        self._result = Result()
        compiled, grants = compile_text(HEAD + scenario.destinations)["notify"], FakeGrants()
        self._instances = [
            compiled_notifier(compiled, self, self._ledger, self._bus, clock, ProcessGate(clock.now, 40, 8), grants)
            for _ in range(scenario.instances)
        ]
        sweeping = self._instances[0]
        pauses = SweepPauses(sweeping.states, sweeping.destinations.configured)
        self._sweeper = Sweeper(self._ledger, self._bus, clock, looks_ahead=True, pauses=pauses)
        self._bus.subscribe(DELIVERIES, self._notify)
        self._bus.subscribe(DEAD_LETTERS, self._keep)

    async def live(self) -> Result:
        posting = asyncio.create_task(self._post_all())
        resuming = asyncio.create_task(self._resume())
        await asyncio.sleep(self._scenario.sweeps_from)
        while self._clock.time() < END_SECONDS:
            minute = self._clock.time()
            await self._sweeper.sweep()
            if posting.done() and self._bus.is_empty and self._is_over():
                self._result.is_over = True
                break
            await asyncio.sleep(minute + self._next_useful_sweep_after() - self._clock.time())
        await posting
        resuming.cancel()
        self._result.writes = self._ledger.writes
        return self._result

    async def _resume(self) -> None:
        if (at := self._scenario.resumed_at) is not None:
            await asyncio.sleep(at)
            await resume_destination(self._ledger, "crm", self._clock.now())

    async def _post_all(self) -> None:
        for post in sorted(self._scenario.posts, key=lambda each: each.at):
            await asyncio.sleep(max(0.0, post.at - self._clock.time()))
            now = rfc3339(self._clock.now())
            data: JsonObject = {"number": post.number, "customer": post.customer}
            event = Event(f"e{post.number}", "/sources/shop", "order", now, "a" * 64, data)
            delivery = Delivery(event, "all", post.to)
            await self._bus.publish(DELIVERIES, [delivery_message(delivery, event_json(event), now, {})])

    def _is_over(self) -> bool:
        return all(row.state in FINAL for row in self._ledger.table.values())

    def _next_useful_sweep_after(self) -> float:
        """Return the seconds from one sweep to the next. Those that would find nothing are left out."""
        if not self._bus.is_empty:
            return SWEEP_SECONDS
        due = [row.retry_at for row in self._ledger.table.values() if row.retry_at is not None]
        wait = min(due, default=0.0) - self._clock.now()
        if (resumed_at := self._scenario.resumed_at) is not None and resumed_at >= self._clock.time():
            wait = min(wait, resumed_at - self._clock.time())
        return SWEEP_SECONDS * max(1.0, wait // SWEEP_SECONDS - 1)

    async def _notify(self, body: bytes) -> bool:
        self._result.takes += 1
        try:
            return isinstance(await notify(body, self._random.choice(self._instances)), Acknowledged)
        except Temporary:
            return False

    async def _keep(self, body: bytes) -> bool:
        letter = letter_of_body(body, self._clock.now())
        self._result.dead_letters[(letter.destination or "", letter.code)] += 1
        return True

    async def fetch(self, request: Outgoing) -> Fetched:
        """Answer as the receiver: the world is the network too."""
        name = request.url.removeprefix("https://").partition(".")[0]
        is_away = name == "crm" and self._clock.time() < self._scenario.back_at
        self._result.attempts_while_away += is_away
        if is_away and self._scenario.away == "refuses":
            raise Temporary("host_unreachable", f"{name} refuses connections")
        await asyncio.sleep(self._random.expovariate(20))
        key = next((value for header, value in request.headers if header == "webhook-id"), "")
        number = int(_DIGITS.findall(request.body.decode())[0])
        arrival = Arrival(number, key, self._clock.time(), is_answered=not is_away)
        self._result.arrivals.setdefault(name, []).append(arrival)
        if is_away:
            await asyncio.sleep(request.timeout_seconds)
            raise Unanswered("host_unreachable", f"{name} did not answer")
        return Fetched(200, (), b"")
