import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from shared.cloud.gcp.pubsub import Authorization
from shared.cloud.gcp.tokens import Token, metadata_authorization, renewed
from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.settings import read_settings
from tests.fakes.clock import FakeClock
from tests.gcp.serving import served


@dataclass
class MetadataServer:
    answer: JsonObject = field(
        default_factory=lambda: {"access_token": "t0", "expires_in": 3599, "token_type": "Bearer"}
    )
    status: int = 200
    asked: int = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/computeMetadata/v1/instance/service-accounts/default/token", self._give)
        return app

    async def _give(self, request: web.Request) -> web.Response:
        self.asked += 1
        if request.headers.get("Metadata-Flavor") != "Google":
            return web.Response(status=403)
        return web.json_response(self.answer, status=self.status)


@pytest.fixture
def server() -> MetadataServer:
    return MetadataServer()


@pytest.fixture
def host(server: MetadataServer) -> Iterator[str]:
    with served(server.app()) as host:
        yield host


@pytest.fixture
async def authorization(host: str) -> AsyncIterator[Authorization]:
    yield metadata_authorization(host, FakeClock().now)
    await asyncio.sleep(0)  # in which its connection is gone


async def test_a_token_is_asked_for_once_and_kept(server: MetadataServer, authorization: Authorization) -> None:
    assert await asyncio.gather(*(authorization() for _ in range(20))) == ["Bearer t0"] * 20
    assert await authorization() == "Bearer t0"
    assert server.asked == 1


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (404, {}, "answered 404"),
        (200, {}, "holds no token"),
        (200, {"access_token": 1, "expires_in": 1}, "holds no token"),
        (200, {"access_token": "t"}, "holds no token"),
    ],
)
async def test_no_token_is_temporary_and_asked_for_again(
    server: MetadataServer, authorization: Authorization, status: int, answer: JsonObject, words: str
) -> None:
    server.status, good = status, server.answer
    server.answer = answer
    with pytest.raises(Temporary, match=words):
        await authorization()
    server.status, server.answer = 200, good
    assert await authorization() == "Bearer t0"


async def test_a_metadata_server_that_is_not_there_is_temporary(free_port: int) -> None:
    with pytest.raises(Temporary, match="did not answer: NotConnected"):
        await metadata_authorization(f"127.0.0.1:{free_port}")()


async def test_a_token_is_renewed_before_it_ends() -> None:
    clock, given = FakeClock(), iter(range(9))

    async def fetch() -> Token:
        return Token(f"t{next(given)}", clock.now() + 3_600)

    authorization = renewed(fetch, clock.now)
    assert await authorization() == "Bearer t0"
    clock.advance(3_374)
    assert await authorization() == "Bearer t0"
    clock.advance(1)
    assert await authorization() == "Bearer t1"


async def test_a_token_serves_to_its_end_while_no_new_one_comes() -> None:
    clock, given = FakeClock(), iter([Token("t0", FakeClock().now() + 3_600)])

    async def fetch() -> Token:
        for token in given:
            return token
        raise Temporary("credentials", "the metadata server did not answer")

    authorization = renewed(fetch, clock.now)
    await authorization()
    clock.advance(3_589)
    assert await authorization() == "Bearer t0"
    clock.advance(1)
    with pytest.raises(Temporary, match="did not answer"):
        await authorization()


def test_only_cloud_run_has_a_metadata_server() -> None:
    assert read_settings({}).metadata_host is None
    assert read_settings({"GCE_METADATA_HOST": "127.0.0.1:1"}).metadata_host is None
    assert read_settings({"K_SERVICE": "receive"}).metadata_host == "metadata.google.internal"
    assert read_settings({"K_SERVICE": "receive", "GCE_METADATA_HOST": "127.0.0.1:1"}).metadata_host == "127.0.0.1:1"
