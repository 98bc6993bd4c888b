"""A quiet sender beside somebody else's trouble, on the buses of both clouds, while instances crash.

The configuration is compiled as for a deployment. Twenty instances of transform and of notify share a bus, a ledger and
grants; each has a memory of its own, which a crash ends with all that the instance had under way. Only the network is
a stand-in. Time is virtual.
"""

import asyncio
import contextlib
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from random import Random
from typing import Final, Literal

from functions.notify.dead_letters import letter_of_body
from functions.notify.notifier import Acknowledged, Notifier
from functions.notify.notify import notify
from functions.notify.waiting.pauses import SweepPauses
from functions.notify.waiting.sweep import Sweeper
from functions.transform.hosts import StepHosts
from functions.transform.program import read_program
from functions.transform.step import Services
from functions.transform.transform import Transformer
from shared.cloud.gcp.firestore import CALL_SECONDS
from shared.cloud.gcp.pubsub import PUBLISH_SECONDS
from shared.cloud.platform import process_gate
from shared.cloud.retries import BRIEF, PATIENT, RetryPolicy, with_retries
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary, TemporaryCode, Unanswered
from shared.event import Event, event_json
from shared.fetch import Fetched, Outgoing
from shared.jsontext import JsonObject
from shared.ledger_rules import FINAL
from shared.outgoing.gate import ProcessGate
from shared.outgoing.instance_leases import InstanceLeases
from shared.ports import DEAD_LETTERS, DELIVERIES, EVENTS, BusMessage
from shared.push import Push, parse_push
from shared.settings import read_settings
from shared.times import rfc3339
from tests.fakes.blobs import FakeBlobs
from tests.fakes.configurations import compile_text
from tests.fakes.grants import FakeGrants
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets
from tests.fakes.virtual_time import START, VirtualLoop
from tests.kill.checker import Arrival, Disturbance, Post, Verdict, check
from tests.simulation.buses import INSTANCES, CloudBus, PushBus, QueueBus
from tests.simulation.faults import CALM, RUN, Crash, Rates, Run, Weather
from tests.simulation.ports import WeatheredLedger
from tests.simulation.workers import compiled_notifier
from tests.simulation.world import GRACE

Cloud = Literal["gcp", "aws"]
ENVIRONMENTS: Final[Mapping[Cloud, Mapping[str, str]]] = {
    "gcp": {"K_SERVICE": "notify"},
    "aws": {"AWS_LAMBDA_FUNCTION_NAME": "notify", "AWS_REGION": "eu-central-1"},
}
QUIET_EVENTS: Final = 240
QUIET_PER_SECOND: Final = 10.0
QUIET_KEYS: Final = 5
QUIET_FROM: Final = 10.0
"""The trouble begins five seconds before, so that what it takes is taken."""
SWEEP_SECONDS: Final = 60.0
CRASH_SECONDS: Final = 5.0
"""The mean time from one crash of an instance of notify or transform to the next."""
RATES: Final = Rates(
    crash=0.0001,
    fail=0.001,
    slow=0,
    stall=0,
    duplicate=0.005,
    destination_fails=0,
    destination_silent=0,
    unanswered=0.00005,
)
CLIENTS: Final[Mapping[TemporaryCode, tuple[RetryPolicy, float]]] = {
    "ledger_unavailable": (PATIENT, CALL_SECONDS),
    "bus_unavailable": (BRIEF, PUBLISH_SECONDS),
}
"""How the clients of the clouds' APIs repeat a call, and how long they wait for an answer."""
END_SECONDS: Final = 3 * 86_400.0
EVENT_ID: Final = re.compile(b"(quiet|loud)-[0-9]+")
HEAD: Final = "sources: {quiet: {auth: none, dedupe: body}, loud: {auth: none, dedupe: body}}\n"
QUIET: Final = "  quiet: {webhook: {url: 'https://ok.example.com/in'}}\n"
LOUD: Final = "  loud: {webhook: {url: 'https://HOST.example.com/in'}, retry: [5s, 5m, 1h, 3h, 5h, 10h]}\n"
KEYED: Final = "  crm: {webhook: {url: 'https://crm.example.com/in'}, rate: 5000/s, per: data.who}\n"
ODD: Final = ("hangs", "fails", "refuses", "slow")
FETCH: Final = "{fetch: {url: 'https://HOST.example.com/api', into: data.more}}"


