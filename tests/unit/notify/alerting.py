"""Notify over fakes, with destinations that get alerts, and the bus between its parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from functions.notify.alerts.monitor import Monitor
from functions.notify.alerts.publisher import AlertPublisher, AlertSettings, Silence, read_alert_settings
from functions.notify.destination import Destination
from functions.notify.digests.closing import Closer
from functions.notify.digests.settings import Digest, GatherSettings
from functions.notify.entry import Service, take_dead_letter
from functions.notify.waiting.sweep import Sweeper
from shared.delivery import Delivery
from shared.jsontext import Json, JsonObject
from shared.ports import DEAD_LETTERS, DELIVERIES, BusMessage
from shared.push import Push
from tests.fakes.destinations import FakeDestination, FakeDestinations, Options
from tests.fakes.notifier import EVENT, FakeNotifier
from tests.fakes.pushes import from_anybody

ALERTS = GatherSettings(digest=Digest(300.0, None), is_alerts=True)
START = 1_790_000_100.0


@dataclass
class Alerting:
    """`to` get alerts; `told` are those whose deliveries of alerts gather; all `options` are by destination."""

    made: Mapping[str, FakeDestination] = field(
        default_factory=lambda: {"crm": FakeDestination(), "ops": FakeDestination()}
    )
    to: Sequence[str] = ("ops",)
    options: Mapping[str, Options] = field(default_factory=dict)
    silences: Mapping[str, Silence] = field(default_factory=dict)
    gather: GatherSettings = ALERTS
    notifier: FakeNotifier = field(init=False)
    settings: AlertSettings = field(init=False)

    def __post_init__(self) -> None:
        made: dict[str, Destination] = dict(self.made)
        destinations = FakeDestinations(made, options=self.options)
        destinations.configured = {
            name: replace(each, alerts=replace(each, gather=self.gather))
            for name, each in destinations.configured.items()
        }
        self.notifier = FakeNotifier(self.made["crm"], destinations)
        self.notifier.clock.time = START
        to: list[Json] = list(self.to)
        silence: JsonObject = {
            name: {"after_seconds": each.after_seconds, "to": list[Json](each.to), "lag_seconds": each.lag_seconds}
            for name, each in self.silences.items()
        }
        settings = read_alert_settings({"alerts": {"to": to, "silence": silence}}, destinations.configured)
        assert settings is not None
        self.settings = settings
        self.start()
        self._read = 0

    def start(self) -> None:
        """As a new process."""
        notifier, configured = self.notifier, list(self.made)
        notifier.start()
        self.alerts = AlertPublisher(self.settings, notifier.bus)
        self.monitor = Monitor(self.alerts, configured, notifier.ledger, lambda: notifier.records, notifier.clock)
        closer = Closer(
            notifier.parts.destinations.configured,
            notifier.ledger,
            notifier.bus,
            lambda: notifier.records,
            notifier.clock,
        )
        sweeper = Sweeper(
            notifier.ledger, notifier.bus, notifier.clock, notifier.clock.sleep, groups=closer, monitor=self.monitor
        )
        self.service = Service(notifier.parts, sweeper, notifier.journal, from_anybody, self.alerts)

    async def fail(self, number: int, destination: str = "crm", **fields: Json) -> None:
        """Bring an event that the destination is to refuse."""
        event = replace(EVENT, id=f"{number:032x}", data=fields or {"number": number})
        await self.notifier.take(Delivery(event, "tell the list", destination))

    async def bring(self) -> int:
        """Bring what the bus has, until it has no more; return how many messages that were."""
        first = self._read
        while self._read < len(self.notifier.bus.sent):
            topic, message = self.notifier.bus.sent[self._read]
            self._read += 1
            if topic == DELIVERIES:
                await self.notifier.take_message(message)
            elif topic == DEAD_LETTERS:
                assert await self.keep(message)
        return self._read - first

    async def keep(self, message: BusMessage) -> bool:
        return await take_dead_letter(lambda: self.service, Push(message.data, dict(message.attributes), "m"), 0.0)

    async def pass_time(self, seconds: float, step: float = 60.0) -> None:
        """Let that time pass, with a sweep each minute."""
        end = self.notifier.clock.now() + seconds
        await self.bring()
        while self.notifier.clock.now() < end:
            self.notifier.clock.advance(step)
            await self.service.sweeper.sweep()
            await self.bring()

    def told(self, name: str = "ops") -> list[Delivery]:
        """Return the messages of alerts that a destination took."""
        return [each for each in self.made[name].delivered if each.event.source == "/alerts/hookchain"]


def data_of(delivery: Delivery) -> JsonObject:
    assert isinstance(delivery.event.data, dict)
    return delivery.event.data


def kinds_of(delivery: Delivery) -> list[tuple[Json, Json, Json]]:
    kinds = data_of(delivery)["kinds"]
    assert isinstance(kinds, list)
    return [(each["type"], each["source"], each["count"]) for each in kinds if isinstance(each, dict)]


def lines_of(delivery: Delivery) -> list[str]:
    events = data_of(delivery)["events"]
    assert isinstance(events, list)
    return [str(each["line"]) for each in events if isinstance(each, dict)]
