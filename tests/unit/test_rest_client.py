import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from shared.cloud.gcp.rest import Answer, RestClient

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[RestClient]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    client = RestClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield client
    finally:
        client.close()
        server.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def call(client: RestClient, body: bytes = b"hello", timeout_seconds: float = 2.0) -> Answer:
    return await client.call("POST", "/path", {"X-One": "1"}, body, timeout_seconds)


async def test_calls_share_a_connection() -> None:
    connections = 0
    requests: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while not reader.at_eof():
            try:
                requests.append(await request(reader))
            except asyncio.IncompleteReadError:
                return
            writer.write(OK)

    async with serving(handler) as client:
        assert [await call(client) for _ in range(3)] == [Answer(200, b"ok")] * 3
    assert connections == 1
    assert requests[0].startswith(b"POST /path HTTP/1.1\r\nHost: 127.0.0.1:")
    assert requests[0].endswith(b"\r\n\r\nhello")


async def test_a_kept_connection_that_its_server_closed_is_replaced() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(OK)  # promises to keep it alive, and closes

    async with serving(handler) as client:
        for _ in range(3):
            assert (await call(client)).status == 200


async def test_an_answer_in_chunks_and_in_pieces_is_read_whole() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        answer = b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        for position in range(len(answer)):
            writer.write(answer[position : position + 1])
            await asyncio.sleep(0)

    async with serving(handler) as client:
        assert await call(client) == Answer(503, b"abcde")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", b"not http\r\n\r\n"])
async def test_an_answer_that_does_not_end_well_is_an_os_error(answer: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(answer)

    async with serving(handler) as client:
        with pytest.raises(OSError, match=r".*"):
            await call(client)


async def test_a_late_answer_never_meets_the_next_request() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = (await request(reader)).rpartition(b"\r\n\r\n")[2]
        if body == b"slow":
            await asyncio.sleep(0.1)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with serving(handler) as client:
        with pytest.raises(TimeoutError):
            await call(client, b"slow", timeout_seconds=0.02)
        await asyncio.sleep(0.1)
        assert (await call(client, b"quick")).body == b"quick"


async def test_nobody_listening_is_an_os_error() -> None:
    with pytest.raises(OSError, match=r".*"):
        await call(RestClient("http://127.0.0.1:1"))
