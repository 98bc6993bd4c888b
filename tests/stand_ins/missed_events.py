"""Senders that lose events, with stand-ins for their APIs by their published descriptions, and what becomes of them."""

import base64
import hashlib
import hmac
import json
import random
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlsplit

import stripe
from stripe.params import EventListParams

from functions.notify.alerts.publisher import AlertPublisher
from functions.notify.recovery.listing import read_recovery_settings
from functions.notify.recovery.recovery import Recovery
from functions.receive import entry, messages
from functions.receive.receive import Receiver
from functions.receive.source import RECOVERED_NAME, read_sources
from functions.transform.program import read_program
from functions.transform.transform import Transformer
from shared import ports
from shared.dead_letter_message import dead_letter_from
from shared.fetch import Fetched, Outgoing
from shared.http import Request
from shared.jsontext import JsonObject, list_at, mapping_at
from shared.outgoing.guarded_fetch import verified_target
from shared.push import Push
from shared.times import rfc3339
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.configurations import compile_text
from tests.fakes.destinations import FakeDestination, FakeDestinations
from tests.fakes.journal import FakeJournal
from tests.fakes.notifier import FakeNotifier
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets
from tests.stand_ins.hook_providers import TOKEN, descriptions, verify

SECRET: Final = "the signing secret, long and random"
AIRTABLE_SECRET: Final = base64.b64encode(SECRET.encode()).decode()
CONFIGURATION: Final = """
sources:
  github: {provider: github, secret: signing, recover: {secret: token, repositories: [acme/shop]}}
  pay: {provider: stripe, secret: signing, recover: {secret: token}}
  shop:
    provider: square
    secret: signing
    public_url: https://hooks.example.com/shop
    recover: {secret: token}
routes: [{name: all, from: all, to: crm}]
destinations: {crm: {webhook: {url: https://crm.example.com/in, secret: out}}}
"""


@dataclass
class World:
    """The three functions over fakes, and the sweep's recovery. What the bus brings may come twice.

    `alter` returns what comes of an API's answer to a request.
    """

    configuration: str = CONFIGURATION
    clock: FakeClock = field(default_factory=FakeClock)
    secrets: FakeSecrets = field(
        default_factory=lambda: FakeSecrets({"signing": SECRET, "base-secret": AIRTABLE_SECRET, "token": TOKEN})
    )
    alerts: AlertPublisher | None = None
    repeats: random.Random | None = None
    bus: FakeBus = field(default_factory=FakeBus)

    def __post_init__(self) -> None:
        self.crm = FakeDestination()
        destinations = FakeDestinations({"crm": self.crm})
        self.notifier = FakeNotifier(destinations=destinations, bus=self.bus, clock=self.clock)
        self.slices = compile_text(self.configuration)
        self.github = GitHub(self)
        self.stripe = Stripe(self)
        self.square = Square(self)
        self.airtable = Airtable(self)
        self.gitlab = GitLab(self)
        self.sources = read_sources(self.slices["receive"])
        self.receiver = Receiver(
            self.sources, self.secrets, self.bus, FakeBlobs(), self.clock, random_id=lambda: "f" * 32
        )
        self.journal = FakeJournal()
        routes = read_program(self.slices["transform"]).routes
        self.transformer = Transformer(routes, self.bus, FakeBlobs(), self.journal, self.clock, owners=FakeOwners())
        self.alter: Callable[[Outgoing, Fetched], Fetched] = lambda _, answer: answer
        self._taken = 0
        self.recovery = self.new_recovery()

    def new_recovery(self) -> Recovery:
        """As in a new process."""
        return Recovery(
            read_recovery_settings(self.slices["notify"]),
            self,
            self.secrets,
            self.bus,
            self.journal,
            lambda: self.notifier.records,
            self.clock,
            self.alerts,
        )

    async def fetch(self, request: Outgoing) -> Fetched:
        verified_target(request)
        headers = dict(request.headers)
        assert (headers.get("PRIVATE-TOKEN") or headers["Authorization"].removeprefix("Bearer ")) == TOKEN
        for api in (self.github, self.stripe, self.square, self.airtable, self.gitlab):
            if request.url.startswith(api.host):
                return self.alter(request, await api.fetch(request))
        raise AssertionError(request.url)

    async def post(self, source: str, headers: dict[str, str], body: bytes) -> int:
        pairs = tuple((name.lower(), value) for name, value in headers.items())
        return (await entry.answer(self.receiver, Request("POST", f"/{source}", "", pairs), reading(body))).status

    async def run(self, seconds: float = 0.0) -> None:
        """Run the recovery once after so many seconds, and bring what it published."""
        self.clock.advance(seconds)
        await self.recovery.run()
        await self.pump()

    async def recover(self, seconds: float = 0.0) -> None:
        """Run the recovery as a sweep does, until nothing is left of it."""
        self.clock.advance(seconds)
        for _ in range(40):
            await self.recovery.run()
            self.clock.advance(31)
        await self.pump()

    async def pump(self) -> None:
        """Bring each message of the bus to its function."""
        while self._taken < len(self.bus.sent):
            topic, message = self.bus.sent[self._taken]
            self._taken += 1
            for _ in range(1 + (self.repeats.random() < 0.3 if self.repeats else 0)):
                push = Push(message.data, message.attributes, f"m{self._taken}")
                if topic == ports.RECOVERED:
                    await messages.take(self.receiver, self.sources[RECOVERED_NAME], push)
                elif topic == ports.EVENTS:
                    await self.transformer.take(push)
                elif topic == ports.DELIVERIES:
                    await self.notifier.take_message(message)

    @property
    def delivered(self) -> list[str]:
        """Return the sender's id of each delivered event."""
        return [str(each.event.deliveryid) for each in self.crm.delivered]

    @property
    def letters(self) -> list[str]:
        pushes = self.bus.on(ports.DEAD_LETTERS)
        return [dead_letter_from(json.loads(each.data)).reason for each in pushes]


