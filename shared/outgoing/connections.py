"""Connections of the guarded fetch, each to an address that was checked, kept for the next request to the host."""

import ssl
from collections import OrderedDict
from typing import Final, NamedTuple

from shared.errors import Temporary
from shared.fetch import Tls
from shared.http_connection import Connection

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
        return is_young and self.idle_since <= now <= self.idle_since + idle_seconds and self.is_reusable


class IdleConnections:
    """The kept connections, the one idle for longest first."""

    def __init__(self) -> None:
        self._idle: OrderedDict[HostConnection, None] = OrderedDict()
        self._of_host: dict[Host, list[HostConnection]] = {}

    def take(self, host: Host, now: float, may_repeat: bool) -> HostConnection | None:
        """Return the connection to the host that was used last; None if none is good."""
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
    """The contexts of TLS, one for each client certificate and set of authorities. `default` is that of neither."""

    def __init__(self, default: ssl.SSLContext | None = None) -> None:
        self._default = default
        self._contexts: OrderedDict[Tls, ssl.SSLContext] = OrderedDict()

    def context(self, tls: Tls | None) -> ssl.SSLContext:
        """Raises Temporary (`secret_unusable`): what is not PEM may be corrected in the secret store."""
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
    import tempfile  # 3 ms, which few need

    # OpenSSL reads them from a file only. This one nobody else can read, and it is gone at once.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="hookchain-") as file:
        file.write(f"{tls.key.rstrip()}\n{tls.certificate}")
        file.flush()
        try:
            context.load_cert_chain(file.name, password="")  # else it would ask at the terminal
        except (ssl.SSLError, ValueError) as error:
            detail = "the client's certificate and its key are not PEM, do not belong together, or have a passphrase"
            raise Temporary("secret_unusable", detail) from error
    return context
