"""Kept connections of the guarded way out: what is sent on one, what is not, and what happens when it ends."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import Temporary, Unanswered
from shared.outgoing.connections import AGE_SECONDS, IDLE_SECONDS, MAX_IDLE_OF_HOST, UNREPEATABLE_SECONDS, TlsContexts
from shared.outgoing.fetch import GuardedFetch
from shared.ports import Outgoing, Tls

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Exchange(NamedTuple):
    """One request at the server: the number of its connection, and of the request on it, both from 0."""

    connection: int
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


Respond = Callable[[Exchange], Awaitable[None]]


@dataclass
class World:
    """`seen` is (connection, method) of each request. `names` are the looked up names."""

    port: int = 0
    seen: list[tuple[int, str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    now: float = 1_790_000_000.0

    def __post_init__(self) -> None:
        self.fetch = GuardedFetch(self.resolve, now=lambda: self.now)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.names.append(host)
        return ["127.0.0.1"]

    def request(self, method: str = "POST", host: str = "one.example", *, may_repeat: bool = False) -> Outgoing:
        url = f"http://{host}:{self.port}/in"
        return Outgoing(method, url, (), b"", 10.0, 1_000, allow_private=True, may_repeat=may_repeat)

    async def send(self, method: str = "POST", host: str = "one.example", *, may_repeat: bool = False) -> bytes:
        return (await self.fetch.fetch(self.request(method, host, may_repeat=may_repeat))).body


async def answer(exchange: Exchange) -> None:
    exchange.writer.write(OK)


@asynccontextmanager
async def serving(respond: Respond = answer, context: ssl.SSLContext | None = None) -> AsyncIterator[World]:
    world, connections = World(), 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connection, number = connections, 0
        connections += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                world.seen.append((connection, head.split()[0].decode()))
                await respond(Exchange(connection, number, reader, writer))
                await writer.drain()
                number += 1
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    world.port = server.sockets[0].getsockname()[1]
    try:
        yield world
    finally:
        world.fetch.close()
        await asyncio.sleep(0)
        server.close()
        await server.wait_closed()


async def test_requests_to_one_host_share_a_connection_whose_address_was_checked_once() -> None:
    async with serving() as world:
        assert [await world.send() for _ in range(3)] == [b"ok"] * 3
        await world.send(host="two.example")
    assert world.seen == [(0, "POST")] * 3 + [(1, "POST")]
    assert world.names == ["one.example", "two.example"]


async def test_requests_at_the_same_time_have_their_own_connections_and_few_are_kept() -> None:
    async with serving() as world:
        await asyncio.gather(*(world.send() for _ in range(40)))
        assert len({connection for connection, _ in world.seen}) == 40
        await asyncio.gather(*(world.send() for _ in range(40)))
    assert len({connection for connection, _ in world.seen}) == 80 - MAX_IDLE_OF_HOST


@pytest.mark.parametrize(
    ("method", "may_repeat", "idle", "is_kept"),
    [
        ("POST", True, IDLE_SECONDS, True),
        ("POST", True, IDLE_SECONDS + 1, False),
        ("GET", False, IDLE_SECONDS, True),
        ("POST", False, UNREPEATABLE_SECONDS, True),
        ("POST", False, UNREPEATABLE_SECONDS + 1, False),
        ("POST", True, -1, False),
    ],
)
async def test_a_connection_that_was_idle_for_long_is_not_trusted(
    method: str, may_repeat: bool, idle: float, is_kept: bool
) -> None:
    async with serving() as world:
        await world.send()
        world.now += idle
        await world.send(method, may_repeat=may_repeat)
    assert [connection for connection, _ in world.seen] == [0, 0 if is_kept else 1]


async def test_a_name_is_looked_up_again_however_busy_its_connection_is() -> None:
    async with serving() as world:
        for _ in range(5):
            await world.send("GET")
            world.now += AGE_SECONDS / 6
        assert world.names == ["one.example"]
        world.now += AGE_SECONDS / 6
        await world.send("GET")
        world.now += 1
        await world.send("GET")
    assert world.names == ["one.example"] * 2


async def test_a_server_says_how_long_it_keeps_a_connection() -> None:
    async def brief(exchange: Exchange) -> None:
        exchange.writer.write(OK.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=10, max=100\r\n\r\n"))

    async with serving(brief) as world:
        for wait in (0, 9, 10):
            world.now += wait
            await world.send("GET")
    assert [connection for connection, _ in world.seen] == [0, 0, 1]


async def test_a_connection_that_its_server_closed_meanwhile_is_not_used() -> None:
    async def once(exchange: Exchange) -> None:
        exchange.writer.write(OK)
        exchange.writer.close()

    async with serving(once) as world:
        assert [await world.send(), await world.send()] == [b"ok", b"ok"]
    assert world.seen == [(0, "POST"), (1, "POST")]


@pytest.mark.parametrize(("method", "may_repeat"), [("GET", False), ("HEAD", False), ("POST", True)])
async def test_what_may_repeat_is_sent_again_where_a_kept_connection_ends_without_an_answer(
    method: str, may_repeat: bool
) -> None:
    async def stale(exchange: Exchange) -> None:
        if (exchange.connection, exchange.number) == (0, 1):
            exchange.writer.close()
        else:
            exchange.writer.write(OK)

    async with serving(stale) as world:
        await world.send()
        assert (await world.fetch.fetch(world.request(method, may_repeat=may_repeat))).status == 200
    assert world.seen == [(0, "POST"), (0, method), (1, method)]


async def test_it_is_sent_again_once_and_only_after_a_kept_connection() -> None:
    async def mute(exchange: Exchange) -> None:
        if (exchange.connection, exchange.number) == (0, 0):
            exchange.writer.write(OK)
        else:
            exchange.writer.close()

    async with serving(mute) as world:
        await world.send()
        with pytest.raises(Unanswered):
            await world.send(may_repeat=True)
        assert len(world.seen) == 3
        with pytest.raises(Unanswered):
            await world.send(may_repeat=True)
    assert len(world.seen) == 4


async def test_what_must_not_repeat_is_unanswered_and_sent_once() -> None:
    async def stale(exchange: Exchange) -> None:
        if exchange.number:
            exchange.writer.close()
        else:
            exchange.writer.write(OK)

    async with serving(stale) as world:
        await world.send()
        with pytest.raises(Unanswered):
            await world.send()
    assert world.seen == [(0, "POST"), (0, "POST")]


async def test_an_answer_that_has_begun_is_no_reason_to_send_again() -> None:
    async def half(exchange: Exchange) -> None:
        exchange.writer.write(OK if not exchange.number else OK[:20])
        if exchange.number:
            exchange.writer.close()

    async with serving(half) as world:
        await world.send()
        with pytest.raises(Unanswered):
            await world.send("GET")
    assert len(world.seen) == 2


@pytest.mark.parametrize(
    "more",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\nevil",
        b"HTTP/1.1 200 OK\r\n",
        b"garbage",
        b"\x00",
    ],
)
@pytest.mark.parametrize("is_late", [False, True])
async def test_a_second_answer_to_one_request_is_the_answer_to_none(more: bytes, is_late: bool) -> None:
    async def twice(exchange: Exchange) -> None:
        exchange.writer.write(OK if is_late else OK + more)
        if is_late:
            await exchange.writer.drain()
            await asyncio.sleep(0.01)
            exchange.writer.write(more)
            await exchange.writer.drain()
        sent.set()

    sent = asyncio.Event()
    async with serving(twice) as world:
        assert await world.send() == b"ok"
        await sent.wait()
        await asyncio.sleep(0.01)
        assert await world.send() == b"ok"
    assert world.seen == [(0, "POST"), (1, "POST")]


async def test_a_cut_answer_ends_its_connection() -> None:
    async def long(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5_000)

    async with serving(long) as world:
        assert [len(await world.send()) for _ in range(2)] == [1_000, 1_000]
    assert world.seen == [(0, "POST"), (1, "POST")]


async def test_each_request_has_its_own_bound_on_a_kept_connection() -> None:
    async with serving() as world:
        await world.send()
        fetched = await world.fetch.fetch(world.request()._replace(max_bytes=1))
    assert (fetched.body, fetched.is_cut, world.seen) == (b"o", True, [(0, "POST"), (0, "POST")])


async def test_trailers_are_no_headers_and_their_connection_is_kept() -> None:
    async def chunked(exchange: Exchange) -> None:
        head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n"
        exchange.writer.write(head + b"2;a=b\r\nok\r\n0\r\nX-Late: 1\r\nRetry-After: 9\r\n\r\n")

    async with serving(chunked) as world:
        fetched = [await world.fetch.fetch(world.request()) for _ in range(2)]
    assert [(each.body, each.header("x-late"), each.header("retry-after")) for each in fetched] == [
        (b"ok", None, None)
    ] * 2
    assert world.seen == [(0, "POST"), (0, "POST")]


@pytest.mark.parametrize("closes", [True, False])
async def test_an_answer_that_comes_before_the_body_is_read_is_the_answer(closes: bool) -> None:
    async def early(exchange: Exchange) -> None:
        exchange.writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
        if closes:
            exchange.writer.close()
        else:
            await done.wait()

    done = asyncio.Event()
    async with serving(early) as world:
        fetched = await world.fetch.fetch(world.request()._replace(body=b"x" * 50_000_000))
        assert (fetched.status, fetched.body) == (413, b"big")
        assert not world.fetch._idle._idle
        done.set()


async def test_a_server_that_ends_while_the_body_is_sent_did_not_take_it() -> None:
    async def away(exchange: Exchange) -> None:
        exchange.writer.transport.abort()

    async with serving(away) as world:
        with pytest.raises(Temporary) as error:
            await world.fetch.fetch(world.request()._replace(body=b"x" * 50_000_000))
    assert not isinstance(error.value, Unanswered)


async def test_without_keeping_each_request_has_its_own_connection() -> None:
    async with serving() as world:
        world.fetch = GuardedFetch(world.resolve, keeps=False)
        assert [await world.send(), await world.send()] == [b"ok", b"ok"]
    assert world.seen == [(0, "POST"), (1, "POST")]


async def test_a_request_that_is_cancelled_takes_its_connection_with_it() -> None:
    async def slow(exchange: Exchange) -> None:
        if (exchange.connection, exchange.number) == (0, 1):
            await asyncio.sleep(0.05)
        exchange.writer.write(OK)

    async with serving(slow) as world:
        await world.send()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(world.send("GET"), 0.01)
        assert await world.send("GET") == b"ok"
    assert [connection for connection, _ in world.seen] == [0, 0, 1]


class Issued(NamedTuple):
    certificate: str
    key: str


def issue(name: str, by: Issued | None = None) -> Issued:
    """Return a certificate for the name; without `by`, that of an authority, made as people make one by hand."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    parent = x509.load_pem_x509_certificate(by.certificate.encode()) if by else None
    signer = serialization.load_pem_private_key(by.key.encode(), None) if by else key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    issuer = parent.subject if parent else subject
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    certificate = builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return Issued(certificate, key.private_bytes(*kinds).decode())


