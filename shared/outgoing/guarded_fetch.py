"""The Fetch port: the only way to call an address that the operator, or worse an event, names.

The name is looked up once, every address found is checked, and one of those is connected to: a name that resolves to
another address a moment later leads nowhere. TLS proves the name all the same. Connections are kept for the next
request to the same host.
"""

import asyncio
import re
import socket
import ssl
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from shared.errors import Permanent, Temporary, Unanswered
from shared.fetch import Fetched, Outgoing, Tls
from shared.outgoing.allowed_requests import Target, address_of, blocked_kind, read_target, verify_headers
from shared.outgoing.http_client import Connection, ConnectionLost, TlsAnswer

IDLE_SECONDS: Final = 60.0
"""By the time of day: the monotonic clock stands still while the machine is suspended."""


UNREPEATABLE_SECONDS: Final = 4.0
"""How long a connection may be idle for a request that must not be sent twice. Many servers close one after 5 s, and
whether they took a request that met this moment is unknown."""
AGE_SECONDS: Final = 300.0
"""How long a connection is used in all: then its host's name is looked up and checked again."""
MAX_IDLE: Final = 128
MAX_IDLE_OF_HOST: Final = 32
MAX_CONTEXTS: Final = 100


class Host(NamedTuple):
    """The other end of a connection, and all that a request relies on when it uses the connection of another."""

    secure: bool
    name: str
    port: int
    allow_private: bool
    tls: Tls | None


class HostConnection(Connection):
    """A connection to a host. `opened_at` and `idle_since` are Unix seconds."""

    def __init__(self, host: Host, opened_at: float) -> None:
        super().__init__(0, may_cut=True)
        self.host = host
        self.opened_at = self.idle_since = opened_at
        self.idle_seconds = IDLE_SECONDS

    def is_good(self, now: float, may_repeat: bool) -> bool:
        """Return whether a request may rely on it."""
        idle_seconds = self.idle_seconds if may_repeat else min(self.idle_seconds, UNREPEATABLE_SECONDS)
        is_young = self.opened_at <= now <= self.opened_at + AGE_SECONDS
        return is_young and self.idle_since <= now and self.is_reusable(now, idle_seconds)


class IdleConnections:
    """The kept connections. The connection that has been idle for longest is first."""

    def __init__(self) -> None:
        self._idle: OrderedDict[HostConnection, None] = OrderedDict()
        self._of_host: dict[Host, list[HostConnection]] = {}

    def take(self, host: Host, now: float, may_repeat: bool) -> HostConnection | None:
        """Return the connection to the host that was used last; None if no connection can be used."""
        while connections := self._of_host.get(host):
            connection = connections[-1]
            self._remove(connection)
            if connection.is_good(now, may_repeat):
                return connection
            connection.close()
        return None

    def keep(self, connection: HostConnection, now: float, idle_seconds: float) -> None:
        """Keep the connection, which was just used; close those that are too many or too old."""
        if not connection.is_open:
            connection.abort()
            return
        connection.idle_since, connection.idle_seconds = now, min(idle_seconds, IDLE_SECONDS)
        self._idle[connection] = None
        connections = self._of_host.setdefault(connection.host, [])
        connections.append(connection)
        if len(connections) > MAX_IDLE_OF_HOST:
            self._close(connections[0])
        while len(self._idle) > MAX_IDLE or next(iter(self._idle)).idle_since < now - IDLE_SECONDS:
            self._close(next(iter(self._idle)))

    def close(self) -> None:
        while self._idle:
            self._close(next(iter(self._idle)))

    def _close(self, connection: HostConnection) -> None:
        self._remove(connection)
        connection.close()

    def _remove(self, connection: HostConnection) -> None:
        del self._idle[connection]
        connections = self._of_host[connection.host]
        connections.remove(connection)
        if not connections:
            del self._of_host[connection.host]


