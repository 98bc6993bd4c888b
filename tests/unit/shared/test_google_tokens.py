"""Tokens from the metadata server: access tokens, and identity tokens for private functions of ours."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.cloud.gcp.tokens import (
    IDENTITY_SECONDS,
    LAST_IDENTITY_SECONDS,
    Authorization,
    MetadataIdentity,
    ScopedTokens,
    Token,
    metadata_authorization,
    renewed,
)
from shared.errors import Temporary
from shared.jsontext import JsonObject
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


AUDIENCE = "https://convert-abc.a.run.app/in?x=1"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def identity(metadata_host: str, clock: FakeClock) -> AsyncIterator[MetadataIdentity]:
    yield MetadataIdentity(metadata_host, clock.now)
    await asyncio.sleep(0)  # in which its connection is gone


async def test_a_token_is_for_its_audience_and_is_kept_for_half_its_life(
    metadata: MetadataServer, identity: MetadataIdentity, clock: FakeClock
) -> None:
    assert [await identity(AUDIENCE), await identity(AUDIENCE)] == ["token-1", "token-1"]
    assert await identity("https://other.example.com") == "token-2"
    clock.advance(IDENTITY_SECONDS)
    assert await identity(AUDIENCE) == "token-3"
    assert metadata.audiences == [AUDIENCE, "https://other.example.com", AUDIENCE]


async def test_a_token_that_is_still_good_serves_while_there_is_no_new_one(
    metadata: MetadataServer, identity: MetadataIdentity, clock: FakeClock
) -> None:
    await identity(AUDIENCE)
    metadata.status = 503
    clock.advance(LAST_IDENTITY_SECONDS - 1)
    assert await identity(AUDIENCE) == "token-1"
    clock.advance(1)
    with pytest.raises(Temporary, match="answered 503"):
        await identity(AUDIENCE)


async def test_without_a_token_the_event_comes_again(metadata: MetadataServer, identity: MetadataIdentity) -> None:
    metadata.status = 404
    with pytest.raises(Temporary, match="answered 404"):
        await identity(AUDIENCE)
    with pytest.raises(Temporary, match="did not answer"):
        await MetadataIdentity("127.0.0.1:9")(AUDIENCE)
