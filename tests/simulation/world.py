"""The three functions' own decisions, joined as they are deployed, in a seeded world where what can go wrong does."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from functions.notify.alerts.alert import alert_event
from functions.notify.alerts.publisher import AlertPublisher, AlertSettings, alert_of_letter
from functions.notify.dead_letters import keep_dead_letter, letter_of_body
from functions.notify.destination import Destination
from functions.notify.digests.closing import Closer
from functions.notify.notifier import Notifier
from functions.notify.registry import DeliveryOptions, Destinations
from functions.notify.settle import MAX_UNKNOWN
from functions.notify.waiting.sweep import Sweeper
from functions.receive.receive import Accepted, Receiver
from functions.receive.source import read_sources
from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary
from shared.event import Event
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.ports import DEAD_LETTERS, EVENTS
from shared.push import parse_push
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.secrets import FakeSecrets
from tests.fakes.virtual_time import run
from tests.kill.checker import Grace, Post, Verdict, check
from tests.simulation.faults import CALM, Rates, SkewedClock
from tests.simulation.gathering import (
    ALERTS,
    GATHERING,
    OPS,
    ROOMS,
    ROUTE,
    WeatheredRecords,
    member_arrivals,
    members_of,
    torn,
)
from tests.simulation.ports import REFUSED_TYPE, Inbox, KeptDeadLetters
from tests.simulation.repeats import is_repeated_too_soon, longest_row
from tests.simulation.workers import EPOCH, Workers

RETRY_SECONDS: Final = (1.0, 5.0, 30.0, *[120.0] * 40)
SOURCES: Final[JsonObject] = {
    "shop": {"auth": [{"scheme": "none"}], "methods": ["POST"], "max_body_bytes": 10_000, "id": "data.id"}
}
ROUTES: Final[list[Json]] = [
    {"name": "all", "from": None, "types": None, "where": None, "steps": [], "to": ["inbox"]},
    {
        "name": "large",
        "from": ["shop"],
        "types": None,
        "where": "data.id > `250`",
        "steps": [],
        "to": ["inbox", "other"],
    },
]
NEWS: Final[JsonObject] = {
    "name": ROUTE,
    "from": None,
    "types": None,
    "where": f"type != '{REFUSED_TYPE}'",
    "steps": [],
    "to": [*GATHERING],
}


# A strike or a stall is noted with the worker whom it struck: it may explain a copy until that worker's end.
GRACE: Final = Grace(before_seconds=0.0, after_seconds=math.inf)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to.

    `repeated`: deliveries repeated too soon, or too often, where the attempt before may have been accepted.
    `torn`: what is wrong with deliveries that were made of others. `empty`: messages on the bus without content.
    """

    seed: int
    verdict: Verdict
    accepted: int
    dead_letters: int
    strikes: int
    repeated: tuple[str, ...]
    torn: tuple[str, ...]
    empty: int

    @property
    def is_good(self) -> bool:
        return self.verdict.is_good and not self.repeated and not self.torn and not self.empty


def simulate(seed: int, events: int, rates: Rates | None = None, calm: Rates = CALM, *, gathers: bool = True) -> Report:
    """`calm`: the rates once every event was sent. `gathers`: some destinations gather."""
    return run(World(seed, rates or Rates(), gathers=gathers).live(events, calm))


class Connected(Destinations):
    """The registry of destinations, all of which are inboxes."""

    def __init__(self, inboxes: Mapping[str, Destination]) -> None:
        self._inboxes = inboxes
        self.configured = {
            name: DeliveryOptions(name, "inbox", None, RETRY_SECONDS, 15.0, "resend", gather=GATHERING.get(name))
            for name in inboxes
        }
        if OPS in inboxes:
            self.configured[OPS] = replace(
                self.configured[OPS], alert_options=replace(self.configured[OPS], gather=ALERTS)
            )

    def connected(self, configured: DeliveryOptions) -> Destination:
        return self._inboxes[configured.name]