class GitHub:
    """The deliveries of two hooks of acme/shop: the source's, and one of another system.

    is_down   its API answers 502
    limits    how many requests it answers before it says how long to wait
    written   how its payloads are written
    """

    host = "https://api.github.com"
    base = "/repos/acme/shop/hooks"

    def __init__(self, world: World) -> None:
        self.world = world
        self.log: list[JsonObject] = []
        self.is_down = False
        self.limits: int | None = None
        self.calls: list[str] = []
        self.hooks = {7: "https://hooks.example.com/github", 8: "https://ci.example.com/"}

    async def send(
        self,
        payload: JsonObject,
        *,
        is_lost: bool = False,
        event: str = "issues",
        status: int = 502,
        text: str | None = None,
        again: JsonObject | None = None,
    ) -> JsonObject:
        """Deliver an event, or lose it with this status, and note the delivery. `again`: redeliver that one."""
        body = (text or json.dumps(payload, separators=(",", ":"), ensure_ascii=False)).encode()
        guid = str(again["guid"]) if again else f"guid-{len(self.log)}"
        headers = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": guid,
            "X-Hub-Signature-256": f"sha256={hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()}",
            "Content-Type": "application/json",
        }
        answered = status if is_lost else await self.world.post("github", headers, body)
        delivery: JsonObject = {
            "id": 1000 + len(self.log),
            "guid": guid,
            "delivered_at": rfc3339(self.world.clock.now()),
            "redelivery": again is not None,
            "duration": 0.1,
            "status": "OK" if answered < 400 else "failed",
            "status_code": answered,
            "event": event,
            "action": payload.get("action"),
            "installation_id": None,
            "repository_id": 1,
            "throttled_at": None,
        }
        about: JsonObject = {"request": {"headers": dict(headers), "payload": payload}}
        self.log.append({**delivery, **about, "response": {"headers": {}, "payload": ""}, "text": text})
        return delivery

    async def lose(self) -> JsonObject:
        return await self.send({"action": "opened"}, is_lost=True)

    async def deliver(self, lost: JsonObject) -> None:
        """Redeliver it, as if the redelivery were not listed yet."""
        await self.send({"action": "opened"}, again=lost)
        self.log.pop()

    async def fetch(self, request: Outgoing) -> Fetched:
        url = urlsplit(request.url)
        self.calls.append(url.path)
        if self.is_down:
            return Fetched(502, (), b"<html>")
        if self.limits is not None and len(self.calls) > self.limits:
            return Fetched(403, (("retry-after", "900"),), b'{"message": "rate limit"}')
        if request.method == "POST":
            id = url.path.removeprefix(f"{self.base}/7/deliveries/").removesuffix("/attempts")
            [found] = [each for each in self.log if str(each["id"]) == id]
            await self.send(mapping_at(found, "request", "payload"), again=found)
            return Fetched(202, (), b"{}")
        kind, headers, text = self._answer(url.path, parse_qs(url.query))
        operation = f"GET /repos/{{owner}}/{{repo}}/hooks{kind}"
        described = mapping_at(descriptions(), "github", "operations", operation, "answers")
        verify(described["200"], json.loads(text))
        return Fetched(200, headers, text.encode())

    def _answer(self, path: str, query: dict[str, list[str]]) -> tuple[str, tuple[tuple[str, str], ...], str]:
        if path == self.base:
            return "", (), json.dumps([self._hook(id, url) for id, url in self.hooks.items()])
        assert path.startswith(f"{self.base}/7/deliveries"), path
        if id := path.removeprefix(f"{self.base}/7/deliveries").removeprefix("/"):
            [found] = [each for each in self.log if str(each["id"]) == id]
            shown = {name: value for name, value in found.items() if name != "text"}
            document = json.dumps(shown, ensure_ascii=False)
            if found["text"]:  # its numbers as they were sent
                payload = json.dumps(found["request"]["payload"], ensure_ascii=False)  # type: ignore[index, call-overload]
                document = document.replace(payload, str(found["text"]))
            return "/{hook_id}/deliveries/{delivery_id}", (), document
        begin, size = int(query.get("cursor", ["0"])[0]), int(query["per_page"][0])
        newest_first = self.log[::-1][begin : begin + size]
        shown_page = [
            {name: value for name, value in each.items() if name not in ("request", "response", "text")}
            for each in newest_first
        ]
        link = f'<{self.host}/repositories/1/hooks/7/deliveries?per_page={size}&cursor={begin + size}>; rel="next"'
        headers = (("link", link),) if begin + size < len(self.log) else ()
        return "/{hook_id}/deliveries", headers, json.dumps(shown_page)

    def _hook(self, id: int, url: str) -> JsonObject:
        links: JsonObject = dict.fromkeys(("url", "ping_url", "test_url"), f"{self.host}{self.base}/{id}")
        times: JsonObject = dict.fromkeys(("created_at", "updated_at"), "2026-11-30T00:00:00Z")
        last: JsonObject = {"code": None, "status": "unused", "message": None}
        about: JsonObject = {"type": "Repository", "id": id, "name": "web", "active": True, "events": ["*"]}
        return {**about, **links, **times, "config": {"url": url}, "last_response": last}


