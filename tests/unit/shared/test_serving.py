"""An answer in one write, beside the answer that uvicorn makes of the same reply."""

import asyncio
from typing import Final

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from shared.cloud.gcp import serving
from shared.cloud.gcp.http_server import BoundedProtocol
from shared.http import ReadBody, Reply, Request
from tests.fakes.virtual_time import run
from tests.unit.shared.http_served import FakeTransport

POST: Final = b"POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
REPLIES: Final = (
    Reply(200, b'{"id":"1"}'),
    Reply(204, headers=(("cache-control", "no-store"), ("x-name", "ü"))),
    Reply(401, b"no", (("connection", "close"),)),
    Reply(599, b""),
)


def protocol_of(reply: Reply) -> tuple[BoundedProtocol, FakeTransport]:
    async def answer(_: Request, read_body: ReadBody) -> Reply:
        assert await read_body(1_000) in {b"body", b""}
        return reply

    application = serving.Application(answer)
    state = ServerState()
    state.default_headers = [(b"server", b"uvicorn")]
    protocol, transport = (
        BoundedProtocol(Config(application, log_config=None, access_log=False), state, {}),
        FakeTransport(),
    )
    protocol.app = application
    protocol.connection_made(transport)
    return protocol, transport


def answers(reply: Reply, request: bytes) -> FakeTransport:
    async def talk() -> FakeTransport:
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
def test_an_answer_is_as_uvicorn_writes(reply: Reply, request_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    own = answers(reply, request_bytes)
    monkeypatch.setattr(serving, "_is_writable", lambda _: False)
    theirs = answers(reply, request_bytes)
    assert parts_of(own.written) == parts_of(theirs.written)
    assert own.is_closed is theirs.is_closed


def test_the_answer_to_a_whole_request_is_one_write() -> None:
    assert len(answers(REPLIES[0], POST).writes) == 1
    assert len(answers(REPLIES[0], POST * 3).writes) == 3


def test_a_header_with_a_line_break_is_not_written() -> None:
    assert b"injected" not in answers(Reply(200, b"", (("x", "1\r\ninjected: 1"),)), POST).written
