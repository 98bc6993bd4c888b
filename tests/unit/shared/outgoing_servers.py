"""Servers and resolvers for the guarded way out."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from shared.fetch import Outgoing

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Names:
    """A resolver that counts, and answers otherwise the second time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.lookups = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.lookups += 1
        return self.answers.pop(0)


class Served:
    def __init__(self, port: int) -> None:
        self.port = port
        self.requests: list[bytes] = []

    def get(self, method: str = "GET", max_bytes: int = 1_000, timeout_seconds: float = 5.0) -> Outgoing:
        url = f"http://127.0.0.1:{self.port}/p?q=1"
        return Outgoing(method, url, timeout_seconds=timeout_seconds, max_bytes=max_bytes, allow_private=True)


@asynccontextmanager
async def serving(answer: bytes | Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            served.requests.append(await reader.readuntil(b"\r\n\r\n"))
            if isinstance(answer, bytes):
                writer.write(answer)
            else:
                await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    served = Served(server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        server.close()
