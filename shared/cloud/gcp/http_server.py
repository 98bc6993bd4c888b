"""The HTTP server's protocol that all functions run on: uvicorn's, with what Cloud Run's front end leaves to us.

Cloud Run proxies whole requests over HTTP/1.1, one at a time on a connection, and reads every answer. So nothing here
bounds what a client pipelines or how many connections are idle. `hookchain serve --listen` has no front end: what a
client leaves half done is bounded in time, whether a TLS handshake, a request or the reading of an answer. Only the
Google entry points install this.
https://cloud.google.com/run/docs/container-contract
"""

import gc
import os
from asyncio import AbstractEventLoop, BaseTransport, TimerHandle
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from gunicorn.config import GracefulTimeout  # type: ignore[import-untyped] # it has no types
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.loops.auto import auto_loop_factory
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped] # it has no types

from shared import errors, http, logs, outcomes
from shared.cloud.gcp.serving import WHOLE_KEY, Application

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

HEAD_SECONDS: Final = 10.0
"""From the connection, or from the answer before, to the end of a request's head. Then the connection is closed: a
sender on this machine that opens connections and sends nothing would use up the 1,024 descriptors of a process."""
GOODBYE_SECONDS: Final = 2.0
"""From the end of a connection to the end of its TLS, which a client confirms. If longer, a client that goes on sending
keeps the process busy for longer."""
MAX_HEAD_BYTES: Final = 2 * http.MAX_HEADER_BYTES
"""Of a head, of the extensions of a chunk, or of trailers. uvicorn keeps a header without an end in memory until it has
none left. Headers that are smaller than this, but too large for the function, are rejected by the function itself."""
LINGER_SECONDS: Final = 0.25
"""How long a server that ends still takes a request on an open connection. Closed at once, a request that is on its
way would be reset: this happens in each reload of `make dev`."""
STOP_SECONDS: Final = 70
"""How long gunicorn waits for the requests under way when it ends, before it kills its worker. What stops it has a
shorter limit: the longest attempt takes 60 s, and `hookchain serve` waits 5 s longer."""
_TLS: Final = "not HTTP but TLS: the sender uses HTTPS, and this port takes plain HTTP"
_REJECTED: Final[outcomes.RequestOutcome] = "rejected"


def _last_answer(status: int, code: errors.ServerCode | errors.RejectedCode, title: str) -> bytes:
    """Return the response to a head that no function gets. The connection ends with it."""
    reply = http.problem(status, code, title, ("connection", "close"))
    headers = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
    return f"HTTP/1.1 {status} {title}\r\n{headers}content-length: {len(reply.body)}\r\n\r\n".encode() + reply.body


