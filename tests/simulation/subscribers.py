"""Deliveries to subscribers in a seeded world: fan-out page by page, while anything may crash, fail or be slow."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from functions.notify.notifier import Notifier
from functions.notify.registry import Destinations, read_destinations
from functions.notify.subscribers.endpoints import Endpoints
from functions.notify.subscribers.subscribers import Subscribers, SubscriberSettings
from shared.delivery import Delivery, delivery_message
from shared.errors import Unanswered
from shared.event import Event, event_json
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject
from shared.ports import DELIVERIES
from shared.store_ports import Document
from shared.subscribers.directory import TENANTS, endpoints_of, messages_of
from shared.subscribers.model import Endpoint, Tenant
from shared.subscribers.names import EndpointName
from shared.subscribers.sealing import KEY_SECRET
from tests.fakes.destinations import a_context
from tests.fakes.documents import FakeDocuments
from tests.fakes.fan_out import KEY, OPTIONS, PAID, SIGNING, endpoint_id, sealed
from tests.fakes.secrets import FakeSecrets
from tests.fakes.virtual_time import run
from tests.kill.checker import Arrival, Post, Verdict, check
from tests.simulation.faults import CALM, RUN, Crash, Rates, SkewedClock, Weather
from tests.simulation.workers import Workers
from tests.simulation.world import GRACE, RETRY_SECONDS

TENANT_SIZES: Final = {"acme": 7, "bolt": 1, "cold": 0}
"""How many endpoints each tenant has. A page has fewer than those of the first."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to. `unkept`: tenants' messages that are missing."""

    seed: int
    verdict: Verdict
    strikes: int
    undelivered: int
    unkept: int

    @property
    def is_good(self) -> bool:
        return self.verdict.is_good and not self.undelivered and not self.unkept


class WeatheredDocuments(FakeDocuments):
    """Each call may be slow, fail or crash, before it is done or after."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self._weather = weather

    async def get(self, partition: str, id: str) -> Document | None:
        await self._weather.before("documents_unavailable")
        return await super().get(partition, id)

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        await self._weather.before("documents_unavailable")
        return await super().page(partition, limit, after, until)

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        await self._weather.before("documents_unavailable")
        version = await super().write(partition, id, text, expected, expires_at)
        await self._weather.after("documents_unavailable")
        return version


class Receivers:
    """The way out. What the receivers took they never forget."""

    def __init__(self, weather: Weather) -> None:
        self._weather = weather
        self.arrivals: list[Arrival] = []

    async def fetch(self, request: Outgoing) -> Fetched:
        weather = self._weather
        await asyncio.sleep(weather.random.expovariate(30))
        if weather.happens(weather.rates.destination_fails):
            return Fetched(503, (), b"")
        worker = RUN.get()
        assert worker is not None
        now = asyncio.get_running_loop().time()
        self.arrivals.append(Arrival(dict(request.headers)["webhook-id"], now, now, worker.worker))
        if weather.happens(weather.rates.crash):
            weather.strike()
            raise Crash("receiver")
        if weather.happens(weather.rates.destination_silent):
            weather.note_silence()
            raise Unanswered("host_unreachable", "no answer")
        return Fetched(200, (), b"ok")


class World(Workers):
    def __init__(self, seed: int) -> None:
        super().__init__(seed, Rates())
        self.documents = WeatheredDocuments(self.weather)
        self.receivers = Receivers(self.weather)
        self.notifiers = [self._notifier(clock) for clock in self.clocks]
        self.events = 0

    def _notifier(self, clock: SkewedClock) -> Notifier:
        written: JsonObject = {"customers": {**OPTIONS, "retry_seconds": list(RETRY_SECONDS)}}
        configured = read_destinations({"destinations": written})
        subscribers = Subscribers(self.documents, self.bus, clock, SubscriberSettings())
        secrets = FakeSecrets({KEY_SECRET: KEY})
        context = replace(
            a_context(secrets), clock=clock, fetch=lambda: self.receivers, subscribers=lambda: subscribers
        )
        notifier = self.notifier(clock, Destinations(configured, context))
        return replace(notifier, endpoints=Endpoints(configured, subscribers, context))

    async def live(self, events: int) -> Report:
        self.events = events
        self.weather.rates = CALM
        for tenant, size in TENANT_SIZES.items():
            await self.documents.write(TENANTS, tenant, Tenant(id=tenant).text())
            for number in range(size):
                await self._add(tenant, number)
        self.weather.rates = Rates()
        await self.run([self._send(event) for event in self._sent()], CALM)
        return await self._report()

    async def _add(self, tenant: str, number: int) -> None:
        id_ = endpoint_id(number)
        endpoint = Endpoint(
            id=id_,
            tenant=tenant,
            url=f"https://{tenant}-{number}.example.com/in",
            is_verified=True,
            secrets=(sealed(SIGNING, f"{tenant}/{id_}", number),),
        )
        await self.documents.write(endpoints_of(tenant), id_, endpoint.text())

    def _sent(self) -> list[Event]:
        tenants: Json = list(TENANT_SIZES)
        return [replace(PAID, id=f"e{number}", data={"accountId": tenants}) for number in range(self.events)]

    async def _send(self, event: Event) -> None:
        message = delivery_message(Delivery(event, "all", "customers"), event_json(event), event.receivedat, {})
        await self.until_answered(lambda: self.bus.publish(DELIVERIES, [message]))

    async def _report(self) -> Report:
        owed = [
            Delivery(event, "all", str(EndpointName("customers", tenant, endpoint_id(number)))).id
            for event in self._sent()
            for tenant, size in TENANT_SIZES.items()
            for number in range(size)
        ]
        kept = sum([len(await self.documents.page(messages_of(tenant), 10_000)) for tenant in TENANT_SIZES])
        posts = [Post(id_, 200) for id_ in owed]
        return Report(
            seed=self.seed,
            verdict=check(posts, self.receivers.arrivals, self.weather.noted, GRACE),
            strikes=self.weather.count("strike"),
            undelivered=sum(row.state != "delivered" for row in self.ledger.table.values()),
            unkept=len(TENANT_SIZES) * self.events - kept,
        )


def simulate_subscribers(seed: int, events: int) -> Report:
    return run(World(seed).live(events))
