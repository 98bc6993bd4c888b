"""An HTTP client on the event loop that keeps its connections open, for APIs with a trusted address.

It is our own because, by our measurements, a request with urllib3 in threads costs several times as much: the threads
hand over to each other and wait. It follows no redirects, uses no proxy and does not check addresses. For a URL that an
event may name, use guarded_fetch.py.
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
from shared.outgoing.connection import Connection, ConnectionLost

MAX_ANSWER_BYTES: Final = 11_000_000
CONNECT_SECONDS: Final = 5.0
LARGE_BODY_BYTES: Final = 65_536


class NotSent(ConnectionError):
    """The request was not sent completely, so it had no effect. The text is the class of the error that caused it."""


class NotConnected(NotSent):
    """No connection could be opened."""


# Not frozen, because a frozen dataclass takes longer to create. Nothing changes it.
@dataclass(slots=True)
class Answer:
    """An answer. `headers` has the names in lower case. If a name came twice, it has the last value."""

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
        self._idle: list[Connection] = []

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
        """Send a request and return its answer, whatever its status. The timeout includes opening a connection.

        `may_repeat`: the request has the same effect if it is sent twice. So it is sent again on another connection if
        the server has closed the kept one.

        Raises NotSent if the request had no effect. After any other OSError, such as ConnectionLost, AnswerTooLarge or
        TimeoutError, the server may have accepted the request.
        """
        header_lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._authority}\r\n{header_lines}Content-Length: {len(body)}\r\n\r\n"
        )
        request = head.encode("latin-1") + body
        if len(body) > LARGE_BODY_BYTES:
            keep_freed_memory()  # this saves a tenth of the CPU time of an event of 1 MB
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            kept = self._take_idle()
            connection = kept or await self._connect(deadline)
            try:
                status, header_pairs, content, _ = await connection.exchange(
                    request, self._max_answer_bytes, deadline=deadline
                )
            except BaseException as error:  # also if cancelled: the next request must not get a late answer
                is_sent = connection.is_request_sent
                connection.abort()  # not `close`, which would still send the rest of the request
                if may_repeat and kept and isinstance(error, ConnectionLost) and not error.answer_has_begun:
                    continue
                if isinstance(error, OSError) and not is_sent:
                    raise NotSent(type(error).__name__) from error
                raise
            connection.idle_since = self._now()
            self._idle.append(connection)
            return Answer(status, content, dict(header_pairs))

    async def connect(self, timeout_seconds: float) -> None:
        """Open a connection for the next call, unless it can use one that is idle. Raises NotConnected."""
        now = self._now()
        if not any(each.is_reusable(now) for each in self._idle):
            connection = await self._connect(asyncio.get_running_loop().time() + timeout_seconds)
            connection.idle_since = self._now()
            self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections. A connection with a call under way is kept, and becomes idle after the call."""
        while self._idle:
            self._idle.pop().close()

    def _take_idle(self) -> Connection | None:
        """Return the last used connection that can still be used; None if there is none. Close those that cannot."""
        now = self._now()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable(now):
                return connection
            connection.close()
        return None

    async def _connect(self, deadline: float) -> Connection:
        """Open a connection. Raises NotConnected."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + CONNECT_SECONDS)):
                _, connection = await loop.create_connection(
                    lambda: Connection(may_cut=self._may_cut, takes_interim=self._takes_interim), self._host, self._port
                )
                if self._is_secure:
                    await connection.encrypt(_tls(), self._host)
        except OSError as error:  # errors of TLS and a timeout are OSErrors
            raise NotConnected(type(error).__name__) from error
        return connection


@cache
def _tls() -> ssl.SSLContext:
    """Return the TLS context of all clients. It is made once, because reading the system's authorities takes 5 ms."""
    return ssl.create_default_context()
