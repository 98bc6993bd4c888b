"""One connection to an HTTP/1.1 server: it writes a request, and returns the answer to it.

Answers are parsed by httptools, as are the requests to our own server. The body of an answer can have a length, come in
chunks, or end with the connection. It is not decompressed. An exchange goes through these states:

    in the head   from `exchange` until `on_headers_complete`; a 1xx answer goes back to its beginning
    in the body   until `on_message_complete`, or the loss of the connection if nothing else tells where the body ends
    ended         `exchange` returns the answer or raises an error; if the server sends more, the connection is aborted
"""

import asyncio
import select
import ssl
from math import inf
from typing import Final, NamedTuple, cast

import httptools

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


class WholeAnswer(NamedTuple):
    """An answer as a connection returns it. The names of headers are in lower case.

    `is_cut`: the body was longer than the connection's `max_bytes`, and is cut there.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    is_cut: bool


class ConnectionLost(ConnectionError):
    """The connection was lost. `answered`: the first byte of the answer had come, so the server has the request."""

    def __init__(self, answered: bool) -> None:
        super().__init__("the connection was lost before the answer was complete")
        self.answered = answered


class TlsAnswer(ConnectionError):
    """The answer to plain HTTP is an alert of TLS."""

    def __init__(self) -> None:
        super().__init__("the answer is not HTTP but TLS")


class AnswerTooLarge(ConnectionError):
    """The answer is larger than `max_bytes`."""


class Connection(asyncio.BufferedProtocol):
    """A connection, on which one request at a time is answered.

    idle_since       when its last exchange ended. The owner of the connection sets it, by its own clock
    is_request_sent  False while a part of the request is unsent. It stays False if the connection is lost then, and the
                     server ignores the incomplete request. The transport cannot tell this: its write buffer is empty
                     after the loss
    max_bytes        the longest body. It may be changed between exchanges
    may_cut          cut a longer body there. Otherwise, the exchange raises AnswerTooLarge
    takes_interim    return a 1xx status as the answer, and close the connection, because the final answer would follow

    It reads into its own buffer, because asyncio would map and unmap 256 KiB of memory for each read.
    """

    def __init__(self, max_bytes: int, *, may_cut: bool = False, takes_interim: bool = False) -> None:
        self.max_bytes = max_bytes
        self._may_cut = may_cut
        self._takes_interim = takes_interim
        self._transport: asyncio.WriteTransport | None = None
        self._is_encrypted = False
        self._answer: asyncio.Future[WholeAnswer] | None = None
        self._deadline = inf
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = inf  # not `_alarm.when()`: uvloop's handle of a timer that is due at once has no such method
        self.idle_since = 0.0
        self.is_request_sent = True
        self._poll = select.poll()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        # One parser for all answers, one after another.
        self._parser = httptools.HttpResponseParser(self)
        self._begin()

    def _begin(self, has_body: bool = True) -> None:
        self._has_body = has_body
        self._chunks: list[bytes] = []
        self._headers: list[tuple[bytes, bytes]] = []
        self._size = self._header_size = self._head_size = 0
        self._is_in_body = False
        self.answered = False

    async def encrypt(self, context: ssl.SSLContext, server_hostname: str) -> None:
        """Upgrade to TLS before the first exchange. Raises OSError, which includes ssl.SSLError and TimeoutError."""
        plain = cast("asyncio.Transport", self._transport)
        self._is_encrypted = True
        encrypted = await asyncio.get_running_loop().start_tls(plain, self, context, server_hostname=server_hostname)
        if encrypted is None or encrypted.is_closing():  # with uvloop, if the server sends something before TLS begins
            raise ConnectionError("the connection was lost while TLS was set up; does the port speak TLS?")
        plain.set_protocol(_SocketWatcher(cast("asyncio.BufferedProtocol", plain.get_protocol()), self))
        self._transport = encrypted
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

    async def exchange(self, request: bytes, *, deadline: float = inf, has_body: bool = True) -> WholeAnswer:
        """Send the request and return its answer. `deadline` is a time of the event loop. `has_body` is False for HEAD.

        Raises TimeoutError at the deadline, and ConnectionLost or another ConnectionError for a bad answer.
        """
        assert self._transport is not None
        if self._transport.is_closing():
            self.is_request_sent = False
            raise ConnectionLost(answered=False)
        self._begin(has_body)
        self._answer = asyncio.get_running_loop().create_future()
        self._deadline = deadline
        if deadline < self._alarm_at:
            self._watch_deadline()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self._answer = None  # a connection that waits for its next use keeps no answer's body

    def _watch_deadline(self) -> None:
        """End an exchange whose deadline is over, or set the alarm for it.

        One alarm is used for many exchanges, because an alarm for each took a fifth of the CPU time of a call.
        """
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
            self._alarm_at = inf
        loop = asyncio.get_running_loop()
        if self._answer is not None and not self._answer.done():
            if self._deadline <= loop.time():
                self._answer.set_exception(TimeoutError())
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
        if self._answer is None:  # an answer to no request
            self.abort()
            return
        self.answered = True
        try:
            self._parser.feed_data(self._buffer[:count])
        except httptools.HttpParserError as error:
            is_tls = self._head_size == 0 and bytes(self._buffer[:2]) == _TLS_ALERT
            self._fail(TlsAnswer() if is_tls else ConnectionError(f"the answer is not HTTP: {type(error).__name__}"))
        except httptools.HttpParserUpgrade:
            self._fail(ConnectionError("the answer switches to another protocol"))
        # The parser keeps a header until its end, and an answer may never come to one.
        if not self._is_in_body:
            self._head_size += count
            if self._head_size > MAX_HEADER_BYTES:
                self._fail(ConnectionError(_LARGE_HEAD))

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():  # another answer to the same request
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_size += len(name) + len(value)
        if self._header_size > MAX_HEADER_BYTES:
            self._fail(ConnectionError(_LARGE_HEAD))
        elif not self._is_in_body:  # a trailer is no header (RFC 9110, 6.5.1)
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._is_in_body = self._parser.get_status_code() >= 200
        if self._is_in_body and not self._has_body:
            self.close()  # the parser would wait for the body
            self._finish()

    def on_body(self, chunk: bytes) -> None:
        room = self.max_bytes - self._size
        self._size += len(chunk)
        if len(chunk) <= room:
            self._chunks.append(chunk)
        elif self._may_cut:
            self._chunks.append(chunk[: max(room, 0)])
            self.abort()
            self._finish(is_cut=True)
        else:
            self._fail(AnswerTooLarge(f"the answer is larger than {self.max_bytes} bytes"))

    def on_message_complete(self) -> None:
        is_interim = self._parser.get_status_code() < 200
        if is_interim and not self._takes_interim:  # a 1xx answer before the final one
            self._headers.clear()
            return
        if is_interim or not self._parser.should_keep_alive():
            self.close()
        self._finish()

    def connection_lost(self, error: Exception | None) -> None:
        has_length = any(name.lower() in _LENGTH_HEADERS for name, _ in self._headers)
        if error is None and self._is_in_body and not has_length:
            self._finish()  # this body ends with the connection
        else:
            self._fail(ConnectionLost(self.answered))
        self._watch_deadline()  # the exchange is over: this takes its alarm away

    def _finish(self, is_cut: bool = False) -> None:
        if self._answer is not None and not self._answer.done():
            headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self._headers]
            body, self._chunks = b"".join(self._chunks), []
            self._answer.set_result(WholeAnswer(self._parser.get_status_code(), headers, body, is_cut))

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


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
