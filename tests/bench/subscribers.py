"""Deliveries to a thousand endpoints of subscribers, while some of them are dead or slow, and while none is.

Of the endpoints, 5 % refuse connections, 5 % take requests and never answer, and 5 % answer after a second. Their
deliveries are pushed beside those of the others, as a bus does that opens more connections while some take long; and
so they are where all answer at once.
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

import yaml

from shared.cloud.local.documents import FILE_NAME, LocalDocuments
from shared.delivery import Delivery, delivery_message
from shared.event import Event, event_json
from shared.jsontext import Json, mapping_at, value_at
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Endpoint, EndpointSecret, Tenant
from shared.subscribers.sealing import KEY_SECRET, NONCE_BYTES, Sealer, sealer_of
from tests.bench.configurations import ENVIRON
from tests.bench.load import Load, drive, drive_beside, http_post
from tests.bench.pipe import NOTHING, Pipe, pipe
from tests.bench.receivers import counts
from tests.bench.run import Run
from tests.bench.tree import Tree
from tests.running.ports import free_port
from tests.running.processes import Request, started

ENDPOINTS: Final = 1_000
EVENTS: Final = 12
"""In a round: nine rounds are a hundred events."""
COUNTED_EVENTS: Final = 3
"""Of which the CPU is counted."""
CONNECTIONS: Final = 16
BESIDE: Final = 64
"""Connections over which the deliveries of dead and slow endpoints are pushed."""
SWEEPS: Final = 30
TENANT: Final = "acme"
KEY: Final = ENVIRON[KEY_SECRET.upper().replace("-", "_")]
SECRET: Final = ENVIRON["HOOK_KEY"]
ODD: Final = ("refusing", "mute", "slow")
"""Of twenty endpoints, the first three."""


@dataclass
class World:
    """A pipe with endpoints, whose receivers are at `port`; `has_odd`: some of them are dead or slow."""

    pipe: Pipe
    port: int
    name: str
    has_odd: bool
    events: int = 0
    fanned: int = 0

    def messages(self, count: int, destination: str) -> list[Json]:
        """Return deliveries of so many new events."""
        numbers = range(self.events, self.events + count)
        self.events += count
        return [_message(number, destination) for number in numbers]

    def fan_out(self, count: int) -> tuple[float, list[Json]]:
        """Fan out so many new events. Return the CPU seconds that it took, and the deliveries to endpoints."""
        pending, made, seconds = self.messages(count, "customers"), list[Json](), 0.0
        self.fanned += count
        while pending:
            spent = self.pipe.push("notify", pending)
            seconds += spent.seconds * len(pending)
            published = [each for each in self.pipe.published("notify") if not _is_retry(each)]
            pending = [each for each in published if not _endpoint(each)]
            made += [each for each in published if _endpoint(each)]
        return seconds, made

    def received(self) -> int:
        """Return how many deliveries came to endpoints that are neither dead nor slow."""
        found = counts(self.port)
        return sum(found.get(f"{self.name}/{_id(number)}", 0) for number in range(ENDPOINTS) if not _is_odd(number))


def measure_subscribers(run: Run) -> None:
    """Measure live endpoints beside dead ones, and what a delivery to an endpoint costs beyond a webhook's."""
    with ExitStack() as stack:
        port = free_port()
        command = [sys.executable, "-m", "tests.bench.receivers", str(port)]
        stack.enter_context(started(command, {}, port, NOTHING, ready="open"))
        worlds = {
            (tree.name, has_odd): stack.enter_context(endpoint_world(tree, port, has_odd))
            for tree in run.trees
            for has_odd in (False, True)
        }
        for _, tree in run.rounds_of("endpoints beside dead and slow ones"):
            calm, disturbed = worlds[tree.name, False], worlds[tree.name, True]
            beyond = _beyond_a_webhook(calm)
            run.record_figure("subscribers-cpu", tree, beyond * 1e3, beyond * 1e6)
            quiet, noisy = _round(calm), _round(disturbed)
            run.record("subscribers-beside", tree, noisy.p99_ms / quiet.p99_ms)
            run.record("subscribers-complete", tree, 100 * _share(disturbed))


def _beyond_a_webhook(world: World) -> float:
    """Return the CPU seconds of a delivery to an endpoint, with its share of the fan-out, beyond those of a webhook."""
    fanned, made = world.fan_out(COUNTED_EVENTS)
    to_endpoints = world.pipe.push("notify", made)
    to_webhook = world.pipe.push("notify", world.messages(len(made), "plain"))
    return fanned / len(made) + to_endpoints.seconds - to_webhook.seconds


def _round(world: World) -> Load:
    """Deliver some events, and return how the pushes for live endpoints went beside those for the others."""
    _, made = world.fan_out(EVENTS)
    assert len(made) == EVENTS * ENDPOINTS
    live, odd = ([each for each in made if _is_for_odd(each) is is_odd] for is_odd in (False, True))
    server, pushes = world.pipe.servers["notify"], world.pipe.pushes("notify", live)
    load = drive_beside(server.port, pushes, world.pipe.pushes("notify", odd), CONNECTIONS, BESIDE)
    assert load.failed == 0, f"{load.failed} of {len(live)} pushes failed"
    return load


