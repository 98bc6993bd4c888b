"""Load: a counted number of requests over a few connections, each connection sending its next request on an answer."""

import asyncio
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import uvloop

from tests.running.processes import Request

CONNECTIONS = 16
ANSWER_SECONDS = 60.0


@dataclass(slots=True)
class Load:
    """`failed` counts answers that were not 2xx."""

    seconds: float = 0.0
    failed: int = 0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.latencies_ms) / self.seconds

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.latencies_ms)

    @property
    def p99_ms(self) -> float:
        return sorted(self.latencies_ms)[len(self.latencies_ms) * 99 // 100]


def http_post(request: Request) -> bytes:
    """Return the request as it goes over a connection that stays open."""
    headers = {"Host": "127.0.0.1", "Content-Type": "application/json", **request.headers}
    lines = [f"POST {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(request.body)}", "", ""]).encode() + request.body


class Connections:
    """Connections to a server, open until `close`. A server that closes one is connected to again."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter] | None] = [None] * count

    async def open(self) -> None:
        self._open = [each or await self._connected() for each in self._open]

    async def send(self, requests: Iterator[bytes], load: Load) -> None:
        """Send each request once; each connection sends its next one on an answer."""
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(len(self._open)):
                group.create_task(self._send_all(number, requests, load))
        load.seconds += time.perf_counter() - began

    def close(self) -> None:
        for each in self._open:
            if each:
                each[1].close()

    async def _send_all(self, number: int, requests: Iterator[bytes], load: Load) -> None:
        for request in requests:
            reader, writer = connection = self._open[number] or await self._connected()
            began = time.perf_counter()
            writer.write(request)
            async with asyncio.timeout(ANSWER_SECONDS):
                status, is_open = await read_answer(reader)
            load.latencies_ms.append((time.perf_counter() - began) * 1000)
            load.failed += not 200 <= status < 300
            self._open[number] = connection if is_open else None
            if not is_open:
                writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)


def drive(port: int, requests: Sequence[bytes], connections: int = CONNECTIONS) -> Load:
    """Send each request once, and return how it went."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drive(port, iter(requests), min(connections, len(requests))))


def drive_beside(
    port: int, requests: Sequence[bytes], beside: Sequence[bytes], connections: int, connections_beside: int = 0
) -> Load:
    """Send each request once while those `beside` are under way, and cut these off.

    Each of them has a connection of its own, unless it is said over how many they go.

    Return how it went with the requests.
    """

    async def drive_both() -> Load:
        shared = iter(beside)
        each_alone = [iter([each]) for each in beside] if not connections_beside else [shared] * connections_beside
        others = [asyncio.create_task(_drive(port, each, 1)) for each in each_alone]
        try:
            return await _drive(port, iter(requests), connections)
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(drive_both())


async def _drive(port: int, requests: Iterator[bytes], connections: int) -> Load:
    load, opened = Load(), Connections(port, connections)
    try:
        await opened.send(requests, load)
    finally:
        opened.close()
    return load


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read one answer; return its status and whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    if b"\r\ntransfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    elif (at := head.find(b"\r\ncontent-length:")) >= 0:
        await reader.readexactly(int(head[at + 17 : head.index(b"\r\n", at + 17)]))
    return status, b"\r\nconnection: close" not in head
