"""The server's protocol over a transport that is not real, in a loop whose time is not: what a client may send, what it
may leave out, and when it is cut off. tests/functional/test_receive_process.py has some of it over real sockets.
"""

import asyncio
import itertools
import json
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from hypothesis import given, strategies as st

from shared.cloud.gcp import http_server
from shared.cloud.gcp.http_server import HEAD_SECONDS, LINGER_SECONDS, MAX_HEAD_BYTES, BoundedProtocol, tls_loop
from shared.cloud.gcp.serving import BODY_SECONDS, DISCARD_BYTES, DISCARD_SECONDS, Application
from shared.errors import Rejected
from shared.http import ReadBody, Reply, Request
from tests.fakes.virtual_time import run
from tests.unit.shared.http_served import H2C, SMUGGLED, Connection, FakeTransport, Server, after, post


def served(*parts: bytes) -> tuple[Server, str]:
    """Send the parts on one connection, each once all that the one before brought about is done."""
    server = Server()

    async def talk() -> str:
        protocol, transport = server.connect()
        for part in parts:
            if not transport.is_closed:
                protocol.data_received(part)
            await asyncio.sleep(0.001)
        protocol.connection_lost(None)
        return transport.written.decode()

    return server, run(talk())


def chunked(path: str, body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{each.rstrip()}\r\n" for each in headers)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}Transfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"".join(b"1\r\n%c\r\n" % each for each in body) + b"0\r\n\r\n"


def in_pieces(whole: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted({cut % len(whole) for cut in cuts}), len(whole)]
    return [whole[start:end] for start, end in itertools.pairwise(places) if start < end]


@given(
    st.lists(st.integers(0, 10_000), max_size=6),
    st.sampled_from([post, chunked]),
    st.sampled_from(
        [
            H2C,
            "connection: close, uPGRADE\r\nuPGRADE: TLS/1.0, h2c",
            "Upgrade: h2c\r\nConnection: keep-alive\r\nConnection: Upgrade",
            "Connection: Upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue",
        ]
    ),
)
def test_the_body_of_a_request_that_offers_an_upgrade_is_read_however_it_arrives(
    cuts: list[int], write: Callable[[str, bytes, str], bytes], offer: str
) -> None:
    whole = write("/open", SMUGGLED, offer) + post("/next", b"n", "Connection: close")
    server, answers = served(*in_pieces(whole, cuts))
    requests = [("POST", "/open", SMUGGLED), ("POST", "/next", b"n")]
    expected = requests[:1] if "close" in offer else requests
    assert server.requests == expected
    assert answers.count("HTTP/1.1 204") == len(expected)
    assert answers.count("HTTP/1.1 100") <= offer.count("Expect")


@pytest.mark.parametrize(
    "garbage",
    [
        b"CONNECT canary-7f3a9c51e0:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://[canary-7f3a9c51e0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: canary-7f3a9c51e0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: canary-7f3a9c51e0\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ncanary-7f3a9c51e0\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"canary-7f3a9c51e0\r\n\r\n",
        b"CANARY-7f3a9c51e0 / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"post / HTTP/1.1\r\nHost: canary-7f3a9c51e0\r\n\r\n",
        b"POST /canary-7f3a9c51e0 HTTP/7.7\r\nHost: x\r\n\r\n",
        b"POST /canary-\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: canary\x017f3a9c51e0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\ncanary 7f3a9c51e0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"GET /?a=canary-" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_answered_400_and_logged_in_one_line_without_its_bytes(
    garbage: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "function", "receive")
    server, answers = served(garbage, SMUGGLED)
    assert not server.requests
    assert answers.startswith("HTTP/1.1 400 Bad Request\r\n")
    head, _, body = answers.partition("\r\n\r\n")
    assert {"content-type: application/problem+json", "connection: close", f"content-length: {len(body)}"} <= {
        *head.split("\r\n")
    }
    assert json.loads(body)["code"] == "malformed_http"
    [line] = capsys.readouterr().out.splitlines()
    assert "canary" not in line
    logged = json.loads(line)
    assert (logged["function"], logged["status"], logged["code"]) == ("receive", 400, "malformed_http")


HOST: Final = "not HTTP: a request must have one Host header; got "
CODING: Final = "not HTTP: the only transfer coding that is supported is chunked"


@pytest.mark.parametrize(
    ("lines", "detail"),
    [
        ("HTTP/1.1\r\nX: y", f"{HOST}0"),
        ("HTTP/1.1\r\nHost: a\r\nhOST: a", f"{HOST}2"),
        ("HTTP/1.0\r\nHost: a\r\nHost: b", f"{HOST}2"),
        (f"HTTP/1.1\r\n{H2C.rstrip()}", f"{HOST}0"),
        ("HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked", CODING),
        ("HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked", CODING),
    ],
)
def test_a_head_that_http_forbids_is_answered_400_with_the_rule(
    lines: str, detail: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server, answers = served(f"POST /open {lines}\r\n\r\n".encode() + b"2\r\n{}\r\n0\r\n\r\n", SMUGGLED)
    assert not server.requests
    assert answers.startswith("HTTP/1.1 400 Bad Request\r\n")
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["detail"] == detail


@pytest.mark.parametrize(
    "lines", ["HTTP/1.0\r\nX: y", "HTTP/1.1\r\nHost:", "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked "]
)
def test_a_head_that_http_allows_is_served(lines: str) -> None:
    server, _ = served(f"POST /open {lines}\r\n\r\n".encode() + b"0\r\n\r\n" * ("Chunked" in lines))
    assert [request[1] for request in server.requests] == ["/open"]


def test_a_sender_that_uses_https_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    served(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    detail = json.loads(capsys.readouterr().out)["detail"]
    assert detail == "not HTTP but TLS: the sender uses HTTPS, and this port takes plain HTTP"


def answered(monkeypatch: pytest.MonkeyPatch, *parts: bytes) -> tuple[list[Request], str]:
    """Return the requests that reach a function which answers 204, and what is written to the connection."""
    requests: list[Request] = []

    async def answer(head: Request, read_body: ReadBody) -> Reply:
        requests.append(replace(head, body=await read_body(1_000)))
        return Reply(204, headers=())

    monkeypatch.setattr(BoundedProtocol, "application", Application(answer))
    return requests, served(*parts)[1]


@pytest.mark.parametrize(
    "line", ["PROPFIND /open HTTP/1.1", "OPTIONS * HTTP/1.1", "POST /open HTTP/1.0", "POST /open HTTP/1.1\r\nExpect: x"]
)
def test_any_method_version_and_expectation_and_path_star_arrive(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [request], answers = answered(monkeypatch, f"{line}\r\nHost: x\r\n\r\n".encode())
    assert line.startswith(f"{request.method} {request.path} ")
    assert "HTTP/1.1 204 No Content" in answers
    assert "content-length" not in answers


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ((post("/open", b"body"),), "body"),
        ((post("/open", b"body")[:-1], b"y"), "body"),
        ((post("/open", b"body")[:-1],), "request_timeout"),
        ((chunked("/open", b"body")[:-5],), "request_timeout"),
        ((post("/open", b"b" * 1_001),), "body_too_large"),
    ],
    ids=["whole", "in two parts", "cut short", "no last chunk", "too long"],
)
def test_a_body_has_its_time_and_its_size(parts: tuple[bytes, ...], code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []

    async def answer(_: Request, read_body: ReadBody) -> Reply:
        try:
            found.append((await read_body(1_000)).decode())
        except Rejected as error:
            found.append(error.code)
        return Reply(204, headers=())

    monkeypatch.setattr(BoundedProtocol, "application", Application(answer))
    run(after(BODY_SECONDS - 0.3, *parts))
    assert found == ([] if code == "request_timeout" else [code])
    found.clear()
    run(after(BODY_SECONDS + 0.3, *parts))
    assert found == [code]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/robots.txt", "/favicon.ico"])
def test_what_browsers_ask_for_by_themselves_reaches_no_function(
    path: str, method: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requests, answers = answered(monkeypatch, f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert not requests
    head, _, body = answers.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 404 Not Found\r\n")
    assert "content-type: application/problem+json" in head
    assert method == "HEAD" or json.loads(body)["code"] == "unknown_source"
    assert capsys.readouterr().out == ""


# Time, and the end of a server


def test_a_head_that_is_not_complete_in_time_is_answered_408_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    head = (b"POST /canary HTTP/1.1\r\n", b"X-One: canary\r\n", b"X-Two: canary\r\n")
    assert run(after(HEAD_SECONDS - 0.4, *head)) == Connection(False, b"")
    late = run(after(HEAD_SECONDS - 0.2, *head))
    assert late.is_closed
    answer, _, body = late.written.partition(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\n")
    assert f"content-length: {len(body)}".encode() in answer
    assert json.loads(body)["code"] == "request_timeout"
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["code"] == "request_timeout"
    assert "canary" not in line


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (post("/open", b"body"), b"\r\n"),
        (post("/open", b"body") * 3, b"\r\n"),
    ],
    ids=["nothing", "after an answer", "after pipelined requests"],
)
def test_a_connection_on_which_no_request_comes_is_closed_without_an_answer(parts: tuple[bytes, ...]) -> None:
    server = Server()
    connection = run(after(HEAD_SECONDS, *parts, server=server))
    assert connection.is_closed
    assert connection.written.count(b"HTTP/1.1 ") == connection.written.count(b"HTTP/1.1 204 ") == len(server.requests)


@pytest.mark.parametrize("earlier", [b"", post("/before", b"body")], ids=["a new connection", "one that was used"])
def test_a_server_that_ends_serves_a_request_that_is_on_its_way_and_closes_then(earlier: bytes) -> None:
    server = Server()

    async def talk() -> tuple[bool, FakeTransport]:
        protocol, transport = server.connect()
        if earlier:
            protocol.data_received(earlier)
            await asyncio.sleep(0.01)
        protocol.shutdown()
        is_open = not transport.is_closed
        protocol.data_received(post("/last", b"body"))
        await asyncio.sleep(0.01)
        return is_open, transport

    is_open, transport = run(talk())
    assert is_open
    assert server.requests[-1] == ("POST", "/last", b"body")
    assert b"connection: close" in transport.written
    assert transport.is_closed


def test_a_server_that_ends_closes_connections_on_which_nothing_comes() -> None:
    async def talk() -> tuple[bool, bool]:
        protocol, transport = Server().connect()
        protocol.shutdown()
        await asyncio.sleep(LINGER_SECONDS - 0.01)
        is_open = not transport.is_closed
        await asyncio.sleep(0.02)
        return is_open, transport.is_closed

    assert run(talk()) == (True, True)


@dataclass(slots=True)
class TooLarge:
    """A function that takes no body over 1,000 bytes, and the codes that it would log."""

    codes: list[str] = field(default_factory=list)

    async def answer(self, _: Request, read_body: ReadBody) -> Reply:
        try:
            await read_body(1_000)
        except Rejected as error:
            self.codes.append(error.code)
            return Reply(error.status, b"no", (("connection", "close"),))
        return Reply(200, b"yes")


def rejected(monkeypatch: pytest.MonkeyPatch, *parts: bytes, seconds: float = 0.0) -> tuple[list[str], Connection]:
    function = TooLarge()
    monkeypatch.setattr(BoundedProtocol, "application", Application(function.answer))
    return function.codes, run(after(seconds, *parts))


LARGE: Final = post("/open", b"x" * 200_000)


@pytest.mark.parametrize(
    ("parts", "seconds", "is_closed"),
    [
        ((LARGE[:100_000],), DISCARD_SECONDS - 0.2, False),
        ((LARGE[:100_000], LARGE[100_000:-1]), DISCARD_SECONDS - 0.3, False),
        ((LARGE[:100_000],), DISCARD_SECONDS, True),
        ((LARGE[:100_000], LARGE[100_000:]), 0.0, True),
        ((LARGE,), 0.0, True),
        ((LARGE + post("/open", b"x"),), 0.0, True),
        ((post("/open", b"")[:-5] + b"%d\r\n\r\n" % 10**9, *[b"x" * DISCARD_BYTES] * 2), 0.0, True),
    ],
    ids=["waits", "reads on", "a second", "complete", "at once", "before another request", "too much"],
)
def test_after_an_early_rejection_the_rest_is_discarded_for_a_short_time(
    parts: tuple[bytes, ...], seconds: float, is_closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, connection = rejected(monkeypatch, *parts, seconds=seconds)
    assert codes == ["body_too_large"]
    assert connection.written.endswith(b"\r\n\r\nno")
    assert connection.written.count(b"HTTP/1.1 ") == 1
    assert connection.is_closed is is_closed


def test_a_too_large_head_gets_a_431(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    long = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * MAX_HEAD_BYTES
    _, connection = rejected(monkeypatch, *(long[at : at + 60_000] for at in range(0, len(long), 60_000)))
    assert connection.written.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert connection.is_closed
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (line["status"], line["code"]) == (431, "head_too_large")


def test_the_time_of_a_head_begins_with_the_answer_before_it() -> None:
    head, rest = post("/open", b"body")[:9], post("/open", b"body")[9:]
    later = HEAD_SECONDS - 0.2

    async def talk() -> bool:
        protocol, transport = Server().connect()
        for _ in range(3):
            protocol.data_received(head)
            await asyncio.sleep(later)
            protocol.data_received(rest)
            await asyncio.sleep(0.1)
        return transport.is_closed

    assert not run(talk())


@pytest.mark.parametrize("seconds", [0.05, 100.0])
@pytest.mark.parametrize(("bytes_left", "is_aborted"), [([9, 9, 9], True), ([9, 8, 7], False), ([9, 0, 0], False)])
def test_a_client_that_reads_no_answer_is_cut_off(bytes_left: list[int], is_aborted: bool, seconds: float) -> None:
    async def talk() -> bool:
        protocol, transport = Server(seconds=seconds).connect()
        protocol.data_received(post("/open", b"body"))
        await asyncio.sleep(1.0)
        for left in bytes_left:
            transport.unread_bytes = left
            await asyncio.sleep(HEAD_SECONDS)
        return transport.is_aborted

    assert run(talk()) is is_aborted


def test_a_client_that_leaves_requests_and_answers_behind_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def talk() -> None:
        protocol, transport = Server(seconds=0.01).connect()
        protocol.data_received(post("/open", b"body") * 3)
        protocol.pause_writing()
        await asyncio.sleep(0.1)
        transport.is_lost = transport.is_closed = True
        protocol.connection_lost(ConnectionResetError())
        await asyncio.sleep(0.1)

    run(talk())
    assert caplog.text == ""


def test_a_tls_handshake_that_is_not_complete_in_time_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    async def connect_and_wait() -> bytes:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"\x16\x03")  # the beginning of a handshake
        async with asyncio.timeout(5):
            rest = await reader.read()
        writer.close()
        server.close()
        return rest

    with asyncio.Runner(loop_factory=tls_loop) as runner:
        assert runner.run(connect_and_wait()) == b""


# The headers of a request by name

NAMES = ("a", "b", "c")


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text("xy, ", max_size=3))))
def test_all_lines_of_a_name_are_joined_in_their_order(headers: list[tuple[str, str]]) -> None:
    request = Request("POST", "/", headers=tuple(headers))
    for name in NAMES:
        values = [value for each, value in headers if each == name]
        assert request.header(name.upper()) == (",".join(values) if values else None)
