"""Receive over fakes, with a source of each kind, and requests to it."""

import base64
import itertools

import pytest

from functions.receive.receive import Receiver
from functions.receive.replies import Accepted
from functions.receive.source import read_sources
from shared.errors import HookchainError, Rejected
from shared.event import Event
from shared.http import Request
from shared.jsontext import Json
from tests.fakes.blobs import FakeBlobs
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.secrets import FakeSecrets

PASSWORD = "correct horse battery"
SECRETS = {
    "pass": PASSWORD,
    "key": "an hmac key of some length",
    "weak": "changeme",
    "two": f"newest-value\n{PASSWORD}\n",
}
SOURCES: dict[str, Json] = {
    "form": {"auth": [{"scheme": "basic", "username": "web", "secret": "pass"}]},
    "anyuser": {
        "auth": [
            {"scheme": "basic", "secret": "pass"},
            {"scheme": "header", "header": "x-webhook-password", "secret": "pass"},
        ]
    },
    "bearer": {"auth": [{"scheme": "bearer", "secret": "pass"}]},
    "path": {"auth": [{"scheme": "path", "secret": "pass"}]},
    "query": {"auth": [{"scheme": "query", "parameter": "token", "secret": "pass"}]},
    "open": {"auth": [{"scheme": "none"}], "id": "data.id", "actor": "data.user.name", "time": "data.at"},
    "typed": {"auth": [{"scheme": "none"}], "id": "data.id", "type": "header.x-type"},
    "hub": {
        "auth": [{"scheme": "hmac", "header": "x-hub-signature-256", "prefix": "sha256=", "secret": "key"}],
        "type": "header.x-github-event",
        "id": "header.x-github-delivery",
    },
    "weak": {"auth": [{"scheme": "bearer", "secret": "weak"}]},
    "lost": {"auth": [{"scheme": "bearer", "secret": "nowhere"}]},
    "rotated": {"auth": [{"scheme": "bearer", "secret": "two"}]},
    "small": {"auth": [{"scheme": "none"}], "max_body_bytes": 10},
    "kept": {"auth": [{"scheme": "basic", "secret": "pass"}], "keep_raw": "all"},
    "xml": {"auth": [{"scheme": "none"}], "unwrap": True},
    "same": {"auth": [{"scheme": "none"}], "dedupe": "body"},
}
DEFAULTS: dict[str, Json] = {"methods": ["POST"], "max_body_bytes": 1_048_576, "keep_raw": "no"}
JSON = ("content-type", "application/json")


class Pipe:
    """A receiver over fakes, and what a test asks of it."""

    def __init__(self) -> None:
        self.bus = FakeBus()
        self.blobs = FakeBlobs()
        self.read = 0
        sources = read_sources(
            {"sources": {name: {**DEFAULTS, **s} for name, s in SOURCES.items() if isinstance(s, dict)}}
        )
        numbers = itertools.count()
        self.receiver = Receiver(
            sources, FakeSecrets(SECRETS), self.bus, self.blobs, FakeClock(), random_id=lambda: f"{next(numbers):032x}"
        )

    async def post(
        self, path: str, body: bytes = b"{}", *headers: tuple[str, str], method: str = "POST", query: str = ""
    ) -> Event:
        async def read_body(max_bytes: int) -> bytes:
            self.read += 1
            if len(body) > max_bytes:
                raise Rejected("body_too_large", "too large")
            return body

        head = Request(method, path, query, headers, peer="127.0.0.1")
        accepted = await self.receiver.receive(head, read_body)
        assert isinstance(accepted, Accepted)
        return accepted.events[0]

    async def code(
        self, path: str, body: bytes = b"{}", *headers: tuple[str, str], method: str = "POST", query: str = ""
    ) -> str:
        """The code with which it is not accepted; nothing was published then."""
        with pytest.raises(HookchainError) as rejection:
            await self.post(path, body, *headers, method=method, query=query)
        assert self.bus.sent == []
        return rejection.value.code


def basic(user: str, password: str = PASSWORD) -> tuple[str, str]:
    return "authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