class Stripe:
    """The events of an account. The fields are those of the installed library."""

    host = "https://api.stripe.com"

    def __init__(self, world: World) -> None:
        self.world = world
        self.log: list[JsonObject] = []
        self.failed: set[str] = set()

    async def send(self, *, is_lost: bool = False, event: str = "invoice.paid") -> JsonObject:
        """Make an event and deliver it, unless it is lost. The API writes it in another version's form."""
        document: JsonObject = {
            "id": f"evt_{len(self.log)}",
            "object": "event",
            "api_version": "2026-10-28",
            "created": int(self.world.clock.now()),
            "data": {"object": {"id": "in_1"}},
            "livemode": True,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": event,
        }
        assert {*document} <= {*typing.get_type_hints(stripe.Event)}
        self.log.append(document)
        if is_lost or not await self.deliver(document):
            self.failed.add(str(document["id"]))
        return document

    async def lose(self) -> JsonObject:
        return await self.send(is_lost=True)

    async def deliver(self, document: JsonObject) -> bool:
        body = json.dumps({**document, "api_version": "2020-08-27"}).encode()
        at = int(self.world.clock.now())
        signature = hmac.new(SECRET.encode(), b"%d.%b" % (at, body), hashlib.sha256).hexdigest()
        headers = {"Stripe-Signature": f"t={at},v1={signature}", "Content-Type": "application/json"}
        return await self.world.post("pay", headers, body) == 200

    async def fetch(self, request: Outgoing) -> Fetched:
        url = urlsplit(request.url)
        assert (request.method, url.path) == ("GET", "/v1/events")
        query = {name: values[0] for name, values in parse_qs(url.query, strict_parsing=True).items()}
        assert {name.partition("[")[0] for name in query} <= {*EventListParams.__annotations__}
        assert query["delivery_success"] == "false"
        since, until = int(query["created[gte]"]), int(query["created[lte]"])
        found = [
            each
            for each in reversed(self.log)
            if each["id"] in self.failed and since <= typing.cast(int, each["created"]) <= until
        ]
        ids = [each["id"] for each in found]
        begin = ids.index(query["starting_after"]) + 1 if query.get("starting_after") in ids else 0
        size = int(query["limit"])
        page = {"object": "list", "data": found[begin : begin + size], "has_more": len(found) > begin + size}
        return Fetched(200, (), json.dumps(page).encode())


