"""The calls that are served without aiohttp, and the requests that are left to it."""

import asyncio
import json
from itertools import pairwise
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.direct_http import MAX_BODY_BYTES, Call, DirectHttp, Handler, Head, parse_head, response
from shared.http import Reply, json_reply

HEAD = (
    "POST /v3/mail/send HTTP/1.1\r\nHost: 127.0.0.1:8085\r\nContent-Type: application/json\r\n"
    "Authorization: Bearer SG.x\r\nContent-Length: 2"
)


def test_a_plain_post_of_json_is_served_directly() -> None:
    assert parse_head(HEAD.encode()) == Head("/v3/mail/send", "Bearer SG.x", 2)


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("POST", "GET"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("/send", "/send?x=1"),
        ("/send", "/s%65nd"),
        ("127.0.0.1:8085", "rebound.example"),
        ("Host:", "Origin: http://other.example\r\nHost:"),
        ("Host:", "Sec-Fetch-Site: cross-site\r\nHost:"),
        ("Host:", "Expect: 100-continue\r\nHost:"),
        ("Host:", "Transfer-Encoding: chunked\r\nHost:"),
        ("Host:", "Connection: close\r\nHost:"),
        ("Host: ", "Host: localhost\r\nHost: "),
        ("Bearer SG.x", "Bearer\r\n SG.x"),
        ("Bearer SG.x", "Bearer \x00"),
        ("Host:", "Host :"),
        ("application/json", "text/plain"),
        ("Content-Length: 2", "Content-Length: +2"),
        ("Content-Length: 2", f"Content-Length: {MAX_BODY_BYTES + 1}"),
        ("\r\nContent-Length: 2", ""),
    ],
)
def test_a_request_of_any_other_form_is_left_to_aiohttp(part: str, instead: str) -> None:
    assert parse_head(HEAD.replace(part, instead).encode()) is None


class FakeTransport:
    """Collects what is written; `protocol` is the one that the connection was handed over to."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False
        self.protocol: object = None

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def set_protocol(self, protocol: object) -> None:
        self.protocol = protocol


class Other(asyncio.Protocol):
    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


async def echo(call: Call) -> Reply:
    await asyncio.sleep(0)
    return json_reply(200, {"path": call.path, "body": call.body.decode()})


def find(path: str) -> Handler | None:
    return echo if path.startswith("/v3/") else None


def request(path: str, body: str) -> bytes:
    head = HEAD.replace("/v3/mail/send", path).replace("Content-Length: 2", f"Content-Length: {len(body)}")
    return f"{head}\r\n\r\n{body}".encode()


async def served(pieces: list[bytes]) -> tuple[bytes, bytes]:
    """Return what was answered, and what was handed over to aiohttp."""
    transport, other = FakeTransport(), Other()
    connection = DirectHttp(find, lambda: other)
    connection.connection_made(cast("asyncio.Transport", transport))
    for piece in pieces:
        target = transport.protocol or connection
        assert isinstance(target, asyncio.Protocol)
        target.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(10):
        await asyncio.sleep(0)
    return transport.written, other.received


@given(st.lists(st.integers(0, 600), max_size=8))
def test_requests_are_answered_in_order_however_their_bytes_arrive_until_one_is_left_to_aiohttp(
    cuts: list[int],
) -> None:
    rest = request("/other", "third") + request("/v3/d", "fourth")
    whole = request("/v3/a", "first") + request("/v3/b", "") + rest
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[begin:end] for begin, end in pairwise(edges)]
    answers = [json_reply(200, {"path": path, "body": body}) for path, body in (("/v3/a", "first"), ("/v3/b", ""))]
    assert asyncio.run(served(pieces)) == (b"".join(map(response, answers)), rest)


async def test_a_head_without_end_is_left_to_aiohttp() -> None:
    assert await served([b"P" * 20_000]) == (b"", b"P" * 20_000)


async def test_an_unforeseen_error_is_answered_500_and_logged_without_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def fail(_: Call) -> Reply:
        raise RuntimeError("a secret")

    transport = FakeTransport()
    connection = DirectHttp(lambda _: fail, Other)
    connection.connection_made(cast("asyncio.Transport", transport))
    connection.data_received(request("/v3/mail/send", "{}"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert transport.written.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    line = capsys.readouterr().out
    assert json.loads(line)["severity"] == "ERROR"
    assert "a secret" not in line
