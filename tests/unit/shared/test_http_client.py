"""The HTTP client over one server that a test scripts."""

import asyncio
import contextlib
import itertools
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from shared.outgoing.http_client import IDLE_SECONDS, Answer, ConnectionLost, HttpClient, NotSent

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


class KeptAlive:
    """A server that keeps its connections, and counts them."""

    def __init__(self, answers: Iterator[bytes]) -> None:
        self._answers = answers
        self.connections = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await request(reader)
                writer.write(next(self._answers))


async def test_an_answer_leaves_nothing_for_the_next_one_over_its_connection() -> None:
    offer = b"Upgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\n"
    kinds = {
        OK: Answer(200, b"ok"),
        OK.replace(b"content-length", offer + b"content-length"): Answer(200, b"ok"),
        b"HTTP/1.1 204 No Content\r\n\r\n": Answer(204, b""),
        b"HTTP/1.1 304 Not Modified\r\n\r\n": Answer(304, b""),
        b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n": Answer(500, b""),
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK: Answer(200, b"ok"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx: y\r\n\r\n": Answer(200, b"ab"),
    }
    sent = [*itertools.chain.from_iterable(itertools.product(kinds, kinds))]  # each one after each other
    server = KeptAlive(iter(sent))

    async with serving(server.handle) as client:
        assert [await call(client) for _ in sent] == [kinds[each] for each in sent]
    assert server.connections == 1


async def test_an_idle_connection_keeps_no_answer_in_memory() -> None:
    large = b"HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n" + b"x" * 5_000_000
    server = KeptAlive(iter([OK, large]))

    async with serving(server.handle) as client:
        await call(client)
        tracemalloc.start()
        try:
            assert len((await call(client)).body) == 5_000_000
            await asyncio.sleep(0)  # the event loop lets go of the call
            kept_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert server.connections == 1
    assert kept_bytes < 1_000_000


async def test_a_connection_that_was_idle_for_long_is_not_trusted() -> None:
    server, at = KeptAlive(itertools.repeat(OK)), 0.0

    async with serving(server.handle, lambda: at) as client:
        for at in (0.0, IDLE_SECONDS, 2 * IDLE_SECONDS + 0.1, 2 * IDLE_SECONDS + 1):  # noqa: B007 read by the clock
            await call(client)
    assert server.connections == 2


async def test_a_connection_that_was_opened_ahead_serves_the_next_call() -> None:
    server, at = KeptAlive(itertools.repeat(OK)), 0.0

    async with serving(server.handle, lambda: at) as client:
        for at, connections in ((0.0, 1), (IDLE_SECONDS - 1, 1), (IDLE_SECONDS + 1, 2)):  # noqa: B007 as above
            await client.connect(2.0)
            await asyncio.sleep(0.01)
            assert server.connections == connections
        await call(client)
    assert server.connections == 2


async def test_a_late_answer_never_meets_the_next_request() -> None:
    given_up = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = (await request(reader)).rpartition(b"\r\n\r\n")[2]
        if body == b"slow":
            await given_up.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with serving(handler) as client:
        with pytest.raises(TimeoutError):
            await call(client, b"slow", timeout_seconds=0.3)
        given_up.set()
        await asyncio.sleep(0.01)
        assert (await call(client, b"quick")).body == b"quick"


async def test_a_request_that_could_not_be_sent_whole_says_so_and_its_rest_is_never_sent() -> None:
    received, may_read, is_over = bytearray(), asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await may_read.wait()
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(1_000_000):
                received.extend(piece)
        is_over.set()

    body = b"x" * 30_000_000
    async with serving(handler) as client:
        with pytest.raises(NotSent, match="TimeoutError"):
            await call(client, body, timeout_seconds=0.1)
        may_read.set()
        await is_over.wait()
    assert len(received) < len(body)


async def test_a_kept_connection_is_not_used_whose_end_the_loop_has_not_seen_yet() -> None:
    """An instance that slept finds the end of its connections in the kernel; a request on one would be unanswered."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    loop = asyncio.get_running_loop()
    client = HttpClient(f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def serve_one() -> socket.socket:
        accepted, _ = await loop.sock_accept(listener)
        await loop.sock_recv(accepted, 65_536)
        await loop.sock_sendall(accepted, OK)
        return accepted

    first = asyncio.create_task(serve_one())
    await call(client, may_repeat=False)
    (await first).close()  # and no turn of the loop comes between this and the next call
    second = asyncio.create_task(serve_one())
    assert (await call(client, may_repeat=False)).status == 200
    (await second).close()
    client.close()
    listener.close()


async def test_what_must_not_be_done_twice_is_not_sent_twice() -> None:
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await request(reader)
        writer.write(OK)
        await request(reader)  # the second is read, and not answered
        requests += 1

    async with serving(handler) as client:
        await call(client, may_repeat=False)
        with pytest.raises(ConnectionLost):
            await call(client, may_repeat=False)
    assert requests == 1


async def test_what_was_answered_in_part_is_not_sent_again() -> None:
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await request(reader)
        requests += 1
        writer.write(OK)
        await request(reader)
        requests += 1
        writer.write(OK[:20])

    async with serving(handler) as client:
        await call(client)
        with pytest.raises(ConnectionLost):
            await call(client)
    assert requests == 2


async def test_each_call_over_a_kept_connection_has_its_own_deadline() -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                waited = (await request(reader)).rpartition(b"\r\n")[2]
                await asyncio.sleep(float(waited))
                writer.write(OK)

    async with serving(handler) as client:
        for waited, timeout_seconds in ((b"0", 60.0), (b"0", 0.05), (b"0.1", 60.0)):
            assert await call(client, waited, timeout_seconds) == Answer(200, b"ok")
        with pytest.raises(TimeoutError):
            await call(client, b"60", 0.1)
    assert connections == 1