class Square:
    """All events of an application, with the fields of the library."""

    host = "https://connect.squareup.com"

    def __init__(self, world: World) -> None:
        self.world = world
        self.log: list[JsonObject] = []

    async def send(self, *, is_lost: bool = False, event: str = "payment.updated") -> JsonObject:
        """Make an event and deliver it, unless it is lost. The API writes it with other fields."""
        document: JsonObject = {
            "merchant_id": "M1",
            "type": event,
            "event_id": f"square-{len(self.log)}",
            "created_at": rfc3339(self.world.clock.now()),
            "data": {"type": "payment", "id": "P1", "object": {"payment": {"id": "P1"}}},
        }
        assert {*document} <= {*list_at(descriptions(), "square", "event")}
        self.log.append(document)
        if not is_lost:
            await self.deliver(document)
        return document

    async def lose(self) -> JsonObject:
        return await self.send(is_lost=True)

    async def deliver(self, document: JsonObject) -> None:
        body = json.dumps({**document, "retry": 1}).encode()
        signed = b"https://hooks.example.com/shop" + body
        signature = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
        headers = {"x-square-hmacsha256-signature": signature, "Content-Type": "application/json"}
        assert await self.world.post("shop", headers, body) == 200

    async def fetch(self, request: Outgoing) -> Fetched:
        assert (request.method, request.url) == ("POST", f"{self.host}/v2/events")
        asked: JsonObject = json.loads(request.body)
        described = mapping_at(descriptions(), "square")
        assert {*asked} <= {*list_at(described, "search")}
        assert {*mapping_at(asked, "query")} <= {*list_at(described, "query")}
        assert {*mapping_at(asked, "query", "filter")} <= {*list_at(described, "filter")}
        times = mapping_at(asked, "query", "filter", "created_at")
        assert {*times} <= {*list_at(described, "time_range")}
        since, until = str(times["start_at"]), str(times["end_at"])
        found = [each for each in reversed(self.log) if since <= str(each["created_at"]) <= until]
        begin, size = int(str(asked.get("cursor", 0))), int(str(asked["limit"]))
        page: JsonObject = {"events": [*found[begin : begin + size]]} if found else {}
        if len(found) > begin + size:
            page["cursor"] = str(begin + size)
        assert {*page} <= {*list_at(described, "found")}
        return Fetched(200, (), json.dumps(page).encode())