class TlsContexts:
    """The contexts of TLS, one for each client certificate and set of authorities. `default` is the context without
    either of them."""

    def __init__(self, default: ssl.SSLContext | None = None) -> None:
        self._default = default
        self._contexts: OrderedDict[Tls, ssl.SSLContext] = OrderedDict()

    def context(self, tls: Tls | None) -> ssl.SSLContext:
        """Raises Temporary (`secret_unusable`) if a text is not PEM, because it may be corrected in the secret
        store."""
        if tls is None:
            if self._default is None:
                self._default = ssl.create_default_context()  # reads the system's authorities: some 20 ms, once
            return self._default
        if tls not in self._contexts:
            self._contexts[tls] = _context(tls)
            if len(self._contexts) > MAX_CONTEXTS:
                self._contexts.popitem(last=False)
        return self._contexts[tls]


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=tls.authorities or None)
    except (ssl.SSLError, ValueError) as error:
        raise Temporary("secret_unusable", "the authorities of the server's certificate are not PEM") from error
    if tls.authorities:  # a private authority's certificates often lack what RFC 5280 asks for, as its key's id
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not tls.certificate:
        return context
    # Imported here, because it takes 3 ms, and few processes need it.
    import tempfile

    # OpenSSL reads them from a file only. No other user can read this file, and it is deleted at once.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="hookchain-") as file:
        file.write(f"{tls.key.rstrip()}\n{tls.certificate}")
        file.flush()
        try:
            # With a password, because OpenSSL would otherwise ask for one at the terminal.
            context.load_cert_chain(file.name, password="")
        except (ssl.SSLError, ValueError) as error:
            detail = "the client's certificate and its key are not PEM, do not belong together, or have a passphrase"
            raise Temporary("secret_unusable", detail) from error
    return context


CONNECT_SECONDS: Final = 5.0
MAX_ADDRESSES: Final = 4  # tried one after the other
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_TIMEOUT: Final = re.compile(r"timeout=([0-9]{1,6})")

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name, as text. Raises OSError where there is none."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedFetch:
    """`context` verifies servers; the system's certificate authorities where none is given.

    With `keeps` false, each request has a connection of its own, which a command that ends needs not close.
    """

    def __init__(
        self,
        resolve: Resolver = system_resolver,
        context: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
        *,
        keeps: bool = True,
    ) -> None:
        self._resolve = resolve
        self._contexts = TlsContexts(context)
        self._idle = IdleConnections()
        self._now = now
        self._keeps = keeps

    async def fetch(self, request: Outgoing) -> Fetched:
        target = checked(request)
        host = Host(target.secure, target.host, target.port, request.allow_private, request.tls)
        deadline = asyncio.get_running_loop().time() + request.timeout_seconds
        content = wire(request, target)
        may_repeat = request.may_repeat or request.method in REPEATABLE
        kept = self._idle.take(host, self._now(), may_repeat) if self._keeps else None
        is_sent = False
        try:
            while True:
                connection = kept or await self._connect(target, host, request, deadline)
                try:
                    return await self._exchange(connection, request, content, deadline)
                except BaseException as error:
                    is_sent = connection.is_request_sent
                    connection.abort()
                    is_stale = kept and isinstance(error, ConnectionLost) and not error.answered
                    if not is_stale or (is_sent and not may_repeat):
                        raise
                    # The connection was stale, so the request was not received: send it on a new connection.
                    kept = None
                    is_sent = False
        except OSError as error:  # ssl's errors and a timeout are some
            kind = Unanswered if is_sent else Temporary
            raise kind("host_unreachable", f"{target.host} {_cause(error, request, target.port)}") from error

    def close(self) -> None:
        self._idle.close()

    async def _exchange(
        self, connection: HostConnection, request: Outgoing, content: bytes, deadline: float
    ) -> Fetched:
        connection.max_bytes = request.max_bytes
        status, headers, body, is_cut = await connection.exchange(
            content, deadline=deadline, has_body=request.method != "HEAD"
        )
        if self._keeps:
            self._idle.keep(connection, self._now(), _idle_seconds(headers))
        else:
            connection.abort()
        return Fetched(status, tuple(headers), body, is_cut)

    async def _addresses(self, target: Target, allow_private: bool) -> Sequence[str]:
        """Look up the name and verify each address. Raises Permanent, and OSError where the name has none."""
        if target.address:
            return [str(target.address)]
        found = await self._resolve(target.host, target.port)
        for text in found:
            address = address_of(text)
            kind = blocked_kind(address, allow_private) if address else "in no form that is known"
            if kind:
                raise Permanent("address_blocked", f"{target.host} has an address that is {kind}; nothing was sent")
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return found[:MAX_ADDRESSES]

    async def _connect(self, target: Target, host: Host, request: Outgoing, deadline: float) -> HostConnection:
        """Connect to a checked address. Raises OSError, the last address's; Permanent and Temporary."""
        context = self._contexts.context(request.tls) if target.secure else None
        failure: OSError = ConnectionError("no address")
        async with asyncio.timeout_at(deadline):
            for address in await self._addresses(target, request.allow_private):
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        return await self._connected(target, host, address, context)
                except TimeoutError:
                    failure = _ConnectTimeout()
                except OSError as error:
                    failure = error
        raise failure

    async def _connected(
        self, target: Target, host: Host, address: str, context: ssl.SSLContext | None
    ) -> HostConnection:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: HostConnection(host, self._now()), address, target.port
        )
        if context is not None:
            await connection.encrypt(context, target.host.removesuffix("."))
        return connection


