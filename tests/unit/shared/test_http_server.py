"""The server's protocol over a transport that is not real, in a loop whose time is not: what a client may send, what it
may leave out, and when it is cut off. tests/functional/test_receive_process.py has some of it over real sockets.
"""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.cloud.gcp.http_server import BoundedProtocol
from shared.cloud.gcp.serving import BODY_SECONDS, Application
from shared.errors import Rejected
from shared.http import ReadBody, Reply, Request
from tests.fakes.virtual_time import run
from tests.unit.shared.http_served import H2C, SMUGGLED, Server, after, post


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
            "Connection: Upgrade\r\nUpgrade: websocket",
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


def test_many_requests_that_offer_an_upgrade_may_come_at_once() -> None:
    server, answers = served(post("/open", SMUGGLED, H2C) * 2_000)
    assert server.requests == [("POST", "/open", SMUGGLED)] * 2_000
    assert answers.count("HTTP/1.1 204") == 2_000


def test_a_request_that_offers_an_upgrade_keeps_all_other_headers() -> None:
    server, _ = served(post("/open?a=%20b", b"", "X-One:  1 ", H2C, "X-One: 2", "X-Empty:"))
    assert server.headers == [
        {
            "host": "x",
            "x-one": "2",
            "connection": "Upgrade, HTTP2-Settings",
            "http2-settings": "AAMAAABkAAQAoAAAAAIAAAAA",
            "x-empty": "",
            "content-length": "0",
        }
    ]


@pytest.mark.parametrize(
    "garbage",
    [
        b"canary-7f3a9c51e0\r\n\r\n",
        b"CONNECT canary-7f3a9c51e0:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET http://[canary-7f3a9c51e0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: canary-7f3a9c51e0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\ncanary-7f3a9c51e0\x00: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: canary-7f3a9c51e0\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ncanary-7f3a9c51e0\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nX: canary-7f3a9c51e0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nhost: canary-7f3a9c51e0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: x\r\nHost: canary-7f3a9c51e0\r\n\r\n",
    ],
)
def test_what_is_not_http_is_answered_400_and_logged_in_one_line_without_its_bytes(
    garbage: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "function", "receive")
    server, answers = served(garbage, SMUGGLED)
    assert not server.requests
    assert answers.startswith("HTTP/1.1 400 Bad Request\r\n")
    assert answers.endswith("\r\nconnection: close\r\n\r\nInvalid HTTP request received.")
    [line] = capsys.readouterr().out.splitlines()
    assert "canary" not in line
    logged = json.loads(line)
    assert (logged["function"], logged["status"], logged["code"]) == ("receive", 400, "malformed_http")


def test_what_follows_bytes_that_are_not_http_is_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    server, answers = served(b"canary\r\n\r\n" + SMUGGLED * 1_000)
    assert not server.requests
    assert answers.count("HTTP/1.1 ") == len(capsys.readouterr().out.splitlines()) == 1


def test_a_sender_that_uses_https_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    served(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    detail = json.loads(capsys.readouterr().out)["detail"]
    assert detail == "not HTTP but TLS: the sender uses HTTPS, and this port takes plain HTTP"


@pytest.mark.parametrize(("hosts", "count"), [("", 0), ("Host: canary\r\nHost: canary\r\n", 2)])
def test_the_log_says_how_many_hosts_a_request_names(
    hosts: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    served(f"GET / HTTP/1.1\r\n{hosts}\r\n".encode())
    detail = json.loads(capsys.readouterr().out)["detail"]
    assert detail == f"not HTTP: a request has one Host header; this one has {count}"


@pytest.mark.parametrize(
    ("malformed", "count"),
    [
        (b"canary\r\n\r\n", 1),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n", 1),
        (post("/third", b"c") + b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ncanary\r\n", 2),
    ],
)
def test_what_is_not_http_is_answered_after_the_whole_requests_before_it(malformed: bytes, count: int) -> None:
    server, answers = served(post("/first", b"a") + malformed, SMUGGLED)
    assert len(server.requests) == count
    assert [line for line in answers.splitlines() if line.startswith("HTTP/1.1 ")] == [
        *["HTTP/1.1 204 No Content"] * count,
        "HTTP/1.1 400 Bad Request",
    ]


def test_a_request_of_the_older_version_needs_no_host() -> None:
    server, answers = served(b"GET /open HTTP/1.0\r\n\r\n")
    assert len(server.requests) == 1
    assert answers.startswith("HTTP/1.1 204 ")


def answered(monkeypatch: pytest.MonkeyPatch, *parts: bytes) -> tuple[list[Request], str]:
    """Return the requests that reach a function which answers 204, and what is written to the connection."""
    requests: list[Request] = []

    async def answer(head: Request, read_body: ReadBody) -> Reply:
        requests.append(replace(head, body=await read_body(1_000)))
        return Reply(204, headers=())

    monkeypatch.setattr(BoundedProtocol, "application", Application(answer))
    return requests, served(*parts)[1]


@pytest.mark.parametrize("line", ["TRACE /open", "PROPFIND /open", "OPTIONS *", "TRACE /robots.txt"])
def test_any_method_and_the_path_star_reach_the_function(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    [request], answers = answered(monkeypatch, f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert f"{request.method} {request.path}" == line
    assert "HTTP/1.1 204 No Content" in answers
    assert "content-length" not in answers


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ((post("/open", b"body"),), "body"),
        ((post("/open", b"body")[:-1], b"y"), "body"),
        ((post("/open", b"body")[:-1],), "request_timeout"),
        ((post("/open", b"body")[:-4],), "request_timeout"),
        ((chunked("/open", b"body")[:-5],), "request_timeout"),
        ((post("/open", b"b" * 1_001),), "body_too_large"),
    ],
    ids=["whole", "in two parts", "cut short", "no body", "no last chunk", "too long"],
)
def test_a_body_is_read_within_its_time_and_its_size(
    parts: tuple[bytes, ...], code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize("path", ["/robots.txt", "/favicon.ico"])
def test_what_browsers_ask_for_by_themselves_reaches_no_function(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requests, answers = answered(monkeypatch, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert not requests
    assert answers.startswith("HTTP/1.1 404 Not Found\r\n")
