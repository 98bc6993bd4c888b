"""How many messages go into one request to Pub/Sub, which takes at most 1,000 and 10 MB."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.cloud.gcp.pubsub import PubSubBus, no_authorization
from shared.errors import Temporary
from shared.ports import BusMessage


@asynccontextmanager
async def bus(
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
) -> AsyncIterator[tuple[PubSubBus, list[int]]]:
    counts: list[int] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                counts.append(len(json.loads(await reader.readexactly(length))["messages"]))
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the bus has gone
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=2**24)
    made = PubSubBus(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "p", "", no_authorization)
    try:
        yield made, counts
    finally:
        made.close()
        server.close()


async def test_a_batch_larger_than_the_queue_is_published_in_few_requests() -> None:
    async with bus() as (made, counts):
        await made.publish("events", [BusMessage(b"x")] * 5_000)
    assert counts == [500] * 10


async def test_large_messages_go_fewer_together() -> None:
    async with bus() as (made, counts):
        await made.publish("events", [BusMessage(b"x" * 1_000_000)] * 9)
    assert (sum(counts), max(counts)) == (9, 4)


async def test_a_batch_of_which_one_request_is_refused_is_not_confirmed() -> None:
    async with bus(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n") as (made, _):
        with pytest.raises(Temporary):
            await made.publish("events", [BusMessage(b"x")] * 1_200)
