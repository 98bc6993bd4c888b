"""The subscribers' API over fakes, with an operator's key, and requests to it as values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from functions.subscribe import api
from functions.subscribe.credentials import api_key_text, read_api_key
from functions.subscribe.service import Keyring, RequestRate, Service
from functions.subscribe.settings import SubscribeSettings, read_settings
from shared.claim_check import checked_in
from shared.delivery import Delivery, delivery_from
from shared.event import Event, event_json
from shared.http import Reply, Request, body_too_large
from shared.jsontext import Json, JsonObject, list_at, mapping_at
from shared.ports import DELIVERIES
from shared.subscribers.directory import API_KEYS, Directory, message_id
from shared.subscribers.model import ApiKey, Message, Scope
from shared.times import rfc3339
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.documents import FakeDocuments
from tests.fakes.fetch import FakeFetch
from tests.fakes.grants import FakeGrants
from tests.fakes.ledger import FakeLedger
from tests.fakes.secrets import FakeSecrets

SLICE: Final[JsonObject] = {
    "function": "subscribe",
    "subscribers": {"public_url": "https://hooks.example.com", "limits": {"endpoints": 5}, "verify": "none"},
    "destinations": {"customers": {"payload": "standard", "rate": "100/s"}},
    "event_types": {
        "order.paid": {"description": "An order is paid.", "group": "orders", "examples": [{"total": 12}]},
        "order.lost": {"schema": {"type": "object", "properties": {"why": {"type": "string"}}}},
    },
}
KEY: Final = "0123456789abcdefghijklmnopqrstuvwxyz-subscribers"
ALL_SCOPES: Final[tuple[Scope, ...]] = ("admin",)


class Answer:
    """A reply, read as JSON."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.status = reply.status
        self.headers = dict(reply.headers)

    @property
    def json(self) -> JsonObject:
        return mapping_at(json.loads(self.reply.body))

    @property
    def code(self) -> str:
        return str(self.json["code"])

    def text(self, name: str) -> str:
        value = self.json[name]
        assert isinstance(value, str)
        return value

    @property
    def items(self) -> list[JsonObject]:
        found = list_at(self.json["items"])
        return [each for each in found if isinstance(each, dict)]

    @property
    def paths(self) -> list[str]:
        """Return what the problem says is at fault."""
        errors = self.json.get("errors")
        return [str(each["path"]) for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []


@dataclass
class Subscribers:
    """`key` is an API key that may do all."""

    settings: SubscribeSettings = field(default_factory=lambda: read_settings(SLICE))
    documents: FakeDocuments = field(default_factory=FakeDocuments)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    bus: FakeBus = field(default_factory=FakeBus)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    fetch: FakeFetch = field(default_factory=FakeFetch)
    clock: FakeClock = field(default_factory=FakeClock)
    secrets: FakeSecrets = field(default_factory=lambda: FakeSecrets({"subscribers-key": KEY}))
    grants: FakeGrants = field(default_factory=FakeGrants)
    elapsed: float = 0.0
    drawn: int = 0

    def __post_init__(self) -> None:
        self.service = Service(
            settings=self.settings,
            directory=Directory(self.documents),
            keyring=Keyring(self.secrets),
            ledger=self.ledger,
            bus=self.bus,
            blobs=self.blobs,
            fetch=lambda: self.fetch,
            clock=self.clock,
            random_bytes=self._random_bytes,
            elapsed=lambda: self.elapsed,
            request_rate=RequestRate(lambda: self.grants, self.clock),
        )

    def _random_bytes(self, count: int) -> bytes:
        self.drawn += 1
        return sha256(b"%d" % self.drawn).digest()[:count]

    async def key(self, *scopes: Scope) -> str:
        """Keep an API key with these scopes, and return it."""
        id_ = f"key{len(self.documents.kept):09d}"
        text = api_key_text(id_, self._random_bytes(32))
        parts = read_api_key(text)
        assert parts
        kept = ApiKey(id=id_, scopes=scopes or ALL_SCOPES, digests=((parts.digest, None),))
        await self.documents.write(API_KEYS, id_, kept.text())
        return text

    async def send(
        self,
        method: str,
        path: str,
        body: "Json | bytes" = None,
        *,
        by: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request with that key or token. A body that is no bytes goes as JSON."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        lines = {"host": "hooks.test", **({"content-type": "application/json"} if content else {})}
        if by:
            lines["authorization"] = f"Bearer {by}"
        lines |= {name.lower(): value for name, value in (headers or {}).items()}

        async def read(most: int) -> bytes:
            if len(content) > most:
                raise body_too_large(most)
            return content

        where, _, query = path.partition("?")
        return Answer(await api.answer(self.service, Request(method, where, query, tuple(lines.items())), read))

    async def pages(self, path: str, by: str) -> list[Answer]:
        """Read a list to its end. `path` has a query."""
        found = [await self.send("GET", path, by=by)]
        while (cursor := found[-1].json["next"]) is not None:
            found.append(await self.send("GET", f"{path}&cursor={cursor}", by=by))
        return found

    async def tenant(self, name: str, by: str) -> str:
        assert (await self.send("PUT", f"/v1/tenants/{name}", {}, by=by)).status == 200
        return name

    async def token(self, tenant: str, by: str, *capabilities: str) -> str:
        body: JsonObject = {"capabilities": list(capabilities)} if capabilities else {}
        answer = await self.send("POST", f"/v1/tenants/{tenant}/portal-tokens", body, by=by)
        assert answer.status == 201, answer.json
        return answer.text("token")

    async def endpoint(self, tenant: str, by: str, **fields: Json) -> JsonObject:
        body: JsonObject = {"url": "https://customer.example.com/in", **fields}
        answer = await self.send("POST", f"/v1/tenants/{tenant}/endpoints", body, by=by)
        assert answer.status == 201, answer.json
        return answer.json

    async def message(self, tenant: str, number: int, type_: str = "order.paid", data: Json = None) -> Message:
        """Keep a message as the fan-out does, received a second after the one before."""
        received = self.clock.now() - 1_000 + number
        event = Event(
            id=f"{number:032x}",
            source="/sources/shop",
            type=type_,
            receivedat=rfc3339(received),
            payloadhash="0" * 64,
            data={"number": number} if data is None else data,
        )
        event, content = await checked_in(event, self.blobs, f"events/{event.id}.json", event_json(event))
        message = Message(
            id=message_id(received, event.id, "all", "customers"),
            event_id=event.id,
            type=type_,
            route="all",
            destination="customers",
            received_at=received,
            event=content.decode(),
            kept_at=self.clock.now(),
        )
        await self.service.directory.keep_message(tenant, message, received + 86_400)
        return message

    def published(self) -> list[Delivery]:
        return [delivery_from(json.loads(message.data)) for message in self.bus.on(DELIVERIES)]


async def api_with_tenant(fetch: FakeFetch | None = None, /, **settings: object) -> tuple[Subscribers, str]:
    """Return the API with these settings, and a key that may do all, once the tenant `acme` is there."""
    all_settings = replace(read_settings(SLICE), **settings)  # type: ignore[arg-type] # the fields of SubscribeSettings
    api = Subscribers(settings=all_settings, fetch=fetch or FakeFetch())
    key = await api.key()
    await api.tenant("acme", key)
    return api, key
