"""The HTTP server's protocol that all three functions run on: uvicorn's, with bounds.

uvicorn alone keeps any header without an end, waits for a request for ever, and loses the body of a request that offers
an upgrade of the protocol. Only the Google entry points install this.
"""

import gc
import os
from asyncio import BaseTransport, TimerHandle
from typing import TYPE_CHECKING, ClassVar, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped] # it has no types

from shared.cloud.gcp.serving import REJECTED_KEY, WHOLE_KEY
from shared.errors import RejectedCode, ServerCode
from shared.http import MAX_HEADER_BYTES
from shared.logs import log
from shared.outcomes import RequestOutcome

if TYPE_CHECKING:
    from shared.cloud.gcp.serving import Application

MAX_HEAD_BYTES: Final = 2 * MAX_HEADER_BYTES
"""So that the function itself answers what is less too large."""
HEAD_SECONDS: Final = 10.0
"""From the connection, or from the answer before, to the end of a request's head."""
READ_SECONDS: Final = 10.0
"""How long a client may leave its answers unread."""
LINGER_SECONDS: Final = 0.25
"""How long a server that ends still takes a request on an open connection: one may be on its way."""
MAX_IDLE_CONNECTIONS: Final = 500
"""Connections that wait for a request's head. A process has 1,024 file descriptors on most machines."""
_TLS: Final = "not HTTP but TLS: the sender uses HTTPS, and this port takes plain HTTP"
_FRAMING: Final = 8
"""A chunk of one byte is sent in six."""
_PIECE: Final = 16_384
"""Bytes that are parsed at once: at most 660 requests, which keep 1.6 MB while they wait. Of a body, more may be."""
_NOTHING: Final = memoryview(b"")
_CLOSED_AT_ONCE: Final = 50
"""Idle connections are sorted once for so many new ones, not for each."""
_REJECTED: Final[RequestOutcome] = "rejected"
_TOO_LARGE: Final = "Request header fields too large."
_HEAD_TIMEOUT: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class _BadHostError(HttpParserError):
    """A request without exactly one Host header, which the parser takes and RFC 9112, 3.2, does not."""


