"""The Fetch port. Every request to a URL from the configuration or from an event goes through it.

It looks up the host's name once, checks each address that it finds, and connects to one of the checked addresses. So a
name that resolves to another address a moment later has no effect. TLS verifies the certificate for the name as usual.
Connections are kept for the next requests to the same host (`IdleConnections`).
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
from shared.fetch import Fetched, NameBlocked, Outgoing, Tls
from shared.outgoing.allowed_urls import Target, address_of, blocked_kind, read_target
from shared.outgoing.http_client import IDLE_SECONDS, Connection, ConnectionLost, HandshakeLost, TlsAnswer
from shared.outgoing.request_headers import verify_headers
from shared.outgoing.tls_contexts import TlsContexts

UNREPEATABLE_SECONDS: Final = 4.0
"""The longest time for which a connection was idle, for a request that must not be sent twice. Many servers close an
idle connection after 5 s. If a request is sent at that moment, nobody knows whether the server accepted it."""
AGE_SECONDS: Final = 300.0
"""The time for which a connection is used. A new connection looks up and checks the addresses of the host again."""
MAX_IDLE: Final = 128
"""The number of idle connections that are kept."""
MAX_IDLE_OF_HOST: Final = 32
CONNECT_SECONDS: Final = 5.0
"""How long one address is tried."""
MAX_ADDRESSES: Final = 4
"""The number of a host's addresses that are tried, one after the other."""
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods of requests that change nothing, so they can be sent again."""
_TIMEOUT: Final = re.compile(r"timeout=([0-9]{1,6})")
"""The server's idle timeout in `Keep-Alive: timeout=5, max=100`, in seconds."""
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})
"""OpenSSL's reasons if the server answers in another protocol, which is most often HTTP."""
# OpenSSL's X509_V_ERR codes: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_OTHER_NAME: Final = frozenset({62, 63, 64})
"""The certificate is valid for another host, mail address or IP address."""
_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
"""No trusted authority signed the certificate."""


class Host(NamedTuple):
    """The key of a kept connection. A request uses only a connection that was made with the same values."""

    secure: bool
    name: str
    port: int
    allow_private: bool
    tls: Tls | None


class HostConnection(Connection):
    """A connection to a host. `opened_at` and `idle_since` are Unix seconds."""

    def __init__(self, host: Host, opened_at: float) -> None:
        super().__init__(may_cut=True)
        self.host = host
        self.opened_at = self.idle_since = opened_at
        self.idle_seconds = IDLE_SECONDS

    def is_good(self, now: float, *, is_repeatable: bool) -> bool:
        """Return whether a request may be sent on it. `is_repeatable`: it may be sent twice."""
        idle_seconds = self.idle_seconds if is_repeatable else min(self.idle_seconds, UNREPEATABLE_SECONDS)
        # If the connection was opened or used after `now`, the clock was set back, and nobody knows how old it is.
        is_young = self.opened_at <= now <= self.opened_at + AGE_SECONDS
        return is_young and self.idle_since <= now and self.is_reusable(now, idle_seconds)