def _share(world: World) -> float:
    """Return the share of deliveries to live endpoints that came; what waits for its turn is swept for a while."""
    expected = world.fanned * (ENDPOINTS - ENDPOINTS * len(ODD) // 20)
    for _ in range(SWEEPS):
        if world.received() >= expected:
            break
        time.sleep(1)
        _sweep(world)
    return world.received() / expected


def _sweep(world: World) -> None:
    """Push again what is due for live endpoints."""
    server = world.pipe.servers["notify"]
    request = http_post(Request("/sweep", b"{}", world.pipe.push_headers("notify")))
    drive(server.port, [request], 1)
    due = [each for each in world.pipe.published("notify") if not _is_for_odd(each)]
    if due:
        drive(server.port, world.pipe.pushes("notify", due), CONNECTIONS)


@contextmanager
def endpoint_world(tree: Tree, port: int, has_odd: bool = False, endpoints: int = ENDPOINTS) -> Iterator[World]:
    name = f"{'odd' if has_odd else 'calm'}-{tree.name.replace(' ', '-')}"
    with pipe(tree, _configuration(port), functions=("notify",)) as running:
        asyncio.run(_add_endpoints(running, port, name, has_odd, endpoints))
        yield World(running, port, name, has_odd)


def _configuration(port: int) -> str:
    auth: Json = {"scheme": "hmac", "header": "X-Shop-Signature", "prefix": "sha256=", "secret": "shop-key"}
    webhook: Json = {
        "url": f"http://127.0.0.1:{port}/ok/plain",
        "secret": "hook-key",
        "allow_private": True,
        "body": '{"type": {{ type | tojson }}, "timestamp": {{ receivedat | tojson }}, "data": {{ data | tojson }}}',
    }
    document: Json = {
        "sources": {"shop-0": {"auth": auth, "type": "data.event", "id": "data.id"}},
        "routes": [{"name": "orders", "from": "shop-0", "to": ["customers", "plain"]}],
        "subscribers": {"allow_private": True, "allow_http": True, "limits": {"endpoints": 10_000}},
        "destinations": {
            "customers": {"subscribers": {"tenant": "data.accountId"}, "timeout": "2s"},
            "plain": {"webhook": webhook},
        },
    }
    return yaml.safe_dump(document, sort_keys=False)


async def _add_endpoints(running: Pipe, port: int, name: str, has_odd: bool, endpoints: int) -> None:
    documents, sealer = LocalDocuments(running.folder / FILE_NAME), sealer_of((KEY,))
    await documents.write(TENANTS, TENANT, Tenant(id=TENANT).text())
    refusing = free_port()
    for number in range(endpoints):
        kind = ODD[number % 20] if has_odd and _is_odd(number) else "ok"
        at = refusing if kind == "refusing" else port
        url = f"http://127.0.0.1:{at}/{kind}/{name}/{_id(number)}"
        wanted = "data.total > `100`" if number % 2 else ""
        endpoint = verified_endpoint(sealer, TENANT, number, url, types=("order.*",), filter=wanted)
        await documents.write(endpoints_of(TENANT), endpoint.id, endpoint.text())


def verified_endpoint(sealer: Sealer, tenant: str, number: int, url: str, **settings: object) -> Endpoint:
    """Return an endpoint that takes what its tenant gets, with the id of the number."""
    sealed = sealer.seal(SECRET, f"{tenant}/{_id(number)}", number.to_bytes(NONCE_BYTES, "big"))
    secrets = (EndpointSecret(sealed=sealed, created_at=0.0),)
    fields = {"id": _id(number), "tenant": tenant, "url": url, "is_verified": True, "secrets": secrets}
    return Endpoint.model_validate({**fields, **settings})


def _id(number: int) -> str:
    return f"ep_{number:020d}"


def _is_odd(number: int) -> bool:
    return number % 20 < len(ODD)


def _message(number: int, destination: str) -> Json:
    data: Json = {"accountId": TENANT, "total": 120, "customer": {"name": "Ada"}, "items": [{"sku": "A-17", "n": 2}]}
    received = "2026-11-26T12:00:00.000Z"
    event = Event(f"{number:032x}", "/sources/shop-0", "order.paid", received, f"{number:064x}", data)
    message = delivery_message(Delivery(event, "orders", destination), event_json(event), received, {})
    return {"data": base64.b64encode(message.data).decode(), "attributes": dict(message.attributes)}


def _is_for_odd(message: Json) -> bool:
    return _is_odd(int(_endpoint(message).removeprefix("ep_")))


def _is_retry(message: Json) -> bool:
    """Return whether a delivery that waits for a moment published it, with a delay that the stand-in ignores."""
    return "due" in mapping_at(message, "attributes")


def _endpoint(message: Json) -> str:
    """Return the id of the endpoint that the delivery is for; empty for another delivery."""
    document = json.loads(base64.b64decode(str(value_at(message, "data"))))
    return str(document["data"]["destination"]).rpartition(":")[2] if ":" in document["data"]["destination"] else ""
