import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from functions.notify.alerts.monitor import Monitor
from functions.notify.destination import Destination
from functions.notify.digests.closing import Closer
from functions.notify.notifier import Notifier, Result
from functions.notify.notify import notify
from functions.notify.recipients.recipient import Recipients
from functions.notify.registry import Destinations
from functions.notify.subscribers.endpoints import Endpoints
from functions.notify.waiting.caps import Caps
from functions.notify.waiting.pauses import Breakers, DestinationStates, SweepPauses
from functions.notify.waiting.sweep import Sweeper
from shared.delivery import Delivery
from shared.event import Event
from shared.ledger import Ledger, LedgerRow
from shared.outgoing.gate import ProcessGate
from shared.outgoing.instance_leases import InstanceLeases
from shared.ports import DEAD_LETTERS, DELIVERIES, BusMessage
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.deliveries import to_cloudevent_of
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.grants import FakeGrants
from tests.fakes.journal import FakeJournal
from tests.fakes.ledger import FakeLedger
from tests.fakes.records import FakeRecords

EVENT = Event("e1", "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "a" * 64, {"name": "Ada"})
DELIVERY = Delivery(EVENT, "tell the list", "crm")


def a_delivery(number: int, destination: str = "crm") -> Delivery:
    return Delivery(replace(EVENT, id=f"e{number}"), "tell the list", destination)


def message_of(delivery: Delivery, now: float) -> bytes:
    return json.dumps(to_cloudevent_of(delivery, now)).encode()


def push_of(data: bytes, attributes: dict[str, str] | None = None) -> bytes:
    encoded = base64.b64encode(data).decode()
    message = {"data": encoded, "attributes": attributes or {}, "messageId": "1"}
    return json.dumps({"message": message, "subscription": "projects/p/subscriptions/deliveries"}).encode()


@dataclass
class FakeNotifier:
    """Notify over fakes, with the destination `crm`, its `options`, and the `others`."""

    crm: FakeDestination = field(default_factory=FakeDestination)
    destinations: Destinations | None = None
    ledger: Ledger = field(default_factory=FakeLedger)
    bus: FakeBus = field(default_factory=FakeBus)
    journal: FakeJournal = field(default_factory=FakeJournal)
    clock: FakeClock = field(default_factory=FakeClock)
    grants: FakeGrants = field(default_factory=FakeGrants)
    recipients: Recipients | None = None
    records: FakeRecords = field(default_factory=FakeRecords)
    make_endpoints: Callable[[], Endpoints] | None = None
    options: Options = field(default_factory=Options)
    others: Mapping[str, Destination] = field(default_factory=dict)
    places: int = 10_000
    is_on_lambda: bool = False
    parts: Notifier = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """As a new process: with nothing remembered."""
        made = FakeDestinations({"crm": self.crm, **self.others}, options={"crm": self.options})
        states = DestinationStates(self.ledger, self.clock)
        endpoints = self.make_endpoints() if self.make_endpoints else None
        gate = ProcessGate(self.clock.now, self.places, self.places)
        self.parts = Notifier(
            destinations=self.destinations or made,
            states=states,
            ledger=self.ledger,
            bus=self.bus,
            journal=self.journal,
            clock=self.clock,
            breakers=Breakers(states, self.clock, gate),
            gate=gate,
            caps=Caps(lambda: self.grants, self.clock),
            instances=InstanceLeases(lambda: self.grants, gate, self.clock, "me") if self.is_on_lambda else None,
            recipients=self.recipients,
            endpoints=endpoints,
            sleep=self.clock.sleep,
        )

    def new_sweeper(self, monitor: Monitor | None = None) -> Sweeper:
        configured = self.parts.destinations.configured
        gathers = any(each.gather or each.alert_options for each in configured.values())
        closer = Closer(
            configured, self.ledger, self.bus, lambda: self.records, self.clock, self.recipients, self.parts.spans
        )
        return Sweeper(
            self.ledger,
            self.bus,
            self.clock,
            self.clock.sleep,
            closer=closer if gathers else None,
            pauses=SweepPauses(self.parts.states, configured),
            monitor=monitor,
        )

    async def take(self, delivery: Delivery = DELIVERY, **attributes: str) -> Result:
        return await notify(push_of(message_of(delivery, self.clock.now()), attributes), self.parts)

    async def take_message(self, message: BusMessage) -> Result:
        return await notify(push_of(message.data, dict(message.attributes)), self.parts)

    async def sweep(self) -> int:
        return await self.new_sweeper().sweep()

    async def sweep_and_take(self) -> list[Result]:
        """What the sweep publishes, taken as the bus would bring it."""
        before = len(self.bus.on(DELIVERIES))
        await self.sweep()
        return [await self.take_message(message) for message in self.bus.on(DELIVERIES)[before:]]

    async def row(self) -> LedgerRow:
        (row,) = await self.ledger.rows(10)
        return row

    @property
    def dead_letters(self) -> list[BusMessage]:
        return self.bus.on(DEAD_LETTERS)
