"""An HTTP client over kept-alive connections on the event loop, for an API that the operator named.

Own code, because it was measured: urllib3 in threads cost a request several times as much, in hand-overs between
threads that wait for each other. It follows no redirect, uses no proxy and checks no address: for a URL that an event
may name, see guarded_fetch.py.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from urllib.parse import urlsplit

from shared.freed_memory import keep_freed_memory
from shared.outgoing.http_connection import AnswerTooLarge, Connection, ConnectionLost, NotConnected, NotSent

__all__ = ["Answer", "AnswerTooLarge", "ConnectionLost", "HttpClient", "NotConnected", "NotSent"]

MAX_ANSWER_BYTES: Final = 11_000_000
CONNECT_SECONDS: Final = 5.0
LARGE_BODY_BYTES: Final = 65_536
IDLE_SECONDS: Final = 60.0
"""A connection that was idle for longer is not used: an instance that slept through its end is not told of it.

By the time of day, because the monotonic clock stands still while the machine is suspended.
"""


# Not frozen, because a frozen dataclass takes longer to create. Nothing changes it.
@dataclass(slots=True)
class Answer:
    """`headers` has names in lower case; of a name that came twice, the last value."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpClient:
    """A client of the API at `endpoint`: `http://host:port` or `https://host`. A path in it is ignored.

    It runs on one event loop, and opens as many connections as there are calls at the same time.

    max_answer_bytes  a longer body is cut there if `may_cut`; otherwise the call raises AnswerTooLarge
    takes_interim     a 1xx status is the answer: Pub/Sub takes a 102 for an acknowledgement
    """

    def __init__(
        self,
        endpoint: str,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        now: Callable[[], float] = time.time,
        *,
        may_cut: bool = False,
        takes_interim: bool = False,
    ) -> None:
        url = urlsplit(endpoint)
        assert url.hostname is not None
        self._is_secure = url.scheme == "https"
        self._host = url.hostname
        self._port = url.port or (443 if self._is_secure else 80)
        self._authority = url.netloc
        self._max_answer_bytes = max_answer_bytes
        self._may_cut = may_cut
        self._takes_interim = takes_interim
        self._now = now
        self._idle: list[tuple[Connection, float]] = []

    async def call(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        timeout_seconds: float,
        *,
        may_repeat: bool = False,
    ) -> Answer:
        """Send a request and return its answer, whatever its status. The timeout includes a new connection.

        `may_repeat`: the request may be done twice, so it is sent again on another connection if a kept one turns out
        to be closed by its server.

        Raises NotSent if the request had no effect. After any other OSError (ConnectionLost, AnswerTooLarge and
        TimeoutError are some), the server may have accepted it.
        """
        header_lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._authority}\r\n{header_lines}Content-Length: {len(body)}\r\n\r\n"
        )
        request = head.encode("latin-1") + body
        if len(body) > LARGE_BODY_BYTES:
            keep_freed_memory()  # a tenth of the CPU time of an event of 1 MB
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            kept = self._take_idle()
            connection = kept or await self._connect(deadline)
            try:
                status, header_pairs, content, _ = await connection.exchange(request, deadline=deadline)
            except BaseException as error:  # a cancellation too: a late answer must not meet the next request
                is_sent = connection.is_request_sent
                connection.abort()  # not `close`, which would still send the rest of the request
                if may_repeat and kept and isinstance(error, ConnectionLost) and not error.answered:
                    continue
                if isinstance(error, OSError) and not is_sent:
                    raise NotSent(type(error).__name__) from error
                raise
            self._idle.append((connection, self._now()))
            return Answer(status, content, dict(header_pairs))

    def close(self) -> None:
        """Close the connections that are idle. One with a call under way is kept when that call ends."""
        while self._idle:
            self._idle.pop()[0].close()

    def _take_idle(self) -> Connection | None:
        """Return the connection that was used last, if it can still be used; close those that cannot."""
        while self._idle:
            connection, idle_since = self._idle.pop()
            if connection.is_reusable and self._now() - idle_since <= IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def _connect(self, deadline: float) -> Connection:
        """Raises NotConnected."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + CONNECT_SECONDS)):
                _, connection = await loop.create_connection(self._new_connection, self._host, self._port)
                if self._is_secure:
                    await connection.encrypt(_tls(), self._host)
        except OSError as error:  # ssl's errors and a timeout are some
            raise NotConnected(type(error).__name__) from error
        return connection

    def _new_connection(self) -> Connection:
        return Connection(self._max_answer_bytes, may_cut=self._may_cut, takes_interim=self._takes_interim)


@cache
def _tls() -> ssl.SSLContext:
    """Return one context for all clients: it reads the system's authorities, which takes 5 ms."""
    return ssl.create_default_context()
