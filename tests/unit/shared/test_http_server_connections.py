"""Connections to the server: timeouts, idle ones, pipelined requests, and clients that do not read."""

import asyncio
import json
from typing import Final

import pytest

from shared.cloud.gcp.http_server import HEAD_SECONDS, LINGER_SECONDS, MAX_IDLE_CONNECTIONS, READ_SECONDS
from shared.cloud.gcp.serving import Application
from shared.http import ReadBody, Reply, Request
from tests.fakes.virtual_time import run
from tests.unit.shared.http_served import H2C, SMUGGLED, Connection, FakeTransport, Server, after, post

CHUNK: Final = 262_144
"""What a transport reads at once."""


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
    """What reads it has one: 10 s, in shared/cloud/gcp/serving.py."""
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


@pytest.mark.parametrize("first", [post("/open", b"x" * 200_000), post("/open", b"x" * 200_000, H2C)])
@pytest.mark.parametrize("parts", [1, 3, 40])
def test_after_a_large_body_few_pipelined_requests_wait(first: bytes, parts: int) -> None:
    server = Server()
    whole = first + SMUGGLED * 5_000
    size = -(-len(whole) // parts)

    async def talk() -> int:
        protocol, transport = server.connect()
        most_waiting = 0
        for sent in range(0, len(whole), size):
            while transport.is_paused:
                await asyncio.sleep(0)
            protocol.data_received(whole[sent : sent + size])
            most_waiting = max(most_waiting, len(protocol.pipeline))
        await asyncio.sleep(0.01)
        return most_waiting

    assert run(talk()) <= 16_384 // len(SMUGGLED) + 1
    assert server.requests == [("POST", "/open", b"x" * 200_000)] + [("GET", "/smuggled", b"")] * 5_000


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
