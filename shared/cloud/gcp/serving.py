"""An ASGI application around a function's `answer`, which uvicorn calls. Each entry point `main.py` makes one.

It replaces the layers of functions-framework and Starlette, which measured 65 of receive's 370 µs a request: two
middlewares, routing over patterns, and a request and a response object of which the function needs nothing.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.errors import Rejected
from shared.http import Headers, ReadBody, Reply, Request, body_too_large, problem

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from shared.telemetry.exporter import Exporter

BODY_SECONDS: Final = 10.0
"""The time in which a request's body must be complete."""
WHOLE_KEY: Final = "hookchain.whole"
"""Our own key in the scope of a request that arrived as a whole, head and body. Its value is uvicorn's object for the
request, here called the cycle: the body is read from it without a timer, and the reply written to it at once."""
DISCARD_SECONDS: Final = 1.0
DISCARD_BYTES: Final = 16_777_216
"""More than the largest body that a source may accept."""
_CLOSE: Final = ("connection", "close")
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BROWSER_PATHS: Final = frozenset({"/robots.txt", "/favicon.ico"})
"""Browsers ask for these by themselves, and `hookchain dev` for the first to see that a function serves. So they are
not logged."""
_BODILESS: Final = frozenset({204, 304})
_NOT_FOUND: Final = problem(404, "unknown_source", "no source has this path")

Answer = Callable[[Request, ReadBody], Awaitable[Reply]]
"""A function: the request without its body, and what reads that, in; the reply out."""


class Application(Response):
    """A function as an ASGI application.

    shared/cloud/gcp/http_server.py calls it directly. Without that server, functions-framework does: it calls what a
    function returns if that is a Response, which is the only reason for this base class.

    exporter  sends spans before the answer; None if telemetry is off
    """

    exporter: "Exporter | None" = None

    def __init__(self, answer: Answer, not_found: Reply = _NOT_FOUND) -> None:
        """`not_found` is the reply at the paths that browsers request by themselves."""
        self._answer = answer
        self._not_found = not_found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in _BROWSER_PATHS and scope["method"] in {"GET", "HEAD"}:
            reply = self._not_found
        else:
            answering = self._answer(_request_of(scope), _body_reader(scope, receive))
            reply = await (answering if self.exporter is None else self.exporter.around(answering))
        # Removed from the scope, which the cycle refers to: otherwise only the garbage collector frees the two.
        cycle: RequestResponseCycle | None = scope.pop(WHOLE_KEY, None)
        if cycle is not None and _is_writable(cycle):
            _write(cycle, reply)
            return
        may_have_unread_body = cycle is None and _CLOSE in reply.headers
        await _send_reply(reply, send, is_last=not may_have_unread_body)
        if may_have_unread_body:  # the reply is sent first, so that the sender can stop
            await _discard(receive)
            await send({"type": "http.response.body"})


async def _send_reply(reply: Reply, send: Send, *, is_last: bool) -> None:
    """Send the reply in ASGI's two messages. Unless `is_last`, the server waits for one more to end the response."""
    headers = list(_encoded(reply.headers))
    if reply.status not in _BODILESS:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": not is_last})


def _is_writable(cycle: "RequestResponseCycle") -> bool:
    """Return False if uvicorn has more to do than to write: to wait, to log, or to leave out the body."""
    return not (cycle.disconnected or cycle.flow.write_paused or cycle.access_log or cycle.scope["method"] == "HEAD")


def _write(cycle: "RequestResponseCycle", reply: Reply) -> None:
    """Write a reply in one piece. uvicorn's own `send` writes two, each of which is a system call and wakes the client.

    The rest is what `send` does after the second piece.
    """
    lines = [_head(reply.status, reply.headers)]
    for name, value in cycle.default_headers:
        lines += (name, b": ", value, b"\r\n")
    if _CLOSE in reply.headers:
        cycle.keep_alive = False
    elif not cycle.keep_alive:
        lines.append(b"connection: close\r\n")
    length = b"" if reply.status in _BODILESS else b"content-length: %d\r\n" % len(reply.body)
    cycle.transport.write(b"%b%b\r\n%b" % (b"".join(lines), length, reply.body))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()


@lru_cache(maxsize=16)
def _head(status: int, headers: Headers) -> bytes:
    """Return the status line and these headers. Raises ValueError for a control character, which would add headers."""
    # Imported here, because main.py must first set which proxies the server trusts.
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE

    lines = [b"%b: %b" % pair for pair in _encoded(headers)]
    if any(map(_CONTROLS.search, lines)):
        raise ValueError("a reply's header holds a control character")
    return STATUS_LINE[status] + b"".join([b"%b\r\n" % line for line in lines])


@lru_cache(maxsize=16)
def _encoded(headers: Headers) -> tuple[tuple[bytes, bytes], ...]:
    return tuple([(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers])


def _request_of(scope: Scope) -> Request:
    """Return the request without its body. The server leaves white space after a header's value, which is removed."""
    client = scope.get("client")
    return Request(
        scope["method"],
        scope.get("raw_path", scope["path"].encode()).decode("latin-1"),
        scope["query_string"].decode("latin-1"),
        tuple([(name.decode("latin-1"), value.decode("latin-1").rstrip(" \t")) for name, value in scope["headers"]]),
        peer=client[0] if client else "",
    )


def _body_reader(scope: Scope, receive: Receive) -> ReadBody:
    """Return the function that reads the body, in time."""

    async def read_body(max_bytes: int) -> bytes:
        cycle: RequestResponseCycle | None = scope.get(WHOLE_KEY)
        if cycle is not None:  # the whole body is here
            if len(cycle.body) > max_bytes:
                raise body_too_large(max_bytes)
            return bytes(cycle.body)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await _read_chunks(receive, max_bytes)
        except TimeoutError as error:
            raise Rejected("request_timeout", f"the body was not complete within {BODY_SECONDS:.0f} s") from error

    return read_body


async def _read_chunks(receive: Receive, max_bytes: int) -> bytes:
    """Read the body. Raises Rejected at the first byte too many, and if the sender disconnects."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Rejected("disconnected", "the sender went away before the body was complete")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise body_too_large(max_bytes)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


async def _discard(receive: Receive) -> None:
    """Read the rest of a rejected body for a short time.

    If a connection is closed while data is unread, it is reset, and the sender may lose the reply.
    """
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while size < DISCARD_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body"):  # the end, or the sender is gone
                    return
