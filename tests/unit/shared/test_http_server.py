"""The server's protocol over a transport that is not real, in a loop whose time is not: what a client may send, what it
may leave out, and when it is cut off. tests/functional/test_receive_process.py has some of it over real sockets.
"""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState

from shared.cloud.gcp.http_server import HEAD_SECONDS, MAX_IDLE_CONNECTIONS, READ_SECONDS, BoundedProtocol
from shared.errors import Rejected
from shared.http import ReadBody, Reply, Request
from shared.serving import BODY_SECONDS, DISCARD_BYTES, DISCARD_SECONDS, Application
from tests.fakes.virtual_time import run

Message = dict[str, object]
CHUNK: Final = 262_144
"""What a transport reads at once."""
H2C: Final = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = self.is_lost = self.is_aborted = False
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_lost:
            raise RuntimeError("unable to perform operation, as uvloop says")
        self.written += bytes(data)

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


@dataclass(slots=True)
class Server:
    """`requests` are those that the application got, each with its body."""

    state: ServerState = field(default_factory=ServerState)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    """How long the application takes for each request."""

    async def app(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            part = message.get("body", b"")
            assert isinstance(part, bytes)
            body += part
            if not message.get("more_body"):
                break
        if self.seconds:
            await asyncio.sleep(self.seconds)
        pairs = scope["headers"]
        assert isinstance(pairs, list)
        self.headers.append({name.decode(): value.decode() for name, value in pairs})
        self.requests.append((str(scope["method"]), str(scope["path"]), body))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def connect(self) -> tuple[BoundedProtocol, FakeTransport]:
        config = Config(
            self.app, http=BoundedProtocol, ws="none", log_config=None, interface="asgi3", proxy_headers=False
        )
        protocol, transport = BoundedProtocol(config, self.state, {}), FakeTransport()
        protocol.connection_made(transport)
        return protocol, transport


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


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{each.rstrip()}\r\n" for each in headers)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


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


@dataclass(frozen=True, slots=True)
class Connection:
    is_closed: bool
    written: bytes


async def after(seconds: float, *parts: bytes, server: Server | None = None) -> Connection:
    """A connection as it is when so much time has passed since its last part."""
    protocol, transport = (server or Server()).connect()
    for part in parts:
        protocol.data_received(part)
        await asyncio.sleep(0.1)
    await asyncio.sleep(seconds)
    return Connection(transport.is_closed, transport.written)


def test_a_head_that_is_not_complete_in_time_is_answered_408_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    head = (b"POST /canary HTTP/1.1\r\n", b"X-One: canary\r\n", b"X-Two: canary\r\n")
    assert run(after(HEAD_SECONDS - 0.4, *head)) == Connection(False, b"")
    late = run(after(HEAD_SECONDS - 0.2, *head))
    assert late.is_closed
    assert late.written.startswith(b"HTTP/1.1 408 ")
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["code"] == "request_timeout"
    assert "canary" not in line


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (b"\r\n", b"\r\n"),
        (post("/open", b"body"), b"\r\n"),
        (post("/open", b"body", H2C), b"\r\n"),
        (post("/open", b"body") * 3, b"\r\n"),
    ],
    ids=["nothing", "line ends", "after an answer", "after an upgrade", "after pipelined requests"],
)
def test_a_connection_on_which_no_request_comes_is_closed_without_an_answer(parts: tuple[bytes, ...]) -> None:
    server = Server()
    connection = run(after(HEAD_SECONDS, *parts, server=server))
    assert connection.is_closed
    assert connection.written.count(b"HTTP/1.1 ") == connection.written.count(b"HTTP/1.1 204 ") == len(server.requests)


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


def test_a_body_has_no_timeout_of_the_server() -> None:
    """What reads it has one: 10 s, in shared/serving.py."""
    assert not run(after(3 * HEAD_SECONDS, post("/open", b"body")[:-1])).is_closed