class World(Workers):
    def __init__(self, seed: int, rates: Rates, *, gathers: bool = True) -> None:
        super().__init__(seed, rates)
        self.gathering = GATHERING if gathers else {}
        self.ops = (OPS,) if gathers else ()
        routes = [*ROUTES, NEWS] if gathers else ROUTES
        self.dead_letters = KeptDeadLetters()
        self.inboxes = {
            "inbox": Inbox(self.weather, dedupes_repeats=False),
            "other": Inbox(self.weather, dedupes_repeats=True),
            **{name: Inbox(self.weather, dedupes_repeats=True) for name in (*self.gathering, *self.ops)},
        }
        self.records = WeatheredRecords(self.weather)
        self.accepted: dict[str, Event] = {}
        self.receivers = [self._receiver(clock) for clock in self.clocks]
        self.transformers = [
            Transformer(read_program({"routes": routes}).routes, self.bus, FakeBlobs(), None, clock)
            for clock in self.clocks
        ]
        self.notifiers = [self.notifier(clock, Connected(self.inboxes)) for clock in self.clocks]
        self.bus.subscribe(EVENTS, self._transform)
        self.bus.subscribe(DEAD_LETTERS, self._keep)

    def _receiver(self, clock: SkewedClock) -> Receiver:
        def random_id() -> str:
            return f"{self.random.getrandbits(128):032x}"

        return Receiver(read_sources({"sources": SOURCES}), FakeSecrets({}), self.bus, None, clock, random_id)

    def sweeper(self, notifier: Notifier) -> Sweeper:
        configured = notifier.destinations.configured
        closer = Closer(configured, self.ledger, self.bus, lambda: self.records, notifier.clock)
        return Sweeper(self.ledger, self.bus, notifier.clock, closer=closer)

    async def live(self, events: int, calm: Rates) -> Report:
        await self.run([self._send(number) for number in range(events)], calm)
        return self._report()

    async def _send(self, number: int) -> None:
        kind = REFUSED_TYPE if number % 97 == 0 else "order"
        body = json.dumps({"id": number, "event": kind, "room": number % ROOMS}).encode()
        head = Request("POST", "/shop", "", (("content-type", "application/json"),))
        accepted = await self.until_answered(lambda: self.random.choice(self.receivers).receive(head, reading(body)))
        assert isinstance(accepted, Accepted)
        [event] = accepted.events
        self.accepted[event.id] = event

    async def _transform(self, body: bytes) -> bool:
        try:
            await self.random.choice(self.transformers).take(parse_push(body))
        except Temporary:
            return False
        except Permanent:
            pass  # dead-lettered, which the bus has confirmed
        return True

    async def _keep(self, body: bytes) -> bool:
        letter = letter_of_body(body, EPOCH)
        await keep_dead_letter(letter, self.dead_letters)
        settings = AlertSettings(self.ops, {}, {OPS: frozenset({OPS})})
        try:
            await AlertPublisher(settings, self.bus).publish_for(letter)
        except Temporary:
            return False
        return True

    def _report(self) -> Report:
        owed = [
            Delivery(event, route, destination).id
            for event in self.accepted.values()
            for route, destination in _owed(event, self.gathering)
        ]
        events = {str(event.deliveryid): event for event in self.accepted.values()}
        taken = [copy for name in self.gathering for copy in self.inboxes[name].taken]
        alone = [inbox for name, inbox in self.inboxes.items() if name not in (*self.gathering, *self.ops)]
        arrivals = [arrival for inbox in alone for arrival in inbox.arrivals]
        arrivals += member_arrivals(taken, events)
        posts = [Post(id, 200) for id in owed]
        return Report(
            seed=self.seed,
            verdict=check(posts, arrivals, self.weather.noted, GRACE, given_up=self.dead_letters.ids),
            accepted=len(self.accepted),
            dead_letters=len(self.dead_letters.ids),
            strikes=self.weather.count("strike"),
            repeated=tuple(sorted(self._repeated())),
            torn=(*torn(taken, events), *self._unalerted(events)),
            empty=self.bus.empty,
        )

    def _unalerted(self, events: Mapping[str, Event]) -> Iterator[str]:
        """Yield what is wrong with alerts: each is about a dead letter, and each dead letter is in one digest."""
        for name in self.ops:
            copies = self.inboxes[name].taken
            yield from torn(copies, events)
            alerts = {id for copy in copies for id in members_of(copy.delivery, events)}
            letters = {alert_event(alert_of_letter(each, 0, "")).id for each in self.dead_letters.kept}
            yield from (f"{id}: a dead letter without an alert, or an alert without one" for id in alerts ^ letters)

    def _repeated(self) -> Iterator[str]:
        """Yield the deliveries that were repeated too soon or too often after an attempt without an answer."""
        disturbed: dict[str, float] = {}
        for each in self.weather.noted:
            if each.kind != "silence":
                disturbed[each.worker] = max(each.ended_at, disturbed.get(each.worker, 0.0))
        late = {each.worker for each in self.weather.noted if each.delays}  # its copy may come after a later attempt's
        for inbox in self.inboxes.values():
            for delivery_id, effects in inbox.effects.items():
                is_too_often = not inbox.dedupes_repeats and longest_row(effects) > MAX_UNKNOWN
                on_time = [effect for effect in effects if effect.worker not in late]
                if is_too_often or is_repeated_too_soon(on_time, disturbed):
                    yield delivery_id


def _owed(event: Event, gathering: Iterable[str]) -> list[tuple[str, str]]:
    is_large = int(event.deliveryid or 0) > 250
    news = [(ROUTE, name) for name in gathering] if event.type != REFUSED_TYPE else []
    return [("all", "inbox"), *([("large", "inbox"), ("large", "other")] if is_large else []), *news]