@dataclass(frozen=True, slots=True)
class Trouble:
    """`destinations`, `to`, `steps` and `events` are of the loud source.

    `per_second` may differ between the clouds, whose instances do not have the same capacity.
    """

    destinations: str
    to: str = "loud"
    quiet_to: str = "quiet"
    steps: str = ""
    events: int = 300
    per_second: Mapping[Cloud, float] | float = 100.0

    def rate(self, cloud: Cloud) -> float:
        return self.per_second if isinstance(self.per_second, float) else self.per_second[cloud]


_HOSTILE: Final = "".join(LOUD.replace("loud", f"odd-{n}").replace("HOST", ODD[n % len(ODD)]) for n in range(28))
TROUBLES: Final[Mapping[str, Trouble]] = {
    "hanging": Trouble(QUIET + LOUD.replace("HOST", "hangs")),
    "hostile": Trouble(QUIET + _HOSTILE, ", ".join(f"odd-{n}" for n in range(28)), events=40, per_second=2.0),
    # 1.5 times what the instances can do, 20 x 40 on Google Cloud and 20 x 10 on AWS: a request takes 4 s, or one.
    "flood": Trouble(QUIET + LOUD.replace("HOST", "busy"), events=1_200, per_second={"gcp": 300.0, "aws": 75.0}),
    "key": Trouble(KEYED, "crm", "crm", events=2_400, per_second={"gcp": 1_200.0, "aws": 300.0}),
    "fetch": Trouble(QUIET + LOUD.replace("HOST", "ok"), steps=FETCH.replace("HOST", "hangs"), events=100),
    "fetch-503": Trouble(QUIET + LOUD.replace("HOST", "ok"), steps=FETCH.replace("HOST", "fails"), events=100),
}
SLOW_SECONDS: Final = {"busy": 4.0, "crm": 1.0, "slow": 1.5}
BACK_AT: Final = 3_600.0
"""Whatever was in trouble is well from then on, so that each event can arrive."""


@dataclass(frozen=True, slots=True)
class Report:
    """Delays are the quiet events', sorted, without the `struck` ones, whose own message or instance met a crash."""

    seed: int
    cloud: Cloud
    trouble: str
    verdict: Verdict
    delays: Sequence[float]
    struck: int
    given_up: int
    brought: int
    open_rows: int

    @property
    def is_complete(self) -> bool:
        return self.verdict.is_good and not self.open_rows and not self.given_up


