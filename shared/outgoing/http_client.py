"""HTTP out over kept-alive connections on the event loop itself, to an API that the operator named.

Own code, because it was measured: urllib3 in threads cost a request several times as much, in hand-overs between
threads that wait for each other. No redirects, no proxies.
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
"""A connection that was idle for longer is not trusted: an instance that slept through its end is not told of it.

By the time of day: the monotonic clock stands still while the machine is suspended.
"""


@dataclass(slots=True)  # nobody changes one
class Answer:
    """`headers` has names in lower case; of a name that came twice, the last value."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpClient:
    """`endpoint` is `http://host:port` or `https://host`; a path in it does not count.

    It has as many connections as there are calls at the same time. `may_cut` and `takes_interim` as in
    Connection.
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
        parts = urlsplit(endpoint)
        self._max_answer_bytes = max_answer_bytes
        self._may_cut, self._takes_interim = may_cut, takes_interim
        assert parts.hostname is not None
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._authority = parts.netloc
        self._now = now
        self._idle: list[tuple[Connection, float]] = []
        self._head_of: tuple[str, str, Mapping[str, str]] = ("", "", {})
        self._head = b""

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
        """Raises NotSent, and other OSErrors (a timeout is one): then the request may have been accepted or not.

        `may_repeat`, for what may be done twice: where a kept-alive connection turns out to be closed by its server,
        the request is sent again on another.
        """
        if self._head_of != (method, path, headers):  # most calls have the head of the call before
            lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
            self._head = f"{method} {path} HTTP/1.1\r\nHost: {self._authority}\r\n{lines}".encode("latin-1")
            self._head_of = method, path, dict(headers)
        request = b"".join((self._head, b"Content-Length: %d\r\n\r\n" % len(body), body))
        if len(body) > LARGE_BODY_BYTES:
            keep_freed_memory()
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while True:
            kept = self._kept()
            connection = kept or await self._connect(deadline)
            try:
                status, pairs, content, _ = await connection.exchange(request, deadline=deadline)
            except BaseException as error:
                is_sent = connection.is_request_sent
                # Cancelled too: an answer that comes late must not meet the next request. Aborted, not closed: closing
                # would still send the rest of the request.
                connection.abort()
                if kept and may_repeat and isinstance(error, ConnectionLost) and not error.answered:
                    continue
                if isinstance(error, OSError) and not is_sent:
                    raise NotSent(type(error).__name__) from error
                raise
            self._idle.append((connection, self._now()))
            return Answer(status, content, dict(pairs))

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[0].close()

    def _kept(self) -> Connection | None:
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_reusable and self._now() - since <= IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def _connect(self, deadline: float) -> Connection:
        """Raises NotConnected."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + CONNECT_SECONDS)):
                _, connection = await loop.create_connection(
                    lambda: Connection(
                        self._max_answer_bytes, may_cut=self._may_cut, takes_interim=self._takes_interim
                    ),
                    self._host,
                    self._port,
                )
                if self._secure:
                    await connection.encrypt(_tls(), self._host)
        except OSError as error:  # ssl's errors and a timeout are some
            raise NotConnected(type(error).__name__) from error
        return connection


@cache
def _tls() -> ssl.SSLContext:
    """Return one context for all clients: it reads the system's authorities, which takes 5 ms."""
    return ssl.create_default_context()
