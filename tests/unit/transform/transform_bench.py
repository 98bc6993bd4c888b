"""A transformer over fakes, pushed to as the bus does."""

import json
from dataclasses import dataclass, field

from functions.transform import entry
from functions.transform.program import read_program
from functions.transform.step import Services
from functions.transform.transform import Transformer
from shared.delivery import Delivery, delivery_from
from shared.event import Event, to_cloudevent
from shared.http import Headers, Reply, Request
from shared.journal import EventEntry
from shared.jsontext import Json, to_json
from shared.ports import DEAD_LETTERS, DELIVERIES, BusMessage
from shared.push import Push
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.journal import FakeJournal
from tests.fakes.owners import FakeOwners
from tests.fakes.pushes import from_anybody

EVENT = Event("e1", "/sources/signup-form", "signup.created", "2026-03-01T12:00:00.000Z", "00", {"plan": "pro"})
ROUTES: Json = [
    {"name": "tell the list", "types": ["signup.*"], "steps": [{"set": {"data.team": "north"}}], "to": ["list", "crm"]},
    {"name": "audit", "to": ["crm"]},
    {"name": "broken", "steps": [{"set": {"data.plan.x": 1}}], "to": ["crm"]},
    {"name": "pushes", "types": ["push"], "to": ["chat"]},
]


@dataclass
class Bench:
    routes: Json = field(default_factory=lambda: ROUTES)
    bus: FakeBus = field(default_factory=FakeBus)
    blobs: FakeBlobs = field(default_factory=FakeBlobs)
    journal: FakeJournal = field(default_factory=FakeJournal)
    services: Services | None = None
    owners: FakeOwners = field(default_factory=FakeOwners)
    version: str = ""

    @property
    def transformer(self) -> Transformer:
        return Transformer(
            read_program({"routes": self.routes}).routes,
            self.bus,
            self.blobs,
            self.journal,
            FakeClock(),
            self.services,
            self.owners,
            version=self.version,
        )

    async def take(self, event: Event = EVENT, **attributes: str) -> None:
        await self.transformer.take(Push(to_json(to_cloudevent(event)).encode(), attributes, "m1"))

    @property
    def deliveries(self) -> list[Delivery]:
        return [delivery_from(json.loads(message.data)) for message in self.bus.on(DELIVERIES)]

    @property
    def letters(self) -> list[BusMessage]:
        return self.bus.on(DEAD_LETTERS)

    @property
    def journaled(self) -> EventEntry:
        [entry] = self.journal.entries
        assert isinstance(entry, EventEntry)
        return entry

    async def push(self, body: bytes, method: str = "POST", path: str = "/", headers: Headers = ()) -> Reply:
        request = Request(method, path, headers=headers)
        return await entry.answer(
            entry.Service(self.transformer, {}, self.services, from_anybody), request, reading(body)
        )
