"""A server behind the guarded way out, and what it was asked."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from shared.fetch import Outgoing
from shared.outgoing.guarded_fetch import GuardedFetch

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Exchange(NamedTuple):
    """One request at the server: the number of its connection, and of the request on it, both from 0."""

    connection: int
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Respond = Callable[[Exchange], Awaitable[None]]


@dataclass
class World:
    """`seen` is (connection, method) of each request. `names` are the looked up names."""

    port: int = 0
    seen: list[tuple[int, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    now: float = 1_790_000_000.0

    def __post_init__(self) -> None:
        self.fetch = GuardedFetch(self.resolve, now=lambda: self.now)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.names.append(host)
        return ["127.0.0.1"]

    def request(self, method: str = "POST", host: str = "one.example", *, may_repeat: bool = False) -> Outgoing:
        url = f"http://{host}:{self.port}/in"
        return Outgoing(method, url, (), b"", 10.0, 1_000, allow_private=True, may_repeat=may_repeat)

    async def send(self, method: str = "POST", host: str = "one.example", *, may_repeat: bool = False) -> bytes:
        return (await self.fetch.fetch(self.request(method, host, may_repeat=may_repeat))).body


async def answer(exchange: Exchange) -> None:
    exchange.writer.write(OK)


@asynccontextmanager
async def serving(respond: Respond = answer, context: ssl.SSLContext | None = None) -> AsyncIterator[World]:
    world, connections = World(), 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connection, number = connections, 0
        connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                world.seen.append((connection, head.split()[0].decode()))
                await respond(Exchange(connection, number, reader, writer))
                await writer.drain()
                number += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    world.port = server.sockets[0].getsockname()[1]
    try:
        yield world
    finally:
        world.fetch.close()
        await asyncio.sleep(0)
        server.close()
        await server.wait_closed()
