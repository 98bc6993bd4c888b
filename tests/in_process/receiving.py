"""A source as an operator writes it, compiled and run over fakes: what a test sends goes through the real decision."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from deploy.config.compiler import compile_config
from deploy.config.config_file import ConfigFile
from functions.receive.receive import Accepted, Answered, DeadLettered, Receiver
from functions.receive.source import read_sources
from shared.errors import HookchainError
from shared.event import Event
from shared.fetch import Fetched
from shared.http import Reply, Request
from shared.jsontext import Json, JsonObject
from shared.secrets import split_values
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bodies import reading
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.fetch import FakeFetch
from tests.fakes.secrets import FakeSecrets

NAME = "hook"
URL = f"https://hooks.example.com/{NAME}"


@cache
def _compiled(source: str) -> JsonObject:
    """Return the slice of receive with that source, given as JSON. Tests send much to few sources."""
    return compile_config(ConfigFile("test", Path(), {"sources": {NAME: json.loads(source)}}))["receive"]


class PublishedSecrets:
    """Those of published examples, however weak."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        return split_values(self._texts[name])


@dataclass(slots=True)
class Receiving:
    """`source` is as under `sources` in hookchain.yaml; `url` the one that its sender uses."""

    source: dict[str, Json]
    secrets: Mapping[str, str]
    now: float
    url: str = URL
    fetched: Mapping[str, bytes] = field(default_factory=dict)
    weak_allowed: bool = False
    bus: FakeBus = field(default_factory=FakeBus)
    fetch: FakeFetch = field(init=False)

    async def outcome(self, method: str, headers: Sequence[tuple[str, str]], body: bytes) -> Accepted | Answered:
        """Raises as Receiver.receive does."""
        self.fetch = FakeFetch({url: Fetched(200, (), content) for url, content in self.fetched.items()})
        parts = urlsplit(self.url)
        public = parts._replace(query="").geturl()
        clock = FakeClock(self.now)
        receiver = Receiver(
            read_sources(_compiled(json.dumps({"public_url": public, **self.source}))),
            PublishedSecrets(self.secrets) if self.weak_allowed else FakeSecrets(dict(self.secrets)),
            self.bus,
            FakeBlobs(),
            clock,
            random_id=lambda: "f" * 32,
            fetch=self.fetch,
        )

        lower = tuple((name.lower(), value) for name, value in headers)
        outcome = await receiver.receive(Request(method, f"/{NAME}", parts.query, lower), reading(body))
        assert not isinstance(outcome, DeadLettered)
        return outcome

    async def events(self, headers: Sequence[tuple[str, str]], body: bytes, method: str = "POST") -> tuple[Event, ...]:
        outcome = await self.outcome(method, headers, body)
        assert isinstance(outcome, Accepted), outcome
        return outcome.events

    async def reply(self, method: str, headers: Sequence[tuple[str, str]] = (), body: bytes = b"") -> Reply:
        """To what makes no event."""
        outcome = await self.outcome(method, headers, body)
        assert isinstance(outcome, Answered), outcome
        assert not self.bus.sent
        return outcome.reply

    async def code(self, headers: Sequence[tuple[str, str]], body: bytes, method: str = "POST") -> str:
        """Of the rejection; empty where it is accepted."""
        try:
            await self.outcome(method, headers, body)
        except HookchainError as error:
            assert not self.bus.sent
            return error.code
        return ""
