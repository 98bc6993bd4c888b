"""Notify with subscribers, over fakes: a destination `customers`, and endpoints that tests add."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, cast

from functions.notify.notifier import Result
from functions.notify.registry import Destinations, read_destinations
from functions.notify.subscribers.endpoints import Endpoints
from functions.notify.subscribers.subscribers import Subscribers, SubscriberSettings
from shared.delivery import Delivery
from shared.event import Event
from shared.fetch import Fetched
from shared.jsontext import Json, JsonObject
from shared.ledger import Ledger, LedgerRow
from shared.ports import DELIVERIES, BusMessage
from shared.store_ports import Documents
from shared.subscribers.directory import TENANTS, endpoints_of, messages_of
from shared.subscribers.model import Endpoint, EndpointSecret, Message, Tenant
from shared.subscribers.sealing import KEY_SECRET, NONCE_BYTES, sealer_of
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.destinations import a_context
from tests.fakes.documents import FakeDocuments
from tests.fakes.fetch import FakeFetch
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import FakeNotifier
from tests.fakes.secrets import FakeSecrets

KEY: Final = "k" * 40
SIGNING: Final = f"whsec_{b64encode(b's' * 24).decode()}"
PAID: Final = Event(
    "e1", "/sources/app", "order.paid", "2026-09-21T14:13:20.000Z", "a" * 64, {"accountId": "acme", "total": 120}
)
OK: Final = Fetched(200, (), b"ok")
OPTIONS: Final[JsonObject] = {
    "kind": "subscribers",
    "settings": {"tenant": "data.accountId", "type": "{{ type }}", "payload": "standard"},
    "retry_seconds": [5.0, 300.0, 3_600.0],
    "timeout_seconds": 15.0,
    "on_unknown": "resend",
}


def endpoint_id(number: int) -> str:
    return f"ep_{number:020d}"


def sealed(text: str, place: str, number: int = 1) -> EndpointSecret:
    content = sealer_of((KEY,)).seal(text, place, number.to_bytes(NONCE_BYTES, "big"))
    return EndpointSecret(sealed=content, created_at=0.0)


class FakeWorld:
    """A deployment with subscribers. `clock`, `documents`, `ledger`, `bus` and `fetch` outlive a `start`.

    `stored` is the fake that `documents` are, unless a test puts others in their place.
    """

    def __init__(
        self,
        options: JsonObject | None = None,
        settings: SubscriberSettings | None = None,
        destinations: JsonObject | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.stored = FakeDocuments()
        self.documents: Documents = self.stored
        self.ledger: Ledger = FakeLedger()
        self.bus = FakeBus()
        self.blobs = FakeBlobs()
        self.secrets = FakeSecrets({KEY_SECRET: KEY})
        self.fetch = FakeFetch()
        self.settings = settings or SubscriberSettings()
        self._written: JsonObject = {"customers": {**OPTIONS, **(options or {})}, **(destinations or {})}
        self._taken = 0
        self.start()

    def start(self) -> None:
        """As a new process: with nothing remembered."""
        configured = read_destinations({"destinations": self._written})
        subscribers = Subscribers(self.documents, self.bus, self.clock, self.settings)
        context = replace(
            a_context(self.secrets),
            blobs=self.blobs,
            clock=self.clock,
            fetch=lambda: self.fetch,
            subscribers=lambda: subscribers,
        )
        self.notifier = FakeNotifier(
            destinations=Destinations(configured, context),
            ledger=self.ledger,
            bus=self.bus,
            clock=self.clock,
            make_endpoints=lambda: Endpoints(configured, subscribers, context),
        )

    def start_on(self, documents: Documents, ledger: Ledger) -> None:
        """Start with stores that a test measures."""
        self.documents, self.ledger = cast("FakeDocuments", documents), cast("FakeLedger", ledger)
        self.start()

    async def tenant(self, id_: str = "acme", email: str = "") -> None:
        await self.documents.write(TENANTS, id_, Tenant(id=id_, email=email).text())

    async def endpoint(self, number: int = 1, tenant: str = "acme", secret: str = SIGNING, **fields: object) -> str:
        """Add an endpoint, which answers 200 unless `answers` says otherwise. Return its name as a destination."""
        id_ = endpoint_id(number)
        url = f"https://{tenant}-{number}.example.com/in"
        written: dict[str, object] = {
            "id": id_,
            "tenant": tenant,
            "url": url,
            "is_verified": True,
            "secrets": [sealed(secret, f"{tenant}/{id_}", number)],
            **fields,
        }
        endpoint = Endpoint.model_validate(written)
        await self.documents.write(endpoints_of(tenant), id_, endpoint.text())
        self.fetch.answers.setdefault(endpoint.url, OK)
        return f"customers:{tenant}:{id_}"

    async def read(self, number: int = 1, tenant: str = "acme") -> Endpoint:
        found = await self.documents.get(endpoints_of(tenant), endpoint_id(number))
        assert found is not None
        return Endpoint.model_validate_json(found.text)

    async def messages(self, tenant: str = "acme") -> list[Message]:
        found = await self.documents.page(messages_of(tenant), 1_000)
        return [Message.model_validate_json(each.text) for each in found]

    async def publish(self, event: Event = PAID, **attributes: str) -> Result:
        """Deliver the event to `customers`."""
        return await self.notifier.take(Delivery(event, "to customers", "customers"), **attributes)

    def published(self) -> Sequence[BusMessage]:
        """What was published since this was called last."""
        found = self.bus.on(DELIVERIES)[self._taken :]
        self._taken += len(found)
        return found

    async def take_all(self) -> list[Result]:
        """Take what is published, and what that publishes, as the bus would bring it."""
        results: list[Result] = []
        while messages := self.published():
            results += [await self.notifier.take_message(message) for message in messages]
        return results

    async def deliver(self, event: Event = PAID, **attributes: str) -> list[Result]:
        """Deliver the event to `customers`, and to the endpoints."""
        self.published()
        return [await self.publish(event, **attributes), *await self.take_all()]

    async def sweep(self) -> list[Result]:
        self.published()
        await self.notifier.sweep()
        return await self.take_all()

    async def row(self, name: str) -> LedgerRow:
        (row,) = await self.ledger.rows(10, destination=name)
        return row

    def asked(self) -> list[str]:
        """The hosts that got a request, in order."""
        return [request.url.split("/")[2].removesuffix(".example.com") for request in self.fetch.asked]


def paid(number: int, data: Json = None) -> Event:
    return replace(PAID, id=f"e{number}", data=data if data is not None else PAID.data)
