import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.cloud.gcp.tokens import (
    MARGIN_SECONDS,
    PAUSE_SECONDS,
    Authorization,
    ScopedTokens,
    Token,
    metadata_authorization,
    renewed,
)
from shared.errors import Temporary
from shared.jsontext import JsonObject
from shared.settings import read_settings
from tests.fakes.clock import FakeClock
from tests.gcp.metadata_server import MetadataServer


@pytest.fixture
async def authorization(metadata_host: str) -> AsyncIterator[Authorization]:
    yield metadata_authorization(metadata_host, FakeClock().now)
    await asyncio.sleep(0)  # in which its connection is gone


async def test_a_token_is_asked_for_once_and_kept(metadata: MetadataServer, authorization: Authorization) -> None:
    assert await asyncio.gather(*(authorization() for _ in range(20))) == ["Bearer t0"] * 20
    assert await authorization() == "Bearer t0"
    assert metadata.tokens_asked == 1


async def test_a_token_of_a_scope_is_asked_for_once_and_kept(metadata: MetadataServer, metadata_host: str) -> None:
    tokens = ScopedTokens(metadata_host, FakeClock().now)
    for scope in ("https://a.example/one https://a.example/two", "https://a.example/three"):
        assert [await tokens(scope), await tokens(scope)] == ["t0", "t0"]
    assert metadata.scopes == ["https://a.example/one,https://a.example/two", "https://a.example/three"]
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (404, {}, "answered 404"),
        (200, {}, "holds no token"),
        (200, {"access_token": 1, "expires_in": 1}, "holds no token"),
        (200, {"access_token": "t"}, "holds no token"),
    ],
)
async def test_no_token_is_temporary_and_asked_for_again(
    metadata: MetadataServer, authorization: Authorization, status: int, answer: JsonObject, message: str
) -> None:
    metadata.status, good = status, metadata.token
    metadata.token = answer
    with pytest.raises(Temporary, match=message):
        await authorization()
    metadata.status, metadata.token = 200, good
    assert await authorization() == "Bearer t0"


async def test_a_metadata_server_that_is_busy_for_a_moment_is_asked_again(
    metadata: MetadataServer, authorization: Authorization
) -> None:
    metadata.status = 503
    asking = asyncio.ensure_future(authorization())
    while not metadata.tokens_asked:
        await asyncio.sleep(0.01)
    metadata.status = 200
    assert (await asking or "").startswith("Bearer ")


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
        raise Temporary("credentials_unavailable", "the metadata server did not answer")

    authorization = renewed(fetch, clock.now)
    await authorization()
    clock.advance(3_589)
    assert await authorization() == "Bearer t0"
    clock.advance(1)
    with pytest.raises(Temporary, match="did not answer"):
        await authorization()


async def test_while_the_old_token_serves_nobody_waits_for_one_failure_after_another() -> None:
    clock, asked = FakeClock(), 0

    async def fetch() -> Token:
        nonlocal asked
        asked += 1
        if asked in (1, 4):
            return Token(f"t{asked}", clock.now() + 3_600)
        raise Temporary("credentials_unavailable", "the metadata server did not answer")

    authorization = renewed(fetch, clock.now)
    await authorization()
    clock.advance(3_600 - MARGIN_SECONDS)
    for expected in (2, 3):
        assert [await authorization() for _ in range(3)] == ["Bearer t1"] * 3
        assert asked == expected
        clock.advance(PAUSE_SECONDS)
    assert await authorization() == "Bearer t4"


def test_only_cloud_run_has_a_metadata_server() -> None:
    assert read_settings({}).metadata_host is None
    assert read_settings({"GCE_METADATA_HOST": "127.0.0.1:1"}).metadata_host is None
    assert read_settings({"K_SERVICE": "receive"}).metadata_host == "metadata.google.internal"
    assert read_settings({"K_SERVICE": "receive", "GCE_METADATA_HOST": "127.0.0.1:1"}).metadata_host == "127.0.0.1:1"
