"""Receive as a sender meets it, from hookchain.yaml's text to the reply, over fakes."""

import json
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from functions.receive.entry import answer
from functions.receive.receive import Receiver
from functions.receive.source import read_sources
from shared.event import Event, from_cloudevent
from shared.http import Reply, Request
from shared.jsontext import Json, mapping_at
from shared.ports import EVENTS
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

JSON = ("content-type", "application/json")
FORM = ("content-type", "application/x-www-form-urlencoded")


class Posting:
    """`sources` is what stands under `sources:`, with whatever stands above it in `before`."""

    def __init__(
        self,
        sources: str,
        secrets: Mapping[str, str] | None = None,
        before: str = "",
        folder: Path = Path(),
        bus: FakeBus | None = None,
    ) -> None:
        text = f"{before}\nsources:\n" + "\n".join(f"  {line}" for line in sources.strip().splitlines()) + "\n"
        self.sources = read_sources(compile_config(parse_config(text, "test.yaml", folder))["receive"])
        self.bus = bus or FakeBus()
        self.clock = FakeClock()
        self._ids = iter(range(1_000_000))
        self.receiver = Receiver(
            self.sources, FakeSecrets(secrets or {}), self.bus, FakeBlobs(), self.clock, random_id=self._random_id
        )

    def _random_id(self) -> str:
        return f"{next(self._ids):032x}"

    @property
    def events(self) -> list[Event]:
        return [from_cloudevent(json.loads(message.data)) for message in self.bus.on(EVENTS)]

    async def send(
        self,
        path: str,
        body: bytes = b"{}",
        *headers: tuple[str, str],
        method: str = "POST",
        query: str = "",
        peer: str = "127.0.0.1",
    ) -> Reply:
        return await answer(self.receiver, Request(method, path, query, headers, peer=peer), reading(body))

    async def get(self, path_and_query: str, *headers: tuple[str, str], method: str = "GET") -> Reply:
        path, _, query = path_and_query.partition("?")
        return await self.send(path, b"", *headers, method=method, query=query)


def basic(user: str, password: str) -> tuple[str, str]:
    """Return the header of basic authentication."""
    return "authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def code(reply: Reply) -> Json:
    document = mapping_at(json.loads(reply.body))
    return document["code"]


def header(reply: Reply, name: str) -> str | None:
    return next((value for key, value in reply.headers if key == name), None)
