"""A network between two processes that can be cut: what is sent meanwhile is held, and comes when it is whole again.

So does TCP: it sends again what was not acknowledged, even after the program that sent it has given up.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterator, Mapping

CHUNK_BYTES = 65_536


class Network:
    """`ports` has, for each port that something listens on, the port of its proxy."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ports: Mapping[int, int], links: Mapping[int, "Link"]) -> None:
        self.ports = ports
        self._loop = loop
        self._links = links

    def cut(self, port: int) -> None:
        self._loop.call_soon_threadsafe(self._links[port].whole.clear)

    def mend(self, port: int) -> None:
        self._loop.call_soon_threadsafe(self._links[port].whole.set)


class Link:
    """All connections to one port."""

    def __init__(self, port: int) -> None:
        self.whole = asyncio.Event()
        self.whole.set()
        self._port = port

    async def listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._relay, "127.0.0.1", 0)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.whole.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either side closes or dies, which the other is then told."""
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self.whole.wait()
                writer.write(chunk)
                await writer.drain()
        await self.whole.wait()
        with contextlib.suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()


@contextlib.contextmanager
def network(ports: list[int]) -> Iterator[Network]:
    """Proxies in a thread of their own."""
    loop, ready = asyncio.new_event_loop(), threading.Event()
    made: list[Network] = []
    over = asyncio.Event()

    async def serve() -> None:
        async with proxies_of(ports) as (links, proxies):
            made.append(Network(loop, proxies, links))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="network")
    thread.start()
    try:
        assert ready.wait(10), "the proxies do not listen"
        yield made[0]
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


@contextlib.asynccontextmanager
async def proxies_of(ports: list[int]) -> AsyncIterator[tuple[dict[int, Link], dict[int, int]]]:
    """The links and the proxies' ports. Whatever they still do ends with the block."""
    links = {port: Link(port) for port in ports}
    servers = {port: await link.listen() for port, link in links.items()}
    try:
        yield links, {port: server.sockets[0].getsockname()[1] for port, server in servers.items()}
    finally:
        for server in servers.values():
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next turn
