"""Systems that the steps of a transformer ask: each answers at once, never, or when a test says so."""

import asyncio
from dataclasses import dataclass, field

from functions.transform.hosts import StepHosts
from functions.transform.step import Services
from shared.errors import Unanswered
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject, to_json
from tests.fakes.blobs import FakeBlobs
from tests.fakes.clock import FakeClock
from tests.fakes.owners import FakeOwners
from tests.fakes.secrets import FakeSecrets


@dataclass
class Hosts:
    """The statuses by host; 200 by default. A host in `hanging` does not answer before its event is set."""

    statuses: dict[str, int] = field(default_factory=dict)
    hanging: dict[str, asyncio.Event] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    gate: StepHosts | None = None

    async def fetch(self, request: Outgoing) -> Fetched:
        host = request.url.split("/")[2]
        self.asked.append(host)
        if host in self.hanging:
            await self.hanging[host].wait()
        status = self.statuses.get(host, 200)
        if status == 0:
            raise Unanswered("host_unreachable", f"{host} did not answer in time")
        return Fetched(status, (("content-type", "application/json"),), to_json({"from": host}).encode())

    @property
    def services(self) -> Services:
        return Services(FakeSecrets({}), lambda: self, FakeOwners(), self.blobs, now=self.clock.now, hosts=self.gate)


def asking_route(name: str, host: str, **settings: Json) -> JsonObject:
    """Return a route that fetches something from the host, for the destination `crm`."""
    return {
        "name": name,
        "steps": [{"fetch": {"url": f"https://{host}/x", "into": "data.got", **settings}}],
        "to": ["crm"],
    }