async def test_a_client_certificate_and_a_private_authority_belong_to_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = issue("authority")
    server, client = issue("good.example", authority), issue("client", authority)
    (tmp_path / "server.pem").write_text(server.key + server.certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.certificate)
    context.load_cert_chain(tmp_path / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))

    async with serving(answer, context) as world:
        url = f"https://good.example:{world.port}/"
        both = Tls(client.certificate, client.key, authority.certificate)
        for tls, works in (
            (both, True),
            (Tls(*both), True),
            (both._replace(certificate="", key=""), False),
            (both._replace(authorities=issue("authority").certificate), False),
            (None, False),
        ):
            request = Outgoing("GET", url, allow_private=True, tls=tls)
            if works:
                assert (await world.fetch.fetch(request)).body == b"ok"
            else:
                with pytest.raises(Temporary) as error:
                    await world.fetch.fetch(request)
                assert error.value.code == "host_unreachable"
    assert world.seen == [(0, "GET"), (0, "GET")]
    assert list(temporary.iterdir()) == []


def test_what_is_no_certificate_is_an_unusable_secret_and_no_value_is_named() -> None:
    one, other = issue("one"), issue("other")
    encrypted = serialization.load_pem_private_key(one.key.encode(), None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    for tls in (
        Tls(one.certificate, other.key),
        Tls(one.certificate, encrypted.decode()),
        Tls(one.certificate, "nonsense"),
        Tls("nonsense", one.key),
        Tls(authorities="nonsense"),
        Tls(one.certificate),
    ):
        with pytest.raises(Temporary) as error:
            TlsContexts().context(tls)
        assert (error.value.code, "nonsense" in error.value.detail) == ("secret_unusable", False)


def test_a_context_is_made_once_for_the_same_values() -> None:
    contexts, one = TlsContexts(), issue("one")
    first = contexts.context(Tls(*one))
    assert contexts.context(Tls(*one)) is first
    assert contexts.context(Tls(*issue("other"))) is not first
    assert contexts.context(None) is contexts.context(None)