def _head_fault(version: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return why the head is rejected; an empty text if it is not. Names are in lower case.

    RFC 9112 (3.2) forbids a request without one Host header. A transfer coding beside `chunked` is not supported. For
    this, the RFC (6.1) recommends the status 501. This server uses 400, because senders repeat a request after a 5xx.
    """
    names = [name for name, _ in headers]
    hosts = names.count(b"host")
    if hosts > 1 or (not hosts and version != "1.0"):
        return f"a request must have one Host header; got {hosts}"
    if b"transfer-encoding" in names:
        codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
        if codings != [b"chunked"]:
            return "the only transfer coding that is supported is chunked"
    return ""


class BoundedProtocol(HttpToolsProtocol):
    """A connection of uvicorn's. What differs:

    upgrade   An offer of another protocol is ignored (RFC 9110, 7.8) and the request is served without its `Upgrade`
              header. uvicorn loses its body: the parser takes it for the next request. Java's HttpClient offers `h2c`
              with each first request, and Cloud Run passes on the offer of a WebSocket.
    trailers  are dropped. uvicorn would add them to the headers, where a sender's `X-Forwarded-For` would be read as
              the front end's.
    half      A sender that closed its side after its request gets the answer. uvicorn closes the connection.
    time      One timer for each connection. uvicorn's own, one for each request, takes 7 µs, and closes a connection
              after 5 s, which a proxy may be about to use again.
    calls     The function is called without the framework's layers, which take 65 of receive's 370 µs a request.
    heads     A head that `_head_fault` describes is rejected. The parser accepts it.
    """

    function: ClassVar[str] = ""
    application: "ClassVar[Application | None]" = None
    waiting_since: float | None = None
    """The loop's time since when the next request's head is awaited; None while a request is served."""

    _head_timer: TimerHandle | None = None
    _served: RequestResponseCycle | None = None
    """The request that is served now, or was served last."""
    _unread_bytes = 0
    """The bytes that the client had not read of its answer when the timer last ran."""
    _unfinished_bytes = 0
    """The bytes received since a head, a part of a body or a message was complete."""
    _is_in_head = False
    _is_ending = False
    _fault = ""
    """Why the head was rejected. The parser does not pass on what a callback raises."""

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type] # uvicorn narrows the type, as it says there
        if self.application is not None:
            self.app = self.application
        self.waiting_since = self.loop.time()
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._close_if_late)

    def eof_received(self) -> bool | None:  # type: ignore[override] # asyncio takes an answer, uvicorn gives none
        """Answer a sender that closes its side after a whole request, and then close the connection (RFC 9112, 9.6).

        TLS has no such state: there, the connection is closed.
        """
        served = self._served
        is_whole = served is not None and not served.response_complete and WHOLE_KEY in served.scope
        if served is None or not is_whole or self.transport.get_extra_info("sslcontext") is not None:
            return None
        served.keep_alive = False
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        if self._served is not None:
            # uvicorn tells only the last pipelined request, and that of the one that is served writes and fails.
            self._served.disconnected = not self._served.response_complete
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        self._served = cycle
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        """End the connection with its request. One that waits for a request may still get one, for LINGER_SECONDS."""
        if self.waiting_since is None:
            super().shutdown()
        else:
            self._is_ending = True
            self.loop.call_later(LINGER_SECONDS, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.waiting_since is not None and not self._is_in_head:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._unfinished_bytes += len(data)
        try:
            self._feed(data)
        except HttpParserError as error:
            detail = _TLS if data[:2] == b"\x16\x03" else f"not HTTP: {self._fault or error}"
            self._reject(400, "malformed_http", "Bad Request", detail)
            return
        if self._unfinished_bytes > MAX_HEAD_BYTES:
            detail = f"the head, chunk extensions or trailers have more than {MAX_HEAD_BYTES} bytes"
            self._reject(431, "head_too_large", "Request Header Fields Too Large", detail)

    def on_message_begin(self) -> None:
        self._is_in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._unfinished_bytes = 0
        if not self.parser.should_upgrade():
            if fault := _head_fault(self.parser.get_http_version(), self.headers):
                self._fault = fault
                raise HttpParserError(fault)
            self.waiting_since = None
            super().on_headers_complete()
            if self._is_ending:
                self.cycle.keep_alive = False
            # A new list for the trailers, because the request already has its headers.
            self.headers = []

    def on_body(self, body: bytes) -> None:
        self._unfinished_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished_bytes = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()
            if not self.cycle.response_complete:
                self.scope[WHOLE_KEY] = self.cycle  # type: ignore[typeddict-unknown-key] # a key of ours

    def on_response_complete(self) -> None:
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:  # as uvicorn does, but for its timer
            self.server_state.total_requests += 1
            self.flow.resume_reading()
        if self.cycle.response_complete:  # else a pipelined request is served now
            self.waiting_since = self.loop.time()

    def _feed(self, data: bytes) -> None:
        """Feed the parser. It ends after the head of a request that offers an upgrade: feed a new one the same head
        without the offer, and then what follows, which is that request's body. Raises HttpParserError.
        """
        rest = data
        while True:
            try:
                self.parser.feed_data(rest)
            except HttpParserUpgrade as offer:
                rest = rest[offer.args[0] :]
                head = self._head_without_upgrade()
                self.parser = HttpRequestParser(self)
                # As in uvicorn's own protocol.
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
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

    def _reject(self, status: int, code: errors.ServerCode | errors.RejectedCode, title: str, detail: str) -> None:
        """Log and answer what no function gets, and close the connection. `detail` quotes nothing of the request."""
        logs.log(
            "WARNING", _REJECTED, function=self.function, outcome=_REJECTED, status=status, code=code, detail=detail
        )
        self.transport.write(_last_answer(status, code, title))
        self.transport.close()

    def _close_if_late(self) -> None:
        unread_bytes = self.transport.get_write_buffer_size()
        if unread_bytes and unread_bytes == self._unread_bytes:
            self.transport.abort()  # not `close`, which would wait until they are read
            return
        self._unread_bytes = unread_bytes
        left_seconds = HEAD_SECONDS
        if self.waiting_since is not None and not unread_bytes:
            left_seconds += self.waiting_since - self.loop.time()
        if left_seconds > 0.001:  # uvloop's timers have whole milliseconds, so one may fire slightly early
            self._head_timer = self.loop.call_later(left_seconds, self._close_if_late)
            return
        if self._is_in_head:
            detail = f"the request's head was not complete within {HEAD_SECONDS:.0f} s"
            self._reject(408, "request_timeout", "Request Timeout", detail)
        self.transport.close()


def tls_loop() -> AbstractEventLoop:
    """Return a loop whose servers wait HEAD_SECONDS for a TLS handshake, and GOODBYE_SECONDS for the end of TLS.

    uvloop and asyncio wait a minute, and half a minute. At the end, they decrypt all that the client still sends.
    """
    loop = auto_loop_factory()()
    loop.create_server = partial(  # type: ignore[method-assign]
        loop.create_server, ssl_handshake_timeout=HEAD_SECONDS, ssl_shutdown_timeout=GOODBYE_SECONDS
    )
    return loop


def install(function: str, application: Application) -> None:
    """Make gunicorn's worker serve this protocol. The worker reads its settings when it is made, after main.py.

    With HOOKCHAIN_TLS_CERTIFICATE and HOOKCHAIN_TLS_KEY it serves HTTPS.
    """
    os.register_at_fork(before=gc.freeze)  # to look through what was imported takes the worker 8 ms of its start
    BoundedProtocol.function, BoundedProtocol.application = function, application
    tls = {}
    if certificate := os.environ.get("HOOKCHAIN_TLS_CERTIFICATE"):
        tls = {"ssl_certfile": certificate, "ssl_keyfile": os.environ.get("HOOKCHAIN_TLS_KEY")}
        tls["loop"] = f"{tls_loop.__module__}:{tls_loop.__name__}"
    UvicornWorker.CONFIG_KWARGS = {**UvicornWorker.CONFIG_KWARGS, "http": BoundedProtocol, "ws": "none", **tls}
    GracefulTimeout.default = STOP_SECONDS
