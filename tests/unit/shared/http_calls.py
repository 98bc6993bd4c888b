"""One server that a test scripts, and calls to it."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from shared.outgoing.http_client import Answer, HttpClient

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def serving(handler: Handler, now: Callable[[], float] = time.monotonic) -> AsyncIterator[HttpClient]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    client = HttpClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", now=now)
    try:
        yield client
    finally:
        client.close()
        server.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def call(
    client: HttpClient, body: bytes = b"hello", timeout_seconds: float = 2.0, may_repeat: bool = True
) -> Answer:
    answer = await client.call("POST", "/path", {"X-One": "1"}, body, timeout_seconds, may_repeat=may_repeat)
    return replace(answer, headers={})
