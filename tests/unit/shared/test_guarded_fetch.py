"""The way out over real sockets: what is connected to, what is sent, what is read."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

import pytest
import uvloop

from shared.errors import Temporary, Unanswered
from shared.fetch import Outgoing
from shared.outgoing.guarded_fetch import MAX_ADDRESSES, GuardedFetch, Resolver, system_resolver
from tests.unit.shared import outgoing_worlds
from tests.unit.shared.outgoing_worlds import OK, Exchange, World, issue

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Names:
    """A resolver that counts, and answers otherwise the second time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.lookups = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.lookups += 1
        return self.answers.pop(0)


@asynccontextmanager
async def serving(answer: bytes | Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[World]:
    """Answer one request on each connection."""

    async def respond(exchange: Exchange) -> None:
        if isinstance(answer, bytes):
            exchange.writer.write(answer)
        else:
            await answer(exchange.reader, exchange.writer)
        exchange.writer.close()

    async with outgoing_worlds.serving(respond, context) as world:
        yield world


_OPEN: Final[list[GuardedFetch]] = []


def guarded(resolve: Resolver = system_resolver, context: ssl.SSLContext | None = None) -> GuardedFetch:
    """Return the guarded way out, which is closed after the test."""
    _OPEN.append(GuardedFetch(resolve, context))
    return _OPEN[-1]


@pytest.fixture(autouse=True)
async def _closed() -> AsyncIterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()
    await asyncio.sleep(0)


async def trouble(fetch: GuardedFetch, request: Outgoing) -> str:
    with pytest.raises(Temporary) as error:
        await fetch.fetch(request)
    assert error.value.code == "host_unreachable"
    return error.value.detail


async def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to() -> None:
    names = Names(["127.0.0.1"], ["10.255.255.1"])
    async with serving(OK) as served:
        url = f"http://rebinding.example:{served.port}/"
        fetched = await guarded(names).fetch(Outgoing("GET", url, allow_private=True))
    assert (fetched.status, fetched.body, names.lookups) == (200, b"ok", 1)
    assert b"Host: rebinding.example:" in served.heads[0]


async def test_a_name_that_nobody_knows_is_temporary() -> None:
    assert "DNS" in await trouble(guarded(Names([])), Outgoing("GET", "https://nowhere.example/"))


async def test_as_many_addresses_are_tried_as_a_request_has_time_for() -> None:
    async with serving(b"HTTP/1.1 204 No Content\r\n\r\n") as served:
        request = Outgoing("GET", f"http://many.example:{served.port}/", allow_private=True)
        closed = [f"127.0.0.{number}" for number in range(9, 9 + MAX_ADDRESSES)]
        assert (await guarded(Names([*closed[1:], "127.0.0.1"])).fetch(request)).status == 204
        await trouble(guarded(Names([*closed, "127.0.0.1"])), request)


async def test_what_is_sent_is_plain_http_of_our_own_making() -> None:
    async with serving(OK) as served:
        request = served.request("POST")._replace(
            url=f"http://one.example:{served.port}?a=1", headers=(("X-One", "é"),)
        )
        await served.fetch.fetch(request)
    head = served.heads[0].decode("latin-1").split("\r\n")
    assert head[0] == "POST /?a=1 HTTP/1.1"
    assert {"X-One: é", "Accept-Encoding: identity", "Content-Length: 0"} <= set(head)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", b"ok"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08", b"\x1f\x8b\x08"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5_000, b"x" * 1_000),
    ],
)
async def test_an_answer_is_read_in_whichever_way_it_ends_and_never_decompressed(answer: bytes, body: bytes) -> None:
    async with serving(answer) as served:
        fetched = await served.fetch.fetch(served.request("GET"))
    assert (fetched.status, fetched.body) == (200, body)


async def test_an_endless_answer_ends_at_what_was_asked_for() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with serving(endless) as served:
        fetched = await served.fetch.fetch(served.request("GET")._replace(max_bytes=65_536))
    assert (len(fetched.body), fetched.is_cut) == (65_536, True)


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\na: ", b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\n", b""])
async def test_an_answer_whose_head_never_ends_is_given_up_on_at_a_size(start: bytes) -> None:
    piece = {b"": b"HTTP/1.1 100 Continue\r\n\r\n" * 100, b"HTTP/1.1 200 OK\r\n": b"a: b\r\n" * 100}.get(
        start, b"b" * 1_000
    )
    written = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(start)
        while True:
            writer.write(piece)
            written += len(piece)
            await writer.drain()

    async with serving(endless) as served:
        assert "headers are larger" in await trouble(served.fetch, served.request("GET"))
    assert written < 16_000_000