class IdleConnections:
    """The kept connections. The connection that has been idle for longest is first."""

    def __init__(self) -> None:
        self._idle: OrderedDict[HostConnection, None] = OrderedDict()
        self._of_host: dict[Host, list[HostConnection]] = {}

    def take(self, host: Host, now: float, *, is_repeatable: bool) -> HostConnection | None:
        """Remove the connection to the host that was used last and is still good, and return it; None without one.

        `is_repeatable`: the request that needs it may be sent twice. Connections that are not good are closed.
        """
        while connections := self._of_host.get(host):
            connection = connections[-1]
            self._remove(connection)
            if connection.is_good(now, is_repeatable=is_repeatable):
                return connection
            connection.close()
        return None

    def keep(self, connection: HostConnection, now: float, idle_seconds: float) -> None:
        """Keep the connection, which was just used. Close those that have been idle for longest if there are too many,
        and those that have been idle for too long."""
        if not connection.is_open:
            connection.abort()
            return
        connection.idle_since = now
        connection.idle_seconds = min(idle_seconds, IDLE_SECONDS)
        self._idle[connection] = None
        connections = self._of_host.setdefault(connection.host, [])
        connections.append(connection)
        if len(connections) > MAX_IDLE_OF_HOST:
            self._close(connections[0])
        # The last one is this connection, which is idle since `now`, so the loop ends before it.
        while len(self._idle) > MAX_IDLE or self._longest_idle.idle_since < now - IDLE_SECONDS:
            self._close(self._longest_idle)

    def close(self) -> None:
        while self._idle:
            self._close(self._longest_idle)

    @property
    def _longest_idle(self) -> HostConnection:
        return next(iter(self._idle))

    def _close(self, connection: HostConnection) -> None:
        self._remove(connection)
        connection.close()

    def _remove(self, connection: HostConnection) -> None:
        del self._idle[connection]
        connections = self._of_host[connection.host]
        connections.remove(connection)
        if not connections:
            del self._of_host[connection.host]


Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Takes a host's name and a port. Returns the addresses, as text. Raises OSError if there is none."""


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system's resolver finds, each once. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class GuardedFetch:
    """The Fetch port over connections that are kept.

    context  verifies the servers' certificates. Default: by the system's certificate authorities
    keeps    False: each request has a connection of its own, so a command need not call `close` before it ends
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
        """Send the request on a kept connection, or on a new one, and return the response. As `Fetch.fetch`."""
        target = verified_target(request)
        host = Host(target.secure, target.host, target.port, request.allow_private, request.tls)
        deadline = asyncio.get_running_loop().time() + request.timeout_seconds
        content = request_bytes(request, target)
        is_repeatable = request.may_repeat or request.method in REPEATABLE
        kept = self._idle.take(host, self._now(), is_repeatable=is_repeatable) if self._keeps else None
        # Errors of TLS and timeouts are OSErrors too.
        if kept is not None:
            try:
                fetched = await self._exchange_on_kept(kept, request, content, deadline, is_repeatable)
            except OSError as error:
                raise _failure(error, request, target, is_sent=kept.is_request_sent) from error
            if fetched is not None:
                return fetched
        try:
            connection = await self._connect(target, host, deadline)
        except OSError as error:
            raise _failure(error, request, target, is_sent=False) from error
        try:
            return await self._exchange(connection, request, content, deadline)
        except OSError as error:
            raise _failure(error, request, target, is_sent=connection.is_request_sent) from error

    def close(self) -> None:
        self._idle.close()

    async def _exchange_on_kept(
        self, kept: HostConnection, request: Outgoing, content: bytes, deadline: float, is_repeatable: bool
    ) -> Fetched | None:
        """Return the response on a kept connection; None if the request can be sent on a new one.

        It can if the connection is lost before the response begins, and if the request was not sent whole or may be
        sent twice. Most likely, the server had closed the connection already. Raises OSError otherwise.
        """
        try:
            return await self._exchange(kept, request, content, deadline)
        except ConnectionLost as error:
            if error.answer_has_begun or (kept.is_request_sent and not is_repeatable):
                raise
            return None

    async def _exchange(
        self, connection: HostConnection, request: Outgoing, content: bytes, deadline: float
    ) -> Fetched:
        """Send the request and return the response. Raises OSError, as `Connection.exchange`.

        The connection is kept for the next request. It is aborted if this one fails.
        """
        try:
            status, headers, body, is_cut = await connection.exchange(
                content, request.max_bytes, deadline=deadline, has_body=request.method != "HEAD"
            )
        except BaseException:  # also if cancelled: the response may still come on this connection
            connection.abort()
            raise
        if self._keeps:
            self._idle.keep(connection, self._now(), _idle_seconds(headers))
        else:
            connection.abort()
        return Fetched(status, tuple(headers), body, is_cut)

    async def _addresses(self, target: Target, allow_private: bool) -> Sequence[str]:
        """Look up the name, verify each address, and return the first MAX_ADDRESSES.

        Raises NameBlocked, which is a Permanent, if any of them is blocked, and OSError if the name has none.
        """
        if target.address:  # the URL has an address instead of a name, and it is verified already
            return [str(target.address)]
        addresses = await self._resolve(target.host, target.port)
        for text in addresses:
            address = address_of(text)
            kind = blocked_kind(address, allow_private) if address else "in no form that is known"
            if kind:
                raise NameBlocked(f"{target.host} has an address that is {kind}; nothing was sent")
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        return addresses[:MAX_ADDRESSES]

    async def _connect(self, target: Target, host: Host, deadline: float) -> HostConnection:
        """Connect to the first checked address that can be reached. `host` is the key of the new connection.

        Raises OSError for the last address that failed, TimeoutError (an OSError) at the deadline, NameBlocked as
        `_addresses`, and Temporary as `TlsContexts.context`.
        """
        context = self._contexts.context(host.tls) if target.secure else None
        failure: OSError = ConnectionError("no address")
        async with asyncio.timeout_at(deadline):
            for address in await self._addresses(target, host.allow_private):
                try:
                    async with asyncio.timeout(CONNECT_SECONDS):
                        return await self._connect_to(address, target, host, context)
                except TimeoutError:
                    failure = _ConnectTimeout()
                except OSError as error:
                    failure = error
        raise failure

    async def _connect_to(
        self, address: str, target: Target, host: Host, context: ssl.SSLContext | None
    ) -> HostConnection:
        """Connect to one address, with TLS if there is a context. Raises OSError."""
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: HostConnection(host, self._now()), address, target.port
        )
        if context is not None:
            await connection.encrypt(context, target.host.removesuffix("."))
        return connection


class _ConnectTimeout(TimeoutError):
    """No connection was made to any address in time."""


def _idle_seconds(headers: list[tuple[str, str]]) -> float:
    """Return how long the connection may be idle: a second less than `timeout` in the server's `Keep-Alive`, so that
    no request is sent while the server closes the connection."""
    for name, value in headers:
        if name == "keep-alive" and (found := _TIMEOUT.search(value)):
            return float(found[1]) - 1
    return IDLE_SECONDS


def verified_target(request: Outgoing) -> Target:
    """Verify the method, the headers and the URL, before the name is looked up. Return the target of the URL.

    Raises Permanent.
    """
    if request.method not in METHODS:
        raise Permanent("invalid_url", f"the method is one of {', '.join(sorted(METHODS))}, in capitals")
    verify_headers(request.headers)
    return read_target(request.url, request.allow_private, request.allow_http)


def request_bytes(request: Outgoing, target: Target) -> bytes:
    """Return the request as it is sent in HTTP/1.1."""
    headers = [("Host", target.authority), *request.headers, ("Accept-Encoding", "identity")]
    if "user-agent" not in [name.lower() for name, _ in request.headers]:
        headers.append(("User-Agent", "hookchain"))
    if request.body or request.method in {"POST", "PUT", "PATCH"}:
        headers.append(("Content-Length", str(len(request.body))))
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return f"{request.method} {target.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + request.body


def _failure(error: OSError, request: Outgoing, target: Target, *, is_sent: bool) -> Unanswered | Temporary:
    """Return the error of a request that got no response.

    `is_sent`: it was sent, so nobody knows whether the server did what it asks for. Otherwise nothing was done.
    """
    error_class = Unanswered if is_sent else Temporary
    return error_class("host_unreachable", f"{target.host} {_cause(error, request, target.port)}")


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    """Return what is wrong with a server's certificate."""
    if error.verify_code in _OTHER_NAME:
        return f"does not prove its name: {error.verify_message}"
    reason = f"is not trusted: {error.verify_message}"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        reason += (
            ". Either the server does not send an intermediate certificate, or its authority is your own: name it in"
            " `authorities`, if the kind of destination has it"
        )
    return reason


