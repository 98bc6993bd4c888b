"""An HTTP client on the event loop that keeps its connections open, for APIs with a trusted address.

`HttpClient` makes calls. `Connection` has the transport of one connection: it writes a request, and watches its
deadline. `_AnswerReader` makes an answer of the bytes that arrive, which are parsed by httptools, as are the requests
to our own server. The body of an answer can have a length, come in chunks, or end with the connection. It is not
decompressed.

The client is our own because, by our measurements, a request with urllib3 in threads costs several times as much: the
threads hand over to each other and wait. It follows no redirects, uses no proxy and does not check addresses. For a URL
that an event may name, use guarded_fetch.py.
"""

import asyncio
import select
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from math import inf
from typing import Final, NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from shared.freed_memory import keep_freed_memory

MAX_ANSWER_BYTES: Final = 11_000_000
CONNECT_SECONDS: Final = 5.0
LARGE_BODY_BYTES: Final = 65_536
MAX_HEADER_BYTES: Final = 65_536
BUFFER_BYTES: Final = 65_536
IDLE_SECONDS: Final = 60.0
"""A connection that was idle for longer is not used. If an instance is suspended while the server closes a connection,
the instance is not notified.

It is measured by the time of day, because the monotonic clock stands still while the machine is suspended.
"""
_LENGTH_HEADERS: Final = (b"content-length", b"transfer-encoding")
"""The headers that say where the body of an answer ends. Without either, it ends with the connection."""
_TLS_ALERT: Final = b"\x15\x03"
"""The first bytes of an alert in every version of TLS."""
_LARGE_HEAD: Final = f"the answer's headers are larger than {MAX_HEADER_BYTES} bytes"


