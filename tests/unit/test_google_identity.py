"""Identity tokens for private functions of ours, from the metadata server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from shared.cloud.gcp.identity import IDENTITY_PATH, KEPT_SECONDS, MetadataIdentity
from shared.errors import Temporary
from tests.fakes.clock import FakeClock
from tests.gcp.serving import served

AUDIENCE = "https://convert-abc.a.run.app/in?x=1"


@dataclass
class MetadataServer:
    status: int = 200
    asked: list[str] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get(IDENTITY_PATH, self._give)
        return app

    async def _give(self, request: web.Request) -> web.Response:
        if request.headers.get("Metadata-Flavor") != "Google":
            return web.Response(status=403)
        self.asked.append(request.query["audience"])
        return web.Response(text=f"token-{len(self.asked)}", status=self.status)


@pytest.fixture
def server() -> MetadataServer:
    return MetadataServer()


@pytest.fixture
def host(server: MetadataServer) -> Iterator[str]:
    with served(server.app()) as host:
        yield host


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def identity(host: str, clock: FakeClock) -> AsyncIterator[MetadataIdentity]:
    yield MetadataIdentity(host, clock.now)
    await asyncio.sleep(0)  # in which its connection is gone


async def test_a_token_is_for_its_audience_and_is_kept_for_half_its_life(
    server: MetadataServer, identity: MetadataIdentity, clock: FakeClock
) -> None:
    assert [await identity(AUDIENCE), await identity(AUDIENCE)] == ["token-1", "token-1"]
    assert await identity("https://other.example.com") == "token-2"
    clock.advance(KEPT_SECONDS)
    assert await identity(AUDIENCE) == "token-3"
    assert server.asked == [AUDIENCE, "https://other.example.com", AUDIENCE]


async def test_without_a_token_the_event_comes_again(server: MetadataServer, identity: MetadataIdentity) -> None:
    server.status = 404
    with pytest.raises(Temporary, match="answered 404"):
        await identity(AUDIENCE)
    with pytest.raises(Temporary, match="did not answer"):
        await MetadataIdentity("127.0.0.1:9")(AUDIENCE)
