"""An answer in one write, beside the answer that uvicorn makes of the same reply."""

import asyncio
import gc
import weakref
from typing import Final

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from shared.cloud.gcp import serving
from shared.cloud.gcp.http_server import BoundedProtocol
from shared.http import ReadBody, Reply, Request
from tests.fakes.virtual_time import run

POST: Final = b"POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
REPLIES: Final = (
    Reply(200, b'{"id":"1"}'),
    Reply(204, headers=(("cache-control", "no-store"), ("x-name", "ü"))),
    Reply(401, b"no", (("connection", "close"),)),
    Reply(599, b""),
)


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def protocol_of(reply: Reply) -> tuple[BoundedProtocol, Transport]:
    async def answer(_: Request, read_body: ReadBody) -> Reply:
        assert await read_body(1_000) in {b"body", b""}
        return reply

    application = serving.Application(answer)
    state = ServerState()
    state.default_headers = [(b"server", b"uvicorn")]
    protocol, transport = (
        BoundedProtocol(Config(application, log_config=None, access_log=False), state, {}),
        Transport(),
    )
    protocol.app = application
    protocol.connection_made(transport)
    return protocol, transport


def answers(reply: Reply, request: bytes) -> Transport:
    async def talk() -> Transport:
        protocol, transport = protocol_of(reply)
        protocol.data_received(request)
        await asyncio.sleep(0.001)
        protocol.connection_lost(None)
        return transport

    return run(talk())


def parts_of(answer: bytes) -> tuple[bytes, list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    return status, sorted(headers), body


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.status)
@pytest.mark.parametrize(
    "request_bytes",
    [
        POST,
        POST.replace(b"Host", b"Connection: close\r\nHost"),
        POST.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"HEAD /open HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["usual", "close", "1.0", "HEAD"],
)
def test_an_answer_is_what_uvicorn_makes_of_it(
    reply: Reply, request_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = answers(reply, request_bytes)
    monkeypatch.setattr(serving, "_is_writable", lambda _: False)
    theirs = answers(reply, request_bytes)
    assert parts_of(b"".join(own.writes)) == parts_of(b"".join(theirs.writes))
    assert own.is_closed is theirs.is_closed


def test_the_answer_to_a_whole_request_is_one_write() -> None:
    assert len(answers(REPLIES[0], POST).writes) == 1
    assert len(answers(REPLIES[0], POST * 3).writes) == 3


def test_a_header_with_a_line_break_is_not_written() -> None:
    assert b"injected" not in b"".join(answers(Reply(200, b"", (("x", "1\r\ninjected: 1"),)), POST).writes)


def test_a_request_that_is_answered_leaves_nothing_to_the_garbage_collector() -> None:
    async def talk() -> None:
        protocol, _ = protocol_of(REPLIES[0])
        gc.disable()
        try:
            protocol.data_received(POST)
            first = weakref.ref(protocol.cycle)
            await asyncio.sleep(0.001)
            protocol.data_received(POST)
            await asyncio.sleep(0.001)
            assert first() is None
        finally:
            gc.enable()
            protocol.connection_lost(None)

    run(talk())