class ReceivedAnswer(NamedTuple):
    """An answer as a connection returns it: with each line of its headers, whose names are in lower case.

    `is_cut`: the body was longer than the exchange's `max_bytes`, and is cut there.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    is_cut: bool


class ConnectionLost(ConnectionError):
    """The connection was lost. `answer_has_begun`: a byte of the answer had come, so the server has the request."""

    def __init__(self, *, answer_has_begun: bool) -> None:
        super().__init__("the connection was lost before the answer was complete")
        self.answer_has_begun = answer_has_begun


class TlsAnswer(ConnectionError):
    """The answer to plain HTTP is an alert of TLS."""

    def __init__(self) -> None:
        super().__init__("the answer is not HTTP but TLS")


class HandshakeLost(ConnectionError):
    """The server closed the connection during the TLS handshake."""

    def __init__(self) -> None:
        super().__init__("the connection was closed during the TLS handshake")


class AnswerTooLarge(ConnectionError):
    """The answer is larger than `max_bytes`."""


class _State(Enum):
    """The progress of reading an answer. A 1xx answer goes back to the head of the final one."""

    IN_HEAD = auto()
    IN_BODY = auto()
    ENDED = auto()


class _AnswerReader:
    """Reads the answers on a connection, one after another. httptools calls its methods `on_…`.

    state          how far the answer has been read
    result         the answer, or the reason why there is none, once the state is ENDED
    has_begun      a byte of the answer has come
    may_stay_open  the connection may be used for another request, as far as the answer shows
    """

    def __init__(self, *, may_cut: bool, takes_interim: bool) -> None:
        self._may_cut = may_cut
        self._takes_interim = takes_interim
        # One parser for all answers, one after another.
        self._parser = httptools.HttpResponseParser(self)
        self.begin(0, has_body=False)

    def begin(self, max_bytes: int, *, has_body: bool) -> None:
        """Prepare for the next answer."""
        self.state = _State.IN_HEAD
        self.result: ReceivedAnswer | ConnectionError | None = None
        self.has_begun = False
        self.may_stay_open = True
        self._max_bytes = max_bytes
        self._has_body = has_body
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._head_bytes = 0
        self._header_bytes = 0
        self._body_bytes = 0

    def feed(self, content: memoryview) -> None:
        """Read the next bytes of the answer."""
        self.has_begun = True
        try:
            self._parser.feed_data(content)
        except httptools.HttpParserError:
            is_tls = self._head_bytes == 0 and bytes(content[:2]) == _TLS_ALERT
            self._fail(TlsAnswer() if is_tls else ConnectionError("the answer is not valid HTTP"))
        except httptools.HttpParserUpgrade:
            self._fail(ConnectionError("the answer switches to another protocol"))
        # The parser keeps a header until its end, and an answer may never come to one.
        if self.state is _State.IN_HEAD:
            self._head_bytes += len(content)
            if self._head_bytes > MAX_HEADER_BYTES:
                self._fail(ConnectionError(_LARGE_HEAD))

    def end(self, *, is_clean: bool) -> None:
        """Note that the connection has ended. `is_clean`: the server has ended it, without an error."""
        has_length = any(name.lower() in _LENGTH_HEADERS for name, _ in self._headers)
        if is_clean and self.state is _State.IN_BODY and not has_length:
            self._finish()  # this body ends with the connection
        else:
            self._fail(ConnectionLost(answer_has_begun=self.has_begun))

    def on_message_begin(self) -> None:
        if self.state is _State.ENDED:  # another answer to the same request
            self.may_stay_open = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._fail(ConnectionError(_LARGE_HEAD))
        elif self.state is _State.IN_HEAD:  # a trailer is no header (RFC 9110, 6.5.1)
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        is_final = self._parser.get_status_code() >= 200
        if self.state is not _State.IN_HEAD or not is_final:
            return
        self.state = _State.IN_BODY
        if not self._has_body:
            self.may_stay_open = False  # the parser waits for a body
            self._finish()

    def on_body(self, chunk: bytes) -> None:
        if self.state is not _State.IN_BODY:
            return
        room = self._max_bytes - self._body_bytes
        self._body_bytes += len(chunk)
        if len(chunk) <= room:
            self._chunks.append(chunk)
        elif self._may_cut:
            self._chunks.append(chunk[:room])
            self.may_stay_open = False
            self._finish(is_cut=True)
        else:
            self._fail(AnswerTooLarge(f"the answer is larger than {self._max_bytes} bytes"))

    def on_message_complete(self) -> None:
        is_interim = self._parser.get_status_code() < 200
        if is_interim and not self._takes_interim:  # the final answer follows
            self._headers.clear()
            return
        if is_interim or not self._parser.should_keep_alive():
            self.may_stay_open = False
        self._finish()

    def _finish(self, *, is_cut: bool = False) -> None:
        if self.state is _State.ENDED:
            return
        self.state = _State.ENDED
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self._headers]
        self.result = ReceivedAnswer(self._parser.get_status_code(), headers, b"".join(self._chunks), is_cut)
        self._chunks = []

    def _fail(self, error: ConnectionError) -> None:
        self.may_stay_open = False
        if self.state is not _State.ENDED:
            self.state = _State.ENDED
            self.result = error


class Connection(asyncio.BufferedProtocol):
    """A connection, on which one request at a time is answered.

    idle_since       when its last exchange ended. The owner of the connection sets it, by its own clock
    is_request_sent  False while a part of the last request is unsent. If the connection is lost then, it stays False:
                     the server ignores the incomplete request

    `may_cut`: a body that is too long is cut; otherwise the exchange raises AnswerTooLarge. `takes_interim`: a 1xx
    status is returned as the answer, and the connection is closed, because the final answer would follow.

    It reads into its own buffer, because asyncio would map and unmap 256 KiB of memory for each read.
    """

    def __init__(self, *, may_cut: bool = False, takes_interim: bool = False) -> None:
        self.idle_since = 0.0
        self.is_request_sent = True
        self._reader = _AnswerReader(may_cut=may_cut, takes_interim=takes_interim)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._transport: asyncio.WriteTransport | None = None
        self._is_encrypted = False
        self._poll = select.poll()
        self._exchange_end: asyncio.Future[ReceivedAnswer] | None = None  # its answer; None between exchanges
        self._deadline = inf
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf  # not `_alarm.when()`: uvloop's handle of a timer that is due at once has no such method

    async def encrypt(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Upgrade to TLS before the first exchange. Raises OSError, which includes ssl.SSLError and TimeoutError."""
        plain = cast("asyncio.Transport", self._transport)
        self._is_encrypted = True
        loop = asyncio.get_running_loop()
        try:
            encrypted = await loop.start_tls(plain, self, context, server_hostname=server_hostname)
        except ConnectionError as error:
            raise HandshakeLost from error
        if encrypted is None or encrypted.is_closing():  # with uvloop, if the server sends something before TLS begins
            raise HandshakeLost
        self._transport = encrypted
        # Only the socket below TLS knows whether all encrypted bytes are sent.
        plain.set_protocol(_SocketWatcher(cast("asyncio.BufferedProtocol", plain.get_protocol()), self))
        self.is_request_sent = not plain.get_write_buffer_size()

    @property
    def is_open(self) -> bool:
        """Return whether the connection is open and the last request was sent: its answer may have come before that."""
        return self._transport is not None and self.is_request_sent and not self._transport.is_closing()

    def is_reusable(self, now: float, idle_seconds: float = IDLE_SECONDS) -> bool:
        """Return whether another request may use it: it is open, and was idle for at most `idle_seconds`.

        It may not be used if the server has closed it or sent something, even if the event loop has not noticed yet. So
        the socket itself is polled.
        """
        return self.is_open and now - self.idle_since <= idle_seconds and not self._poll.poll(0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, because the transport of uvloop is not a subclass of asyncio.WriteTransport.
        self._transport = cast("asyncio.WriteTransport", transport)
        # A limit of 0, so that the two callbacks below tell whether anything waits.
        self._transport.set_write_buffer_limits(0)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def pause_writing(self) -> None:
        if not self._is_encrypted:
            self.is_request_sent = False

    def resume_writing(self) -> None:
        if not self._is_encrypted:
            self.is_request_sent = True

    async def exchange(
        self, request: bytes, max_bytes: int, *, deadline: float = inf, has_body: bool = True
    ) -> ReceivedAnswer:
        """Send the request and return its answer.

        `max_bytes` is the length of the longest body. `deadline` is a time of the event loop. `has_body` is False for
        HEAD. Raises TimeoutError at the deadline, and ConnectionLost or another ConnectionError for a bad answer.
        """
        assert self._transport is not None
        if self._transport.is_closing():
            self.is_request_sent = False
            raise ConnectionLost(answer_has_begun=False)
        self._reader.begin(max_bytes, has_body=has_body)
        self._exchange_end = asyncio.get_running_loop().create_future()
        self._deadline = deadline
        if deadline < self._alarm_at:
            self._watch_deadline()
        self._transport.write(request)
        try:
            return await self._exchange_end
        finally:
            # A connection that waits for its next use keeps no answer.
            self._exchange_end = self._reader.result = None

    def _watch_deadline(self) -> None:
        """End an exchange whose deadline is over, or set the alarm for it.

        One alarm is used for many exchanges, because an alarm for each took a fifth of the CPU time of a call.
        """
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
            self._alarm_at = inf
        loop = asyncio.get_running_loop()
        if self._exchange_end is not None and not self._exchange_end.done():
            if self._deadline <= loop.time():
                self._exchange_end.set_exception(TimeoutError())
            else:
                self._alarm = loop.call_at(self._deadline, self._watch_deadline)
                self._alarm_at = self._deadline

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once: do not send the rest of the request, or wait for the other side to close it."""
        if self._transport is not None:
            self._transport.abort()

    def get_buffer(self, _: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        if self._exchange_end is None:  # an answer to no request
            self.abort()
            return
        self._reader.feed(self._buffer[:count])
        self._pass_on_result()

    def connection_lost(self, error: Exception | None) -> None:
        self._reader.end(is_clean=error is None)
        self._pass_on_result()
        self._watch_deadline()  # the exchange is over, so this cancels its alarm

    def _pass_on_result(self) -> None:
        """End the exchange if the reader has a result, and the connection if it cannot be used any more."""
        if not self._reader.may_stay_open:
            self.abort()
        result = self._reader.result
        if result is None or self._exchange_end is None or self._exchange_end.done():
            return
        if isinstance(result, ReceivedAnswer):
            self._exchange_end.set_result(result)
        else:
            self._exchange_end.set_exception(result)


class _SocketWatcher(asyncio.BufferedProtocol):
    """Watches the socket's write buffer below TLS, so that the connection knows when all bytes are sent.

    The TLS transport reports only what is not yet encrypted, which can be nothing while encrypted bytes are unsent.
    """

    def __init__(self, tls: asyncio.BufferedProtocol, connection: "Connection") -> None:
        self._tls = tls
        self._connection = connection

    def get_buffer(self, sizehint: int) -> memoryview:
        return cast("memoryview", self._tls.get_buffer(sizehint))

    def buffer_updated(self, nbytes: int) -> None:
        self._tls.buffer_updated(nbytes)

    def eof_received(self) -> bool | None:
        return self._tls.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._tls.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.is_request_sent = False
        self._tls.pause_writing()

    def resume_writing(self) -> None:
        self._connection.is_request_sent = True
        # This may write more, and pause again.
        self._tls.resume_writing()


class NotSent(ConnectionError):
    """The request was not sent completely, so it had no effect. The text is the class of the error that caused it."""


class NotConnected(NotSent):
    """No connection could be opened."""


# Not frozen, because a frozen dataclass takes longer to create. Nothing changes it.
@dataclass(slots=True)
class Answer:
    """The answer of a call. `headers` has the names in lower case. If a name came twice, it has the last value."""

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
                # The server had most likely closed the kept connection before it got the request.
                was_closed = kept is not None and isinstance(error, ConnectionLost) and not error.answer_has_begun
                if was_closed and may_repeat:
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