class Airtable:
    """The payloads of a webhook, with the fields of the library. A request only says that there are more."""

    host = "https://api.airtable.com"
    base = "/v0/bases/appAbCdEfGhIjKlMn/webhooks"
    hook_id = "ach00000000000001"

    def __init__(self, world: World) -> None:
        self.world = world
        self.payloads: list[JsonObject] = []
        self.deleted_count = 0
        self.calls: list[str] = []

    def change(self) -> str:
        """Note a change, and return the id of its event. Nothing is unique about its content."""
        user: JsonObject = {"id": "usr00000000000000", "email": "ann@example.com", "permissionLevel": "create"}
        payload: JsonObject = {
            "timestamp": rfc3339(self.world.clock.now()),
            "baseTransactionNumber": 4,
            "payloadFormat": "v0",
            "actionMetadata": {"source": "client", "sourceMetadata": {"user": user}},
            "changedTablesById": {"tbl1": {"destroyedRecordIds": ["rec1"]}},
        }
        assert {*payload} <= {*list_at(descriptions(), "airtable", "WebhookPayload")}
        self.payloads.append(payload)
        return f"{self.hook_id}:{len(self.payloads)}"

    async def notify(self) -> int:
        """Send the request that follows a change."""
        about: JsonObject = {"base": {"id": "appAbCdEfGhIjKlMn"}, "webhook": {"id": self.hook_id}}
        body = json.dumps({**about, "timestamp": rfc3339(self.world.clock.now())}).encode()
        key = base64.b64decode(AIRTABLE_SECRET)
        mac = hmac.new(key, body, hashlib.sha256).hexdigest()
        return await self.world.post("base", {"X-Airtable-Content-MAC": f"hmac-sha256={mac}"}, body)

    async def fetch(self, request: Outgoing) -> Fetched:
        url = urlsplit(request.url)
        self.calls.append(url.path)
        described = mapping_at(descriptions(), "airtable")
        if url.path == self.base:
            hook: JsonObject = {
                "id": self.hook_id,
                "areNotificationsEnabled": True,
                "cursorForNextPayload": len(self.payloads) + 1,
                "isHookEnabled": True,
                "notificationUrl": "https://hooks.example.com/base",
            }
            assert {*hook} <= {*list_at(described, "Webhook")}
            hooks = [hook, {**hook, "notificationUrl": None}]
            return Fetched(200, (), json.dumps({"webhooks": hooks}).encode())
        assert url.path == f"{self.base}/{self.hook_id}/payloads"
        query = {name: int(values[0]) for name, values in parse_qs(url.query, strict_parsing=True).items()}
        assert query.keys() == {"cursor", "limit"}
        assert query["cursor"] >= 1 <= query["limit"] <= 50
        begin = max(query["cursor"], self.deleted_count + 1)
        found = self.payloads[begin - 1 :][: query["limit"]]
        cursor = begin + len(found)
        page: JsonObject = {"payloads": [*found], "cursor": cursor, "mightHaveMore": cursor <= len(self.payloads)}
        assert {*page} == {*list_at(described, "WebhookPayloads")}
        return Fetched(200, (), json.dumps(page).encode())


class GitLab:
    """The deliveries of a project's webhook, with the fields of GitLab's lib/api/entities/web_hook_log.rb."""

    host = "https://gitlab.com"
    base = "/api/v4/projects/acme%2Fshop/hooks"

    def __init__(self, world: World) -> None:
        self.world = world
        self.log: list[JsonObject] = []
        self.calls: list[str] = []

    async def send(
        self, *, lost: str = "", name: str = "Push Hook", again: JsonObject | None = None, **data: object
    ) -> JsonObject:
        """Deliver an event, or lose it with this status, and note the delivery. `again`: resend that one."""
        email = "[REDACTED]" if again else "ann@example.com"
        document: JsonObject = {**data, "event_name": "push", "user_email": email}  # type: ignore[dict-item]
        key = mapping_at(again, "request_headers")["Idempotency-Key"] if again else f"key-{len(self.log)}"
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": str(key),
            "X-Gitlab-Event": name,
            "X-Gitlab-Event-UUID": f"uuid-{len(self.log)}",
        }
        body = json.dumps(document).encode()
        status = lost or str(await self.world.post("lab", {**headers, "X-Gitlab-Token": SECRET}, body))
        shown_headers: JsonObject = {**headers, "X-Gitlab-Token": "[REDACTED]"}
        self.log.append(
            {
                "id": len(self.log) + 1,
                "url": "https://hooks.example.com/lab",
                "trigger": "push_hooks",
                "request_headers": shown_headers,
                "request_data": {**document, "user_email": "[REDACTED]"},
                "response_headers": {},
                "response_body": "",
                "execution_duration": 1.0,
                "response_status": status,
                "created_at": rfc3339(self.world.clock.now()),
            }
        )
        return self.log[-1]

    async def lose(self) -> JsonObject:
        return await self.send(lost="internal error")

    async def deliver(self, lost: JsonObject) -> None:
        await self.send(again=lost)

    async def fetch(self, request: Outgoing) -> Fetched:
        url = urlsplit(request.url)
        self.calls.append(url.path)
        if url.path == self.base:
            hooks = [{"id": 7, "url": "https://hooks.example.com/lab"}, {"id": 8, "url": "https://ci.example.com/"}]
            return Fetched(200, (), json.dumps(hooks).encode())
        assert url.path == f"{self.base}/7/events"
        query = {name: values[0] for name, values in parse_qs(url.query, strict_parsing=True).items()}
        assert query["status"] == "server_failure,client_failure"
        page, size = int(query["page"]), int(query["per_page"])
        assert size <= 20
        failed = [each for each in self.log[::-1] if each["response_status"] != "200"]
        return Fetched(200, (), json.dumps(failed[(page - 1) * size : page * size]).encode())