def percentile(delays: Sequence[float], percent: int) -> float:
    return sorted(delays)[len(delays) * percent // 100]


def losses(beside: Report) -> list[str]:
    """Return what was lost, repeated, given up or left open, in words."""
    return [] if beside.is_complete else [f"{beside.verdict}, {beside.given_up} given up, {beside.open_rows} open"]


def slow_median(alone: Report, beside: Report) -> list[str]:
    p50_alone, p50 = percentile(alone.delays, 50), percentile(beside.delays, 50)
    return [f"p50 {p50:.2f} s, alone {p50_alone:.2f} s"] if p50 > max(5 * p50_alone, 0.25) else []


def slow_tail(alone: Report, beside: Report) -> list[str]:
    p99_alone, p99 = percentile(alone.delays, 99), percentile(beside.delays, 99)
    return [f"p99 {p99:.2f} s, alone {p99_alone:.2f} s"] if p99 > p99_alone + 1 else []


def faults(alone: Report, beside: Report) -> list[str]:
    """Return what is wrong beside the trouble, in words."""
    return [*losses(beside), *slow_median(alone, beside), *slow_tail(alone, beside)]


def simulate_neighbours(seed: int, cloud: Cloud, trouble: str) -> tuple[Report, Report]:
    """Return the reports of the quiet sender alone, and beside the trouble."""
    alone, beside = (simulate_cloud(seed, cloud, trouble, is_loud=is_loud) for is_loud in (False, True))
    return alone, beside


def simulate_cloud(seed: int, cloud: Cloud, trouble: str, *, is_loud: bool) -> Report:
    random.seed(seed)  # of the clients' waits
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return runner.run(_World(seed, cloud, trouble, loop, is_loud=is_loud).live())


@cache
def _slices(trouble: str) -> Mapping[str, JsonObject]:
    given = TROUBLES[trouble]
    routes = (
        f"routes:\n  - {{name: quiet, from: quiet, to: {given.quiet_to}}}\n"
        f"  - {{name: loud, from: loud, steps: [{given.steps}], to: [{given.to}]}}\n"
    )
    config = HEAD + routes + "destinations:\n" + given.destinations
    return compile_text(config)


class _InstanceWeather(Weather):
    """The calls of the functions' instances to the clouds' APIs. Sweeps meet no faults.

    The clients repeat a call whose answer is that the API is unavailable for a moment, and not one without an answer.
    A write that is repeated finds itself done, and a message that is published again is one of the `duplicate` ones.
    A crash ends the whole instance. A dead instance does nothing more: whatever it asks of a port ends it. A sweep that
    fails lets what it moved wait for ten minutes, whoever is in trouble.
    """

    def __init__(
        self, random: Random, rates: Rates, is_dead: Callable[[str], bool], end: Callable[[str], None]
    ) -> None:
        super().__init__(random, rates)
        self._is_dead = is_dead
        self._end = end

    async def before(self, part: TemporaryCode) -> None:
        await self._delay()
        await self._call(part)

    async def after(self, part: TemporaryCode) -> None:
        await self._call(part)
        await self._delay()

    async def _call(self, part: TemporaryCode) -> None:
        if RUN.get() is None:
            return
        policy, _ = CLIENTS[part]
        if await with_retries(partial(self._is_unavailable, part), bool, policy):
            self.strike()
            raise Temporary(part, "as the simulation has it")

    async def _is_unavailable(self, part: TemporaryCode) -> bool:
        """Return whether the API answers that it is unavailable. Raises Temporary where it does not answer."""
        run, rates, chance = RUN.get(), self.rates, self.random.random()
        assert run is not None
        if self._is_dead(run.worker):
            raise Crash(part)
        if chance < rates.crash:
            self._end(run.worker)
            raise Crash(part)
        if chance < rates.crash + rates.unanswered:
            await asyncio.sleep(CLIENTS[part][1])
            self.strike()
            raise Temporary(part, "no answer, as the simulation has it")
        return chance < rates.crash + rates.unanswered + rates.fail


@dataclass(slots=True)
class _Instance:
    """A process. `under_way` has its runs, by worker."""

    name: str
    take: Callable[[Push], Awaitable[bool]]
    under_way: dict[str, asyncio.Task[bool]] = field(default_factory=dict)


class _World:
    def __init__(self, seed: int, cloud: Cloud, trouble: str, clock: VirtualLoop, *, is_loud: bool) -> None:
        self._seed, self._cloud, self._name, self._is_loud = seed, cloud, trouble, is_loud
        self._trouble = TROUBLES[trouble]
        self._clock = clock
        self._random = Random(seed)
        self._dead: set[str] = set()
        self._weather = _InstanceWeather(self._random, CALM, self._is_dead, self._crash)
        bus_of: Mapping[Cloud, type[CloudBus]] = {"gcp": PushBus, "aws": QueueBus}
        self._bus = bus_of[cloud](self._weather, START)
        self._ledger = WeatheredLedger(self._weather)
        self._grants = FakeGrants()
        self._blobs, self._owners = FakeBlobs(), FakeOwners()
        self._made = 0
        self._event_of: dict[str, str] = {}
        self._posted_at: dict[str, float] = {}
        self._arrivals: list[Arrival] = []
        self._given_up: set[str] = set()
        self._compiled = _slices(trouble)
        self._routes = read_program(self._compiled["transform"], is_compiled=True).routes
        self._instances: dict[str, list[_Instance]] = {}
        for topic, make in ((EVENTS, self._transform), (DELIVERIES, self._notify)):
            self._instances[topic] = [self._instance(make) for _ in range(INSTANCES)]
            self._bus.subscribe(topic, partial(self._handle, topic))
        self._bus.subscribe(DEAD_LETTERS, self._keep)
        self._sweeping = self._notifier()

    def _instance(self, make: Callable[[], Callable[[Push], Awaitable[bool]]]) -> _Instance:
        self._made += 1
        return _Instance(f"i{self._made}", make())

    def _gate(self) -> ProcessGate:
        return process_gate(read_settings(ENVIRONMENTS[self._cloud]), self._clock.now)

    def _leases(self, gate: ProcessGate) -> InstanceLeases | None:
        self._made += 1
        holder = f"holder-{self._made}"
        return InstanceLeases(lambda: self._grants, gate, self._clock, holder) if self._cloud == "aws" else None

    def _transform(self) -> Callable[[Push], Awaitable[bool]]:
        gate = self._gate()
        services = Services(
            FakeSecrets({}),
            lambda: self,
            self._owners,
            self._blobs,
            now=self._clock.now,
            hosts=StepHosts(gate, self._clock, self._leases(gate)),
        )
        transformer = Transformer(self._routes, self._bus, self._blobs, None, self._clock, services)

        async def take(push: Push) -> bool:
            with contextlib.suppress(Permanent):  # dead-lettered, which the bus has confirmed
                await transformer.take(push)
            return True

        return take

    def _notify(self) -> Callable[[Push], Awaitable[bool]]:
        notifier = self._notifier()

        async def take(push: Push) -> bool:
            return isinstance(await notify(push, notifier), Acknowledged)

        return take

    def _notifier(self) -> Notifier:
        gate = self._gate()
        compiled = self._compiled["notify"]
        notifier = compiled_notifier(compiled, self, self._ledger, self._bus, self._clock, gate, self._grants)
        return replace(notifier, instances=self._leases(gate))

    async def live(self) -> Report:
        self._weather.rates = RATES
        beside = [asyncio.create_task(each) for each in (self._crash_for_a_while(), self._sweep_for_ever())]
        given = self._trouble
        quiet = self._post_all("quiet", QUIET_EVENTS, QUIET_PER_SECOND, QUIET_FROM)
        await asyncio.gather(quiet, self._post_all("loud", given.events * self._is_loud, given.rate(self._cloud), 5.0))
        while self._clock.time() < END_SECONDS and not self._is_over():
            await asyncio.sleep(SWEEP_SECONDS)
        for each in beside:
            each.cancel()
        return self._report()

    def _is_over(self) -> bool:
        return self._bus.is_empty and all(row.state in FINAL for row in self._ledger.table.values())

    async def _post_all(self, source: str, count: int, per_second: float, since: float) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                await asyncio.sleep(max(0.0, since + number / per_second - self._clock.time()))
                group.create_task(self._post(source, number))

    async def _post(self, source: str, number: int) -> None:
        """Publish the event as receive does, again until the bus confirms it."""
        event_id, now = f"{source}-{number}", rfc3339(self._clock.now())
        who = "noisy" if source == "loud" else f"q{number % QUIET_KEYS}"
        self._posted_at[event_id] = self._clock.time()
        self._event_of[event_id] = event_id
        RUN.set(Run(event_id))
        event = Event(event_id, f"/sources/{source}", "order", now, "a" * 64, {"id": event_id, "who": who})
        message = BusMessage(event_json(event), {"ce-id": event_id, "ce-type": "order", "ce-source": event.source})
        while True:
            try:
                return await self._bus.publish(EVENTS, [message])
            except (Temporary, Crash):
                await asyncio.sleep(self._random.uniform(1, 5))

    async def _crash_for_a_while(self) -> None:
        while self._clock.time() < QUIET_FROM + QUIET_EVENTS / QUIET_PER_SECOND + SWEEP_SECONDS:
            await asyncio.sleep(self._random.expovariate(1 / CRASH_SECONDS))
            instances = self._instances[self._random.choice((EVENTS, DELIVERIES))]
            self._end(instances, self._random.randrange(INSTANCES))
        self._weather.rates = CALM

    def _is_dead(self, worker: str) -> bool:
        return worker.partition("/")[0] in self._dead

    def _crash(self, worker: str) -> None:
        """End the instance of the worker. A sender, which has none, tries again."""
        name = worker.partition("/")[0]
        for instances in self._instances.values():
            for number, instance in enumerate(instances):
                if instance.name == name:
                    self._end(instances, number)
                    return
        self._weather.strike()

    def _end(self, instances: list[_Instance], number: int) -> None:
        """End the process at once, and start another one in its place."""
        ended, now = instances[number], self._clock.time()
        make = self._transform if instances is self._instances[EVENTS] else self._notify
        instances[number] = self._instance(make)
        self._dead.add(ended.name)
        for worker, task in ended.under_way.items():
            self._weather.noted.append(Disturbance("strike", now, now, worker))
            task.cancel()

    async def _sweep_for_ever(self) -> None:
        pauses = SweepPauses(self._sweeping.states, self._sweeping.destinations.configured)
        sweeper = Sweeper(self._ledger, self._bus, self._clock, looks_ahead=True, pauses=pauses)
        while True:
            minute = self._clock.time()
            with contextlib.suppress(Temporary, Crash):
                await sweeper.sweep()
            await asyncio.sleep(max(0.0, minute + SWEEP_SECONDS - self._clock.time()))

    async def _handle(self, topic: str, number: int, body: bytes) -> bool:
        instance, push = self._instances[topic][number], parse_push(body)
        self._made += 1
        worker = f"{instance.name}/{self._made}"
        found = EVENT_ID.search(push.data)
        self._event_of[worker] = found[0].decode() if found else ""
        task = asyncio.create_task(_run(instance, worker, push))
        instance.under_way[worker] = task
        await asyncio.wait({task})
        del instance.under_way[worker]
        return not task.cancelled() and task.result()

    async def _keep(self, _: int, body: bytes) -> bool:
        self._given_up.add(letter_of_body(body, self._clock.now()).id)
        return True

    async def fetch(self, request: Outgoing) -> Fetched:
        """Answer as the receiver: the world is the network too."""
        name = request.url.removeprefix("https://").partition(".")[0]
        began, is_well = self._clock.time(), self._clock.time() >= BACK_AT
        if name == "refuses" and not is_well:
            raise Temporary("host_unreachable", f"{name} refuses connections")
        if name == "hangs" and not is_well:
            await asyncio.sleep(request.timeout_seconds)
            raise Unanswered("host_unreachable", f"{name} did not answer")
        delivery_id = next((value for header, value in request.headers if header == "webhook-id"), None)
        try:
            await asyncio.sleep(SLOW_SECONDS.get(name, 0.0) + self._random.expovariate(30))
        finally:
            if delivery_id is not None and (is_well or name != "fails"):
                worker = RUN.get()
                assert worker is not None
                self._arrivals.append(Arrival(delivery_id, began, self._clock.time(), worker.worker))
        if name == "fails" and not is_well:
            return Fetched(503, (), b"")
        return Fetched(200, (("content-type", "application/json"),), b"{}")

    def _report(self) -> Report:
        owed = {
            Delivery(_event(event_id), route, destination.strip()).id: event_id
            for event_id in self._posted_at
            for route in ("quiet", "loud")
            if event_id.startswith(route)
            for destination in (self._trouble.to if route == "loud" else self._trouble.quiet_to).split(",")
        }
        first: dict[str, float] = {}
        for arrival in sorted(self._arrivals, key=lambda each: each.arrived_at):
            first.setdefault(owed.get(arrival.id, ""), arrival.arrived_at)
        struck = {self._event_of.get(each.worker, "") for each in self._weather.noted}
        quiet = [id_ for id_ in self._posted_at if id_.startswith("quiet") and id_ not in struck and id_ in first]
        posts = [Post(id_, 200) for id_ in owed]
        return Report(
            seed=self._seed,
            cloud=self._cloud,
            trouble=self._name,
            verdict=check(posts, self._arrivals, self._weather.noted, GRACE, given_up=self._given_up),
            delays=sorted(first[id_] - self._posted_at[id_] for id_ in quiet),
            struck=sum(id_.startswith("quiet") for id_ in struck),
            given_up=len(self._given_up),
            brought=self._bus.brought,
            open_rows=sum(row.state not in FINAL for row in self._ledger.table.values()),
        )


async def _run(instance: _Instance, worker: str, push: Push) -> bool:
    RUN.set(Run(worker))
    try:
        return await instance.take(push)
    except (Temporary, Crash):
        return False


def _event(event_id: str) -> Event:
    return Event(event_id, "", "", "", "", {})
