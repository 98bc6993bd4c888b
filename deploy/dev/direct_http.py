"""HTTP for the calls that each event makes, without the layers of a web framework.

Own code beside aiohttp, because it was measured: a mail that is sent to the emulated SendGrid takes 57 µs of CPU in
this process instead of 94 µs. A connection keeps to these calls until its first request of any other form: aiohttp
serves that one and all that follow.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias, cast

from deploy.dev.guard import is_local
from shared.errors import place_of
from shared.http import Reply
from shared.logs import log

MAX_HEAD_BYTES: Final = 16_384
MAX_BODY_BYTES: Final = 1_048_576

# What any other header asks for, such as a page's Origin, a body in chunks or an interim answer, is left to aiohttp.
_HEADERS: Final = frozenset({"accept", "authorization", "content-length", "content-type", "host", "user-agent"})
_REQUEST_LINE: Final = re.compile(r"POST (/[\w/.:-]+) HTTP/1\.1", re.ASCII)
_HEADER: Final = re.compile(r"([A-Za-z-]+): *([ -~]*)")
_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Call:
    """A request. `transport` is its connection, on which the client waits for the reply; None once it is closed."""

    path: str
    authorization: str
    body: bytes
    transport: asyncio.Transport | None


Handler: TypeAlias = Callable[[Call], Awaitable[Reply]]
FindHandler: TypeAlias = Callable[[str], Handler | None]
"""Takes a path without query and escapes."""


@dataclass(frozen=True, slots=True)
class Head:
    path: str
    authorization: str
    body_bytes: int


def parse_head(head: bytes) -> Head | None:
    """Return a request's head, without its empty line, or None if aiohttp has to serve the request."""
    request_line, *lines = head.decode("latin-1").split("\r\n")
    request = _REQUEST_LINE.fullmatch(request_line)
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            return None
        headers[header[1].lower()] = header[2]
    length = headers.get("content-length", "")
    if (
        request is None
        or len(headers) < len(lines)
        or not headers.keys() <= _HEADERS
        or headers.get("content-type") != "application/json"
        or not (length.isdecimal() and len(length) < 8 and int(length) <= MAX_BODY_BYTES)
        or not is_local(f"//{headers.get('host', '')}")
    ):
        return None
    return Head(request[1], headers.get("authorization", ""), int(length))


class DirectHttp(asyncio.Protocol):
    """A connection. `find` returns the handler of a path, or None for those that aiohttp serves."""

    def __init__(self, find: FindHandler, make_other: Callable[[], asyncio.BaseProtocol]) -> None:
        self._find = find
        self._make_other = make_other
        self._received = bytearray()
        self._head: Head | None = None
        self._handler: Handler | None = None
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._answering is None:
            self._serve_next()

    def _serve_next(self) -> None:
        if self._head is None and not self._read_head():
            return
        assert self._head is not None
        assert self._handler is not None
        head, handler = self._head, self._handler
        if len(self._received) < head.body_bytes:
            return
        body = bytes(self._received[: head.body_bytes])
        del self._received[: head.body_bytes]
        self._head = None
        call = Call(head.path, head.authorization, body, self._transport)
        self._answering = asyncio.get_running_loop().create_task(self._answer(handler, call))

    def _read_head(self) -> bool:
        """Return whether the next request's head is there and can be served here."""
        end = self._received.find(_END)
        if end < 0 and len(self._received) <= MAX_HEAD_BYTES:
            return False
        self._head = parse_head(bytes(self._received[:end])) if 0 <= end <= MAX_HEAD_BYTES else None
        self._handler = self._find(self._head.path) if self._head else None
        if self._handler is None:
            self._hand_over()
            return False
        del self._received[: end + len(_END)]
        return True

    async def _answer(self, handler: Handler, call: Call) -> None:
        try:
            reply = await handler(call)
        except Exception as error:
            log("ERROR", "the emulated cloud APIs failed to answer", detail=place_of(error))
            reply = Reply(500)
        if self._transport.is_closing():
            return
        self._transport.write(response(reply))
        self._answering = None
        if self._received:
            self._serve_next()

    def _hand_over(self) -> None:
        other = self._make_other()
        assert isinstance(other, asyncio.Protocol)
        self._transport.set_protocol(other)
        other.connection_made(self._transport)
        other.data_received(bytes(self._received))


def response(reply: Reply) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
    status = f"{reply.status} {HTTPStatus(reply.status).phrase}"
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(reply.body)}\r\n\r\n".encode() + reply.body
