"""A server behind the guarded way out, what it was asked, and certificates for it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.fetch import Outgoing
from shared.outgoing.guarded_fetch import GuardedFetch

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
    """`seen` is (connection, method) of each request, and `heads` what came before its body. `names` are the looked up
    names."""

    port: int = 0
    seen: list[tuple[int, str]] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
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
                world.heads.append(head)
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
