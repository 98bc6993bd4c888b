"""The portal's function over fakes, served to a browser, with a worker that delivers what it publishes.

An endpoint whose URL has `broken` in it answers 500 to what it gets.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from aiohttp import web

from functions.subscribe import api
from functions.subscribe.handlers.deliveries import public_id_of_row
from functions.subscribe.settings import SubscribeSettings, read_settings
from shared.delivery import Delivery
from shared.event import from_cloudevent
from shared.http import Request
from shared.journal import AttemptEntry
from shared.jsontext import Json, JsonObject, from_json
from shared.ledger import Claimed, Settlement
from shared.outcomes import DeliveryState
from shared.subscribers.directory import endpoints_of
from shared.subscribers.model import Endpoint
from shared.subscribers.names import EndpointName
from tests.fakes.clock import FakeClock
from tests.fakes.subscribe_api import Subscribers

TENANT: Final = "acme"
PREFIX: Final = "/hooks"
"""The page works behind any path."""
_EVENT_TYPES: Final[JsonObject] = {
    "order.paid": {"description": "An order is paid.", "group": "Orders", "examples": [{"id": "o-1", "amount": 12}]},
    "order.shipped": {"group": "Orders", "schema": {"title": "A parcel", "type": "object"}},
    "user.created": {"description": "Somebody signed up."},
}


def portal_settings(event_types: JsonObject | None = None, **subscribers: Json) -> SubscribeSettings:
    compiled: JsonObject = {
        "function": "subscribe",
        "subscribers": {"portal": {"name": "Acme"}, **subscribers},
        "destinations": {"customers": {"payload": "standard", "rate": "100/s"}},
        "event_types": _EVENT_TYPES if event_types is None else event_types,
    }
    return read_settings(compiled)


@dataclass
class FakePortal:
    """`requests` are those to the API: method, path, query and what was posted."""

    settings: SubscribeSettings = field(default_factory=portal_settings)
    requests: list[tuple[str, str, str, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        # The page compares times with the browser's clock.
        self.clock = FakeClock(time.time())
        self.subscribers = Subscribers(settings=self.settings, clock=self.clock)
        self._key = ""
        self._delivered = 0
        self._messages = 0

    def set_up(self, settings: SubscribeSettings) -> None:
        self.subscribers.service = replace(self.subscribers.service, settings=settings)

    def take_a_while(self) -> None:
        """Let each page of what is sent again take longer than a request may."""
        elapsed = iter(range(0, 1_000_000, 60))
        self.subscribers.service = replace(self.subscribers.service, elapsed=lambda: float(next(elapsed)))

    async def key(self) -> str:
        if not self._key:
            self._key = await self.subscribers.key()
            await self.subscribers.tenant(TENANT, self._key)
        return self._key

    async def token(self, *capabilities: str) -> str:
        return await self.subscribers.token(TENANT, await self.key(), *capabilities)

    async def revoke(self) -> None:
        self.clock.advance(1)
        await self.subscribers.send("DELETE", f"/v1/tenants/{TENANT}/portal-sessions", by=await self.key())

    async def endpoint(self, url: str = "https://example.com/in", **fields: Json) -> str:
        """Return the id of a new endpoint."""
        made = await self.subscribers.endpoint(TENANT, await self.key(), url=url, **fields)
        return str(made["id"])

    async def change(self, endpoint: str, **changes: object) -> None:
        """Change it as notify does."""

        def decide(before: Endpoint | None) -> Endpoint | None:
            return before.model_copy(update=changes) if before else None

        await self.subscribers.service.directory.change(Endpoint, endpoints_of(TENANT), endpoint, decide)

    async def stored(self, endpoint: str) -> Endpoint:
        found = await self.subscribers.service.directory.read(Endpoint, endpoints_of(TENANT), endpoint)
        assert found
        return found[0]

    async def missed(self, count: int) -> None:
        """Keep messages that were never sent."""
        for _ in range(count):
            self._messages += 1
            await self.subscribers.message(TENANT, self._messages)

    async def delivery(
        self, endpoint: str, type_: str, state: DeliveryState = "delivered", reason: str = "", answer: str = ""
    ) -> str:
        """Return the id of a delivery that was attempted once."""
        self._messages += 1
        message = await self.subscribers.message(TENANT, self._messages, type_)
        event = from_cloudevent(from_json(message.event.encode()))
        name = EndpointName(message.destination, TENANT, endpoint)
        return await self._attempt(Delivery(event, message.route, str(name)), state, reason, answer)

    async def deliver(self) -> None:
        """Attempt what was published and was not yet."""
        published = self.subscribers.published()
        for delivery in published[self._delivered :]:
            is_broken = "broken" in (await self.stored(delivery.destination.split(":")[2])).url
            if is_broken:
                answer = "Traceback: no database"
                await self._attempt(delivery, "retry_scheduled", "the endpoint answered 500", answer)
            else:
                await self._attempt(delivery, "delivered", answer="ok")
        self._delivered = len(published)

    async def _attempt(self, delivery: Delivery, state: DeliveryState, reason: str = "", answer: str = "") -> str:
        ledger, now = self.subscribers.ledger, self.clock.now()
        await ledger.reopen(delivery.id, now)
        claim = await ledger.claim(delivery, b"", now, 60.0)
        assert isinstance(claim, Claimed)
        row, outcome = claim.row, "failed" if state == "dead_lettered" else state
        attempt = AttemptEntry(
            delivery_id=row.key,
            event_id=row.event_id,
            route=row.route,
            destination=row.destination,
            attempt_number=row.attempt_number,
            started_at=now,
            ended_at=now + 0.041,
            outcome=outcome,
            reason=reason,
            answer=answer,
        )
        retry_at = now + 300 if state == "retry_scheduled" else None
        await ledger.settle(claim, Settlement(state, now, reason, attempt, retry_at))
        self.clock.advance(0.001)
        return public_id_of_row(row)

    def posted(self, method: str, end: str) -> list[JsonObject]:
        """Return what was posted with that method to paths that end so."""
        return [
            json.loads(body or b"{}")
            for verb, path, _, body in self.requests
            if (verb, path[-len(end) :]) == (method, end)
        ]

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", PREFIX + "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        body, path = await request.read(), request.rel_url.raw_path.removeprefix(PREFIX)
        headers = tuple((name.lower(), value) for name, value in request.headers.items())
        if path.startswith("/v1/"):
            self.requests.append((request.method, path, request.rel_url.raw_query_string, body))

        async def read(_: int) -> bytes:
            return body

        head = Request(request.method, path, request.rel_url.raw_query_string, headers)
        reply = await api.answer(self.subscribers.service, head, read)
        if "/deliveries/" in path:  # whoever looks early finds no attempt yet
            await self.deliver()
        return web.Response(status=reply.status, body=reply.body, headers=dict(reply.headers))


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Yield the address."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
