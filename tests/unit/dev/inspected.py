"""The inspector's API, and what a test puts behind it."""

from dataclasses import dataclass

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request

from deploy.dev.inspector.api import LocalBackend
from shared.delivery import Delivery
from shared.event import Event
from shared.journal import DeadLetter, RouteDecision
from shared.jsontext import JsonObject, mapping_at, to_json
from tests.fakes.bus import FakeBus
from tests.fakes.deliveries import to_cloudevent_of

NOW = 1_790_000_000.0
TELL = RouteDecision("tell", True, "its type matches", ("list",))
JSON_TYPE = {"Content-Type": "application/json"}
TOKEN = "token-of-the-page"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@dataclass(frozen=True, slots=True)
class Inspector:
    client: "TestClient[Request, Application]"
    parts: LocalBackend
    bus: FakeBus

    async def get(self, path: str) -> JsonObject:
        async with self.client.get(path) as answer:
            assert answer.status == 200, await answer.text()
            return mapping_at(await answer.json())

    async def post(self, path: str, body: JsonObject) -> tuple[int, str]:
        async with self.client.post(path, data=to_json(body), headers=JSON_TYPE) as answer:
            return answer.status, await answer.text()


def an_event(event_id: str = "e1") -> Event:
    return Event(event_id, "/sources/web", "signup.created", "2026-09-21T14:13:20.000Z", "0" * 64, {"name": "Ada"})


def a_dead_letter(event: Event) -> DeadLetter:
    delivery = Delivery(event, "tell", "list")
    message = to_json(to_cloudevent_of(delivery, NOW)).encode()
    return DeadLetter(
        delivery.id, "request_rejected", "no such user", NOW, message, "deliveries", event.id, "tell", "list"
    )
