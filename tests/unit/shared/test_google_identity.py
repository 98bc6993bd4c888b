"""Identity tokens for private functions of ours, from the metadata server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.cloud.gcp.tokens import IDENTITY_SECONDS, LAST_IDENTITY_SECONDS, MetadataIdentity
from shared.errors import Temporary
from tests.fakes.clock import FakeClock
from tests.gcp.metadata_server import MetadataServer

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