def test_a_connection_that_is_gone_leaves_no_timer() -> None:
    async def talk() -> bool:
        protocol, transport = Server().connect()
        protocol.connection_lost(None)
        await asyncio.sleep(2 * HEAD_SECONDS)
        return transport.written == b""

    assert run(talk())


def test_of_too_many_idle_connections_the_longest_idle_are_closed_and_no_request_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = Server()

    async def crowd() -> tuple[list[bool], bool]:
        protocol, busy = server.connect()
        protocol.data_received(post("/open", b"body")[:-1])
        transports = []
        for _ in range(MAX_IDLE_CONNECTIONS + 1):
            transports.append(server.connect()[1])
            await asyncio.sleep(0.001)
        return [each.is_closed for each in transports], busy.is_closed

    closed, is_busy_closed = run(crowd())
    assert not is_busy_closed
    assert closed == sorted(closed, reverse=True)
    assert 0 < sum(closed) <= MAX_IDLE_CONNECTIONS // 10
    assert json.loads(capsys.readouterr().out)["count"] == sum(closed)


@pytest.mark.parametrize(
    "request_bytes",
    [post("/open", b""), post("/open", b"x" * 100, H2C), post("/open", b"x" * 40_000)],
    ids=["small", "upgrade", "large"],
)
def test_of_pipelined_requests_few_wait_and_the_rest_is_not_read(request_bytes: bytes) -> None:
    server = Server()
    whole = request_bytes * (1_048_576 // len(request_bytes))

    async def talk() -> tuple[int, int, bytes]:
        protocol, transport = server.connect()
        sent = most_waiting = most_kept = 0
        while sent < len(whole):
            if not transport.is_paused:
                protocol.data_received(whole[sent : sent + CHUNK])
                sent += CHUNK
            most_waiting = max(most_waiting, len(protocol.pipeline))
            most_kept = max(most_kept, sent - len(server.requests) * len(request_bytes))
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        return most_waiting, most_kept, transport.written

    most_waiting, most_kept, written = run(talk())
    assert most_waiting <= 16_384 // len(request_bytes) + 1
    assert most_kept <= CHUNK + 16_384 + 2 * len(request_bytes)
    count = len(whole) // len(request_bytes)
    assert len(server.requests) == written.count(b"HTTP/1.1 204 ") == count
    assert len(set(server.requests)) == 1


def test_what_arrives_while_a_request_waits_is_held_and_ends_the_reading() -> None:
    server = Server(seconds=0.1)

    async def talk() -> list[bool]:
        protocol, transport = server.connect()
        is_paused = []
        for count in (2, 1_000):
            protocol.data_received(SMUGGLED * count)
            await asyncio.sleep(0.01)
            is_paused.append(transport.is_paused)
        for seconds in (0.13, 200):
            await asyncio.sleep(seconds)
            is_paused.append(transport.is_paused)
        return is_paused

    assert run(talk()) == [False, True, True, False]
    assert len(server.requests) == 1_002


def test_a_head_that_is_held_in_part_may_take_as_long_as_any() -> None:
    server, whole = Server(), post("/open", b"x" * 300) * 100

    async def talk() -> bool:
        protocol, transport = server.connect()
        protocol.data_received(whole[:-350])
        await asyncio.sleep(HEAD_SECONDS - 0.1)
        is_reading = not transport.is_paused and not transport.is_closed
        protocol.data_received(whole[-350:])
        await asyncio.sleep(0.1)
        return is_reading

    assert run(talk())
    assert server.requests == [("POST", "/open", b"x" * 300)] * 100


@pytest.mark.parametrize(("seconds", "is_aborted"), [(READ_SECONDS - 0.1, False), (READ_SECONDS + 0.1, True)])
def test_a_client_that_does_not_read_its_answers_is_cut_off(
    seconds: float, is_aborted: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    async def talk() -> bool:
        protocol, transport = Server().connect()
        protocol.pause_writing()
        protocol.data_received(post("/open", b"body") * 3)
        await asyncio.sleep(seconds)
        protocol.resume_writing()
        await asyncio.sleep(READ_SECONDS - 0.2)
        return transport.is_aborted

    assert run(talk()) is is_aborted
    assert ("did not read its answers" in capsys.readouterr().out) is is_aborted


def test_a_closed_connection_whose_last_answers_are_not_read_is_cut_off() -> None:
    """A transport that closes waits for what is written to be read."""

    async def talk() -> tuple[bool, bool]:
        protocol, transport = Server().connect()
        protocol.data_received(post("/open", b"body"))
        await asyncio.sleep(HEAD_SECONDS + READ_SECONDS - 0.5)
        was_aborted = transport.is_aborted
        await asyncio.sleep(1)
        return was_aborted, transport.is_aborted

    assert run(talk()) == (False, True)


@pytest.mark.parametrize("answered_before", [0, 1])
def test_a_sender_that_goes_away_while_its_requests_wait_leaves_no_error_in_the_log(
    answered_before: int, caplog: pytest.LogCaptureFixture
) -> None:
    paths: list[str] = []

    async def talk() -> bytes:
        protocol, transport = Server().connect()
        is_gone = asyncio.Event()

        async def answer(head: Request, _: ReadBody) -> Reply:
            paths.append(head.path)
            if len(paths) > answered_before:
                await is_gone.wait()
            return Reply(200, b"late" if is_gone.is_set() else b"in time")

        protocol.app = Application(answer)
        protocol.data_received(post("/one", b"1") + post("/two", b"2") + post("/three", b"3") + SMUGGLED * 1_000)
        await asyncio.sleep(0.001)
        protocol.connection_lost(ConnectionResetError())
        transport.is_lost = True
        is_gone.set()
        await asyncio.sleep(0.001)
        assert not protocol.pipeline
        return transport.written

    written = run(talk())
    assert paths == ["/one", "/two"][: answered_before + 1]
    assert written.count(b"in time") == written.count(b"HTTP/1.1 200 ") == answered_before
    assert not caplog.records


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
        ((post("/open", b"")[:-5] + b"%d\r\n\r\n" % 10**9, *[b"x" * DISCARD_BYTES] * 2), 0.0, True),
    ],
    ids=["waits", "reads on", "a second", "complete", "at once", "too much"],
)
def test_after_an_early_rejection_the_rest_is_discarded_for_a_short_time(
    parts: tuple[bytes, ...], seconds: float, is_closed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, connection = rejected(monkeypatch, *parts, seconds=seconds)
    assert codes == ["body_too_large"]
    assert connection.written.endswith(b"\r\n\r\nno")
    assert connection.written.count(b"HTTP/1.1 ") == 1
    assert connection.is_closed is is_closed


CHUNKED: Final = b"POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("parts", [(CHUNKED + b"2\r\n{}\r\ncanary",), (CHUNKED + b"2\r\n{}\r\n", b"canary")])
def test_a_malformed_chunk_is_logged_once(
    parts: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes, connection = rejected(monkeypatch, *parts, seconds=2 * BODY_SECONDS)
    assert not codes
    assert connection.written.count(b"HTTP/1.1 400 ") == connection.written.count(b"HTTP/1.1 ") == 1
    assert [json.loads(line)["code"] for line in capsys.readouterr().out.splitlines() if "code" in line] == [
        "malformed_http"
    ]


def test_a_malformed_chunk_after_a_rejection_is_neither_answered_nor_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes, connection = rejected(monkeypatch, CHUNKED + b"800\r\n" + b"x" * 2_048 + b"\r\n", b"canary")
    assert codes == ["body_too_large"]
    assert connection.is_closed
    assert connection.written.count(b"HTTP/1.1 ") == connection.written.count(b"HTTP/1.1 413 ") == 1
    assert not capsys.readouterr().out
