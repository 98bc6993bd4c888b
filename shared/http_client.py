"""HTTP out over kept-alive connections on the event loop itself, to an API that the operator named.

Own code over httptools (the parser that serves our requests too), because it was measured: urllib3 in threads cost a
request several times as much, in hand-overs between threads that wait for each other. It speaks what such APIs speak,
HTTP/1.1 with a length or in chunks, and nothing else: no redirects, no proxies, no decompression.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

MAX_ANSWER_BYTES: Final = 11_000_000
CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` has names in lower case; of a name that came twice, the last value."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class NotConnected(ConnectionError):
    """There was no connection, so nothing was sent. Its text is the kind of what went wrong."""


class ConnectionLost(ConnectionError):
    """`answered`: it was lost after the first byte of the answer, so the request was surely taken."""

    def __init__(self, answered: bool) -> None:
        super().__init__("the connection was lost before the answer was complete")
        self.answered = answered


class _Connection(asyncio.Protocol):
    """One connection, and the one answer that it waits for."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._headers: dict[str, str] = {}
        self._size = 0
        self.answered = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's is one, and no subclass

    async def exchange(self, request: bytes) -> Answer:
        assert self._transport is not None
        self._begin()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        self.answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"the answer is not HTTP: {type(error).__name__}"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > MAX_ANSWER_BYTES:
            self._fail(ConnectionError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes"))
        else:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            status = self._parser.get_status_code()
            self._answer.set_result(Answer(status, b"".join(self._chunks), self._headers))

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 asyncio gives it
        self._fail(ConnectionLost(self.answered))

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class HttpClient:
    """`endpoint` is `http://host:port` or `https://host`; a path in it does not count.

    It has as many connections as there are calls at the same time.
    """

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        assert parts.hostname is not None
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port or (443 if self._secure else 80)
        self._authority = parts.netloc
        self._context: ssl.SSLContext | None = None
        self._idle: list[_Connection] = []

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
        """Raises NotConnected, and other OSErrors (a timeout is one): then the request may have been taken or not.

        `may_repeat`, for what may be done twice: where a kept-alive connection turns out to be closed by its server,
        the request is sent again on another.
        """
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._authority}\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        request = head.encode("latin-1") + body
        async with asyncio.timeout(timeout_seconds):
            while connection := self._kept():
                try:
                    return await self._exchange(connection, request)
                except ConnectionLost as lost:
                    if lost.answered or not may_repeat:
                        raise
            return await self._exchange(await self._connect(), request)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _exchange(self, connection: _Connection, request: bytes) -> Answer:
        try:
            answer = await connection.exchange(request)
        except BaseException:  # cancelled too: an answer that comes late must not meet the next request
            connection.close()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return answer

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self) -> _Connection:
        """Raises NotConnected."""
        if self._secure and self._context is None:
            self._context = ssl.create_default_context()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=self._context)
        except OSError as error:  # ssl's errors and a timeout are some
            raise NotConnected(type(error).__name__) from error
        return connection