async def test_an_answer_that_drips_is_given_up_on() -> None:
    async def dripping(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async with serving(dripping) as served:
        assert "within 0.1 s" in await trouble(served.fetch, served.request("GET")._replace(timeout_seconds=0.1009))


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "gave no whole answer: the connection was lost before the answer was complete; if port PORT speaks TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "speaks TLS at port PORT: write https://"),
        (b"SSH-2.0-OpenSSH_9\r\n", "gave no whole answer: the answer is not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "the answer is not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\n\x15\x03\r\n\r\n", "gave no whole answer: the answer is not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "gave no whole answer: the connection was lost"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "gave no whole answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"y" * 70_000 + b"\r\n\r\n", "gave no whole answer"),
    ],
)
async def test_an_answer_that_is_none_is_temporary_and_tls_is_named_by_its_bytes(answer: bytes, cause: str) -> None:
    async with serving(answer) as served:
        detail = await trouble(served.fetch, served.request("GET"))
        assert cause.replace("PORT", str(served.port)) in detail
        assert ("TLS" in detail) == ("TLS" in cause)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a server's context for the name `good.example`, and a client's that trusts it."""
    issued = issue("good.example")
    (tmp_path / "server.pem").write_text(issued.key + issued.certificate)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "server.pem")
    client = ssl.create_default_context(cadata=issued.certificate)
    client.verify_flags &= ~ssl.VERIFY_X509_STRICT  # it is its own authority
    return server, client


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_server_with_only_old_versions_of_tls_is_not_called_unreachable(
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = certificate
    server.minimum_version, server.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    server.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(OK, server) as served:
        request = Outgoing("GET", f"https://good.example:{served.port}/", allow_private=True)
        detail = await trouble(guarded(Names(["127.0.0.1"]), client), request)
    assert "could not be reached" not in detail


async def test_tls_proves_the_name_that_was_asked_for(certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = certificate
    async with serving(OK, server) as served:
        for host, proven in (("good.example", True), ("good.example.", True), ("wrong.example", False)):
            fetch = guarded(Names(["127.0.0.1"]), client)
            request = Outgoing("GET", f"https://{host}:{served.port}/", allow_private=True)
            if proven:
                assert (await fetch.fetch(request)).body == b"ok"
            else:
                assert "certificate that does not prove its name: Hostname mismatch" in await trouble(fetch, request)


async def test_a_certificate_of_an_unknown_authority_is_not_called_one_of_another_name(
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async with serving(OK, certificate[0]) as served:
        request = Outgoing("GET", f"https://good.example:{served.port}/", allow_private=True)
        detail = await trouble(guarded(Names(["127.0.0.1"]), ssl.create_default_context()), request)
    assert "is not trusted: self-signed certificate. Either" in detail
    assert "`authorities`" in detail
    assert "its name" not in detail


_LOST: Final = "127.0.0.1 closed the connection during the TLS handshake; if port PORT speaks plain HTTP, write http://"


@pytest.mark.parametrize(
    ("run", "answer", "cause"),
    [
        (asyncio.run, b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS at port PORT: "),
        (uvloop.run, b"HTTP/1.1 400 Bad Request\r\n\r\n", _LOST),
        (asyncio.run, b"", _LOST),
        (uvloop.run, b"", _LOST),
    ],
    ids=["asyncio", "uvloop", "asyncio-empty", "uvloop-empty"],
)
def test_a_port_without_tls_is_named(
    run: Callable[[Coroutine[object, object, None]], None], answer: bytes, cause: str
) -> None:
    def reject(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async def fetch_with_tls() -> None:
        server = await asyncio.start_server(reject, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            request = Outgoing("GET", f"https://127.0.0.1:{port}/", allow_private=True)
            assert cause.replace("PORT", str(port)) in await trouble(guarded(), request)

    run(fetch_with_tls())


async def test_a_connection_that_is_lost_after_tls_was_set_up_leaves_no_doubt_about_the_port(
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = certificate
    async with serving(b"", server) as served:
        request = Outgoing("GET", f"https://good.example:{served.port}/", allow_private=True)
        detail = await trouble(guarded(Names(["127.0.0.1"]), client), request)
    assert detail == "good.example gave no whole answer: the connection was lost before the answer was complete"


async def test_a_port_that_accepts_and_says_nothing_of_tls_is_named_with_the_time_that_it_had(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.outgoing.guarded_fetch.CONNECT_SECONDS", 0.05)
    writers: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: writers.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    detail = await trouble(
        guarded(), Outgoing("POST", f"https://127.0.0.1:{port}/", timeout_seconds=9, allow_private=True)
    )
    silent.close()
    for writer in writers:
        writer.close()
    assert detail == f"127.0.0.1 accepted no TLS connection at port {port} within 0.05 s"


async def test_over_tls_a_request_is_sent_when_the_socket_has_taken_it_all(
    certificate: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = certificate
    is_mute = False

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not is_mute:
            writer.write(OK)
            await reader.readuntil(b"\r\n\r\n")
        cast("asyncio.Transport", writer.transport).pause_reading()
        await over.wait()
        writer.transport.abort()

    over = asyncio.Event()
    async with serving(answering, server) as served:
        url = f"https://good.example:{served.port}/"
        request = Outgoing("POST", url, timeout_seconds=0.3, allow_private=True)
        fetch = guarded(Names(*[["127.0.0.1"]] * 3), client)
        for _ in range(3):
            assert (await fetch.fetch(request)).body == b"ok"
        is_mute = True
        with pytest.raises(Unanswered):  # over a connection that was kept
            await fetch.fetch(request)
        with pytest.raises(Unanswered):
            await fetch.fetch(request)
        with pytest.raises(Temporary) as error:
            await fetch.fetch(request._replace(body=bytes(16_000_000)))
        assert not isinstance(error.value, Unanswered)
        over.set()
        await asyncio.sleep(0.01)  # the sockets close
