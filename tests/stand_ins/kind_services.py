"""A stand-in of the services that destinations call, and notify with one such destination."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from functions.notify.registry import Destinations, read_destinations
from shared.fetch import Fetch, Fetched, Outgoing
from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.authenticator import CloudIdentity
from shared.outgoing.guarded_fetch import GuardedFetch
from tests.fakes.destinations import a_context
from tests.fakes.notifier import FakeNotifier
from tests.fakes.secrets import FakeSecrets

RUN: Final[JsonObject] = {
    "workflow_run_id": 7,
    "run_url": "https://api.github.com/repos/example-org/website/actions/runs/7",
    "html_url": "https://github.com/example-org/website/actions/runs/7",
}


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> JsonObject:
        value: JsonObject = json.loads(self.body)
        return value


@dataclass(slots=True)
class Services:
    """All services at one address. The answers are given one after another, and the last one is repeated."""

    url: str
    answers: list[tuple[int, Json, str]]
    asked: list[Asked] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, path, _ = first.split(" ")
        self.asked.append(Asked(method, path, headers, await reader.readexactly(int(headers["content-length"]))))
        status, body, header = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        content = body.encode() if isinstance(body, str) else to_json(body).encode() if body is not None else b""
        head = f"HTTP/1.1 {status} Answer\r\ncontent-length: {len(content)}\r\n{header}\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def services(*answers: tuple[int, Json, str]) -> AsyncIterator[Services]:
    made = Services("", list(answers))
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


@dataclass(frozen=True, slots=True)
class FetchFromStandIn:
    """The guarded way out, which leads to the stand-in in place of the services' hosts."""

    url: str

    async def fetch(self, request: Outgoing) -> Fetched:
        parts = urlsplit(request.url)
        assert parts.scheme == "https"
        assert not request.allow_private
        url = self.url + request.url.removeprefix(f"https://{parts.netloc}")
        return await GuardedFetch().fetch(request._replace(url=url, allow_private=True))


async def google_token(scope: str) -> str:
    assert scope == "https://www.googleapis.com/auth/cloud-platform"
    return "ya29.example"


def notifier(made: Services, kind: str, settings: JsonObject, secrets: dict[str, str]) -> FakeNotifier:
    """Return notify with this destination as `crm`, which is that of the tests' delivery."""
    identity = CloudIdentity(access_token=google_token)
    return notifier_over(FetchFromStandIn(made.url), identity, kind, settings, secrets)


def notifier_over(
    fetch: Fetch, identity: CloudIdentity, kind: str, settings: JsonObject, secrets: dict[str, str]
) -> FakeNotifier:
    """Return notify with this destination as `crm`, and this way out."""
    context = replace(a_context(), secrets=FakeSecrets(secrets), fetch=lambda: fetch, cloud=lambda: identity)
    crm: JsonObject = {
        "kind": kind,
        "settings": settings,
        "retry_seconds": [5, 300],
        "timeout_seconds": 15,
        "on_unknown": "resend",
    }
    return FakeNotifier(destinations=Destinations(read_destinations({"destinations": {"crm": crm}}), context))