class _HeldFlow(FlowControl):
    """A flow that stays paused while the protocol holds data, although uvicorn resumes it with each answer."""

    is_held = False

    def resume_reading(self) -> None:
        if self.read_paused and not self.is_held:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """A connection that bounds what a client can make the server keep, and how long it can make the server wait.

    size      Counts the bytes of a request that are not its body: its head, chunk extensions and trailers. Trailers are
              dropped. uvicorn would add them to the headers, where they would override what a proxy says in a header.
    requests  While a pipelined request waits, nothing more is parsed: at most one chunk is held, and reading is paused.
    time      One timer for each connection, not for each request, and one while a client does not read its answers.
    upgrade   An offer of another protocol is ignored (RFC 9110, 7.8) and the request is served without its `Upgrade`
              header. The parser skips the body of a request that has one and takes it for the next request.
    """

    function: ClassVar[str] = ""
    application: "ClassVar[Application | None]" = None
    """The function, called without the framework's layers, which would answer some methods and paths themselves."""
    waiting_since: float | None = None
    """The loop's time since when the next request's head is awaited; None while a request is served."""

    flow: _HeldFlow

    _head_timer: TimerHandle | None = None
    _write_timer: TimerHandle | None = None
    _unparsed = _NOTHING
    _served: RequestResponseCycle | None = None
    """The request that is served, or was last: not the newest, which is `cycle`, while requests wait."""
    _received = 0
    _body = 0
    _is_in_head = False
    _is_ending = False
    _last_answer: str | None = None
    """The text of a 400 that is sent once the whole requests before the malformed one are answered."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # uvicorn narrows the type, as it says there
        if self.application is not None:
            self.app = self.application
        self.flow = _HeldFlow(self.transport)
        self.waiting_since = self.loop.time()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close_if_late)
        if len(self.connections) > MAX_IDLE_CONNECTIONS:
            self._close_longest_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        if self._served is not None:
            _end(self._served)
        self.pipeline.clear()
        self._unparsed = _NOTHING
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End the connection with its request. One that waits for a request may still get one, for a moment: closed at
        once, it would be reset if the request was already sent.
        """
        if self.waiting_since is None:
            super().shutdown()
        else:
            self._is_ending = True
            self.loop.call_later(LINGER_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.waiting_since is not None and not self._is_in_head:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(READ_SECONDS, self._abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._last_answer is not None:
            return
        self._unset_keepalive_if_required()
        if len(data) <= _PIECE and not self.pipeline and not self._unparsed:
            self._parse(data)
        else:
            self._unparsed = memoryview(b"".join((self._unparsed, data)) if self._unparsed else data)
            self._parse_until_one_waits()

    def on_message_begin(self) -> None:
        self._received = self._body = 0
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if not self.parser.should_upgrade():
            hosts = [name for name, _ in self.headers].count(b"host")
            if hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
                raise _BadHostError(f"a request has one Host header; this one has {hosts}")
            self.waiting_since = None
            super().on_headers_complete()
            if self._is_ending:
                self.cycle.keep_alive = False
            if not self.pipeline:
                self._served = self.cycle
            self.headers = []  # for the trailers; the request has its own headers already

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()
            if not self.cycle.response_complete:
                self.scope[WHOLE_KEY] = self.cycle  # type: ignore[typeddict-unknown-key] # a key of ours

    def on_response_complete(self) -> None:
        is_last = not self.pipeline
        if is_last and not self.transport.is_closing():
            # As uvicorn does, but for its timer of the idle connection: the one of the next head closes that too.
            self.server_state.total_requests += 1
            self.flow.resume_reading()
        else:
            if not is_last:
                self._served = self.pipeline[-1][0]
            super().on_response_complete()
        if self.cycle.response_complete:  # else a pipelined request is served now
            self.waiting_since = self.loop.time()
        if is_last and self._last_answer is not None and not self.transport.is_closing():
            self.send_400_response(self._last_answer)
        elif (self._unparsed or self._is_in_head) and not self.transport.is_closing():  # the next request has begun
            self._unset_keepalive_if_required()
            self._parse_until_one_waits()

    def _parse_until_one_waits(self) -> None:
        while self._unparsed and not self.pipeline:
            size = max(_PIECE, self._body_left())
            piece, self._unparsed = self._unparsed[:size], self._unparsed[size:]
            self._parse(piece)
        self.flow.is_held = bool(self._unparsed)
        if self._unparsed:
            self.flow.pause_reading()

    def _body_left(self) -> int:
        """Return how many bytes of a body are still to come, none of which can be another request; 0 if not known."""
        newest: RequestResponseCycle | None = self.cycle
        headers = {} if newest is None or self._is_in_head or not newest.more_body else dict(newest.scope["headers"])
        return 0 if b"transfer-encoding" in headers else int(headers.get(b"content-length", b"0")) - self._body

    def _parse(self, piece: bytes | memoryview) -> None:
        try:
            self._feed(piece)
        except HttpParserError as error:
            fault = error.__context__ if isinstance(error.__context__, _BadHostError) else error
            detail = _TLS if not self._received and piece[:2] == b"\x16\x03" else f"not HTTP: {fault}"
            self._reject("malformed_http", detail, "Invalid HTTP request received.")
            return
        self._received += len(piece)
        if self._received > MAX_HEAD_BYTES + _FRAMING * self._body and not self.transport.is_closing():
            detail = f"the head, chunk extensions or trailers have more than {MAX_HEAD_BYTES} bytes"
            self._reject("head_too_large", detail, _TOO_LARGE)

    def _feed(self, rest: bytes | memoryview) -> None:
        """Feed the parser. It ends after the head of a request that offers an upgrade: feed a new one the same head
        without the offer, and then what follows, which is that request's body. Raises HttpParserError.
        """
        while True:
            try:
                self.parser.feed_data(rest)
            except HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
                head = self._head_without_upgrade()
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
                self.parser.feed_data(head)
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise HttpParserError("CONNECT is for proxies")
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _reject(self, code: ServerCode, detail: str, text: str) -> None:
        """Answer 400 or 431 with the server's own text, and close. `detail` holds nothing of what was sent."""
        self._unparsed = _NOTHING
        newest: RequestResponseCycle | None = self.cycle
        unanswered = None if newest is None or newest.response_complete else newest
        malformed = unanswered if unanswered is not None and unanswered.more_body else None  # else it is no request yet
        if malformed is not None and malformed.response_started:  # it is rejected, and the rest of its body discarded
            self.transport.close()
            return
        self._log_rejected(431 if code == "head_too_large" else 400, code, detail)
        if self.pipeline or (unanswered is not None and malformed is None):
            self._last_answer = text  # a 400 now would be the answer to a whole request before it
            if malformed is not None:
                self.pipeline.popleft()
            return
        if malformed is not None:
            malformed.scope[REJECTED_KEY] = True  # type: ignore[typeddict-unknown-key] # a key of ours
            _end(malformed)
        self.send_400_response(text)

    def send_400_response(self, msg: str) -> None:
        """Answer with the text as uvicorn does, but with 431 where the head is too large; and close."""
        if msg != _TOO_LARGE:
            super().send_400_response(msg)
            return
        head = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
        self.transport.write(head + b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(msg), msg.encode()))
        self.transport.close()

    def _log_rejected(self, status: int, code: ServerCode | RejectedCode, detail: str) -> None:
        log("WARNING", _REJECTED, function=self.function, outcome=_REJECTED, status=status, code=code, detail=detail)

    def _close_if_late(self) -> None:
        if not self.transport.is_closing():
            now = self.loop.time()
            left = HEAD_SECONDS - (0.0 if self.waiting_since is None else now - self.waiting_since)
            if left > 0.001:
                self._head_timer = self.loop.call_later(left, self._close_if_late)
                return
            if self._is_in_head:
                detail = f"the request's head was not complete within {HEAD_SECONDS:.0f} s"
                self._log_rejected(408, "request_timeout", detail)
                self.transport.write(_HEAD_TIMEOUT)
            self.transport.close()
        self._head_timer = self.loop.call_later(READ_SECONDS, self._abort)  # what is written may never be read

    def _abort(self) -> None:
        reason = f"the client did not read its answers for {READ_SECONDS:.0f} s"
        log("WARNING", "connection aborted", function=self.function, reason=reason)
        self.transport.abort()

    def _close_longest_idle(self) -> None:
        idle = [
            (each.waiting_since, id(each), each)
            for each in self.connections
            if isinstance(each, BoundedProtocol) and each.waiting_since is not None
        ]
        if len(idle) <= MAX_IDLE_CONNECTIONS:
            return
        closed = sorted(idle)[:_CLOSED_AT_ONCE]
        for _, _, each in closed:
            each.waiting_since = None  # it stays among the connections for a moment
            each.transport.close()
        reason = f"more than {MAX_IDLE_CONNECTIONS} connections waited for a request"
        log("WARNING", "idle connections closed", function=self.function, count=len(closed), reason=reason)


def _end(cycle: RequestResponseCycle) -> None:
    """Let the function read the end of the connection. What it still answers is not written."""
    if not cycle.response_complete:
        cycle.disconnected = True
        cycle.message_event.set()


def install(function: str, application: "Application") -> None:
    """Make gunicorn's worker serve this protocol. The worker reads its settings when it is made, after main.py."""
    os.register_at_fork(before=gc.freeze)  # to look through what was imported takes the worker 8 ms of its start
    BoundedProtocol.function, BoundedProtocol.application = function, application
    UvicornWorker.CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "http": BoundedProtocol, "ws": "none"}
