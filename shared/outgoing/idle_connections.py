"""The connections to hosts that are kept for the next requests, and how long each may be used."""

from collections import OrderedDict
from typing import Final, NamedTuple

from shared.fetch import Tls
from shared.outgoing.connection import IDLE_SECONDS, Connection

UNREPEATABLE_SECONDS: Final = 4.0
"""How long a connection may be idle before a request that must not be sent twice. Many servers close an idle connection
after 5 s. If a request is sent at that moment, nobody knows whether the server accepted it."""
AGE_SECONDS: Final = 300.0
"""The time for which a connection is used. A new connection looks up and checks the addresses of the host again."""
MAX_IDLE: Final = 128
"""The number of idle connections that are kept."""
MAX_IDLE_OF_HOST: Final = 32


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

    def is_good(self, now: float, may_repeat: bool) -> bool:
        """Return whether a request may be sent on it. `may_repeat`: the request may be sent twice."""
        idle_seconds = self.idle_seconds if may_repeat else min(self.idle_seconds, UNREPEATABLE_SECONDS)
        # Neither time may be after `now`: the clock was set back then.
        is_young = self.opened_at <= now <= self.opened_at + AGE_SECONDS
        return is_young and self.idle_since <= now and self.is_reusable(now, idle_seconds)


class IdleConnections:
    """The kept connections. The connection that has been idle for longest is first."""

    def __init__(self) -> None:
        self._idle: OrderedDict[HostConnection, None] = OrderedDict()
        self._of_host: dict[Host, list[HostConnection]] = {}

    def take(self, host: Host, now: float, may_repeat: bool) -> HostConnection | None:
        """Return the connection to the host that was used last; None if none can be used."""
        while connections := self._of_host.get(host):
            connection = connections[-1]
            self._remove(connection)
            if connection.is_good(now, may_repeat):
                return connection
            connection.close()
        return None

    def keep(self, connection: HostConnection, now: float, idle_seconds: float) -> None:
        """Keep the connection, which was just used. Close the oldest ones if there are too many, or if they are idle
        for too long."""
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
        oldest = next(iter(self._idle))
        while len(self._idle) > MAX_IDLE or oldest.idle_since < now - IDLE_SECONDS:
            self._close(oldest)
            oldest = next(iter(self._idle))

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