def _cause(error: OSError, request: Outgoing, port: int) -> str:
    """Return the cause of the failure, without any text that the other side sent."""
    match error:
        case _ConnectTimeout():
            kind = "TLS connection" if request.url.lower().startswith("https:") else "connection"
            return f"accepted no {kind} at port {port} within {CONNECT_SECONDS:g} s"
        case TimeoutError():
            return f"did not answer within {round(request.timeout_seconds, 1):g} s"
        case ssl.SSLCertVerificationError():
            return f"has a certificate that {_distrust(error)}"
        case ssl.SSLError() if error.reason in _NO_TLS:
            return f"does not speak TLS at port {port}: correct the port, or write http:// if it speaks plain HTTP"
        case ssl.SSLError():
            return f"does not speak TLS as we do: {re.sub(r'[^A-Z0-9_]', '', error.reason or 'UNKNOWN')}"
        case socket.gaierror():
            return "has no address that DNS knows"
        case ConnectionRefusedError():
            return f"refused the connection at port {port}"
        case HandshakeLost():
            # A server of plain HTTP may do so, and also one of TLS that is overloaded or restarts.
            return f"closed the connection during the TLS handshake; if port {port} speaks plain HTTP, write http://"
        case TlsAnswer():
            return f"speaks TLS at port {port}: write https://"
        case ConnectionLost(answer_has_begun=False) if request.url.lower().startswith("http:"):
            # Most servers that expect TLS close the connection without a byte.
            return f"gave no whole answer: {error.args[0]}; if port {port} speaks TLS, write https://"
        case ConnectionError() if error.errno is None and error.args:
            return f"gave no whole answer: {error.args[0]}"
        case ConnectionResetError() | BrokenPipeError():
            return f"closed the connection at port {port} without a whole answer"
    return f"could not be reached: {type(error).__name__}"