class _ConnectTimeout(TimeoutError):
    """No connection was made to any address in time."""


def _idle_seconds(headers: list[tuple[str, str]]) -> float:
    """Return how long the connection may be idle: a second less than the server says in `Keep-Alive: timeout=5`."""
    for name, value in headers:
        if name == "keep-alive" and (found := _TIMEOUT.search(value)):
            return float(found[1]) - 1
    return IDLE_SECONDS


def checked(request: Outgoing) -> Target:
    """Verify all that can be known before a name is looked up. Raises Permanent."""
    if request.method not in METHODS:
        raise Permanent("invalid_url", f"the method is one of {', '.join(sorted(METHODS))}, in capitals")
    verify_headers(request.headers)
    return read_target(request.url, request.allow_private, request.allow_http)


def wire(request: Outgoing, target: Target) -> bytes:
    headers = [("Host", target.authority), *request.headers, ("Accept-Encoding", "identity")]
    if "user-agent" not in [name.lower() for name, _ in request.headers]:
        headers.append(("User-Agent", "hookchain"))
    if request.body or request.method in {"POST", "PUT", "PATCH"}:
        headers.append(("Content-Length", str(len(request.body))))
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return f"{request.method} {target.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + request.body


_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
"""OpenSSL's reasons where the other side answers in another protocol. Most often it is HTTP."""


def _cause(error: OSError, request: Outgoing, port: int) -> str:
    """Return the cause of the failure, without any text that the other side sent."""
    match error:
        case _ConnectTimeout():
            kind = "TLS connection" if request.url.lower().startswith("https:") else "connection"
            return f"accepted no {kind} at port {port} within {CONNECT_SECONDS:g} s"
        case TimeoutError():
            return f"did not answer within {round(request.timeout_seconds, 1):g} s"
        case ssl.SSLCertVerificationError():
            return f"has a certificate that does not prove its name: {error.verify_message}"
        case ssl.SSLError() if error.reason in _NO_TLS:
            return f"does not speak TLS at port {port}: correct the port, or write http:// if it speaks plain HTTP"
        case ssl.SSLError():
            return f"does not speak TLS as we do: {re.sub(r'[^A-Z0-9_]', '', error.reason or 'UNKNOWN')}"
        case socket.gaierror():
            return "has no address that DNS knows"
        case ConnectionRefusedError():
            return f"refused the connection at port {port}"
        case TlsAnswer():
            return f"speaks TLS at port {port}: write https://"
        case ConnectionLost(answered=False) if request.url.lower().startswith("http:"):
            # Most servers that expect TLS close the connection without a byte.
            return f"gave no whole answer: {error.args[0]}; if port {port} speaks TLS, write https://"
        case ConnectionError() if error.errno is None and error.args:
            return f"gave no whole answer: {error.args[0]}"
    return f"could not be reached: {type(error).__name__}"
