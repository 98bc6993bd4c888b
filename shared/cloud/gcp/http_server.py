"""The HTTP server's protocol that all three functions run on: uvicorn's, with bounds.

uvicorn alone keeps any header without an end, waits for a request for ever, and loses the body of a request that offers
an upgrade of the protocol. Only the Google entry points install this.
"""

from asyncio import AbstractEventLoop, BaseTransport, TimerHandle
from typing import TYPE_CHECKING, ClassVar, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped] # it has no types

from shared.errors import ServerCode
from shared.http import MAX_HEADER_BYTES
from shared.logs import log
from shared.outcomes import RequestOutcome
from shared.serving import WHOLE_KEY

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from shared.serving import Application

MAX_HEAD_BYTES: Final = 2 * MAX_HEADER_BYTES
"""So that the function itself answers what is less too large."""
HEAD_SECONDS: Final = 10.0
"""From the connection, or from the answer before, to the end of a request's head."""
MAX_IDLE_CONNECTIONS: Final = 500
"""Connections that wait for a request's head. A process has 1,024 file descriptors on most machines."""
_FRAMING: Final = 8
"""A chunk of one byte is sent in six."""
_CLOSED_AT_ONCE: Final = 50
"""Idle connections are sorted once for so many new ones, not for each."""
_REJECTED: Final[RequestOutcome] = "rejected"
_HEAD_TIMEOUT: Final = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """A connection that bounds what a client can make the server keep, and how long it can make the server wait.

    size      Counts the bytes of a request that are not its body: its head, chunk extensions and trailers. Trailers are
              dropped. uvicorn would add them to the headers, where they would override what a proxy says in a header.
    time      One timer for each connection, not for each request.
    upgrade   An offer of another protocol is ignored (RFC 9110, 7.8) and the request is served without its `Upgrade`
              header. The parser skips the body of a request that has one and takes it for the next request.
    """

    function: ClassVar[str] = ""
    application: "ClassVar[Application | None]" = None
    """The function, called without the framework's layers, which would answer some methods and paths themselves."""
    waiting_since: float | None = None
    """The loop's time since when the next request's head is awaited; None while a request is served."""

    _head_timer: TimerHandle | None = None
    _received = 0
    _body = 0
    _is_in_head = False
    _last_answer: str | None = None
    """The text of a 400 that is sent once the whole requests before the malformed one are answered."""

    def __init__(
        self,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, object],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        if self.application is not None:
            self.app = self.application

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # uvicorn narrows the type, as it says there
        self.waiting_since = self.loop.time()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close_if_late)
        if len(self.connections) > MAX_IDLE_CONNECTIONS:
            self._close_longest_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._last_answer is not None:
            return
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except HttpParserError as error:
            self._reject("malformed_http", f"not HTTP: {error}", "Invalid HTTP request received.")
            return
        self._received += len(data)
        if self._received > MAX_HEAD_BYTES + _FRAMING * self._body and not self.transport.is_closing():
            detail = f"the head, chunk extensions or trailers have more than {MAX_HEAD_BYTES} bytes"
            self._reject("head_too_large", detail, "Request header fields too large.")

    def on_message_begin(self) -> None:
        self._received = self._body = 0
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if not self.parser.should_upgrade():
            self.waiting_since = None
            super().on_headers_complete()
            self.headers = []  # for the trailers; the request has its own headers already

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()
            self.scope[WHOLE_KEY] = True  # type: ignore[typeddict-unknown-key] # a key of ours

    def on_response_complete(self) -> None:
        is_last = not self.pipeline
        if is_last and not self.transport.is_closing():
            # As uvicorn does, but for its timer of the idle connection: the one of the next head closes that too.
            self.server_state.total_requests += 1
            self.flow.resume_reading()
        else:
            super().on_response_complete()
        if self.cycle.response_complete:  # else a pipelined request is served now
            self.waiting_since = self.loop.time()
        if is_last and self._last_answer is not None and not self.transport.is_closing():
            self.send_400_response(self._last_answer)

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It ends after the head of a request that offers an upgrade: feed a new one the same head
        without the offer, and then what follows, which is that request's body. Raises HttpParserError.
        """
        rest = memoryview(data)
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
        """Answer 400 with the server's own text, and close. `detail` holds nothing of what was sent."""
        log("WARNING", _REJECTED, function=self.function, outcome=_REJECTED, status=400, code=code, detail=detail)
        if self.pipeline and self.cycle.more_body:
            self.pipeline.popleft()  # the malformed request itself, which waits to be served
        elif not self._is_earlier_request_unanswered():
            self.send_400_response(text)
            return
        self._last_answer = text  # a 400 now would be the answer to a whole request before it

    def _is_earlier_request_unanswered(self) -> bool:
        last: RequestResponseCycle | None = self.cycle
        return last is not None and not last.response_complete and not last.more_body

    def _close_if_late(self) -> None:
        now = self.loop.time()
        left = HEAD_SECONDS - (0.0 if self.waiting_since is None else now - self.waiting_since)
        if left > 0.001:
            self._head_timer = self.loop.call_later(left, self._close_if_late)
            return
        if self._is_in_head and not self.transport.is_closing():
            detail = f"the request's head was not complete within {HEAD_SECONDS:.0f} s"
            log(
                "WARNING",
                _REJECTED,
                function=self.function,
                outcome=_REJECTED,
                status=408,
                code="request_timeout",
                detail=detail,
            )
            self.transport.write(_HEAD_TIMEOUT)
        self.transport.close()

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


def install(function: str, application: "Application") -> None:
    """Make gunicorn's worker serve this protocol. The worker reads its settings when it is made, after main.py."""
    BoundedProtocol.function, BoundedProtocol.application = function, application
    UvicornWorker.CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "http": BoundedProtocol, "ws": "none"}
