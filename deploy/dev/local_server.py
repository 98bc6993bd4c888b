"""The port of a local service: for the user who runs it, and for requests of programs on this machine and of its pages.

A connection of another user is answered 403 before a request is parsed. Linux lists the owner of every TCP socket in
/proc/net. Other systems do not: there, every local user counts as the one who runs this process.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache, lru_cache, partial
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeAlias, cast
from urllib.parse import urlsplit

from aiohttp import StreamReader, web
from aiohttp.typedefs import Handler, Middleware

from deploy.config.local_ports import HOST
from deploy.config.platform_parts import is_loopback
from shared import logs, outcomes
from shared.http import problem
from shared.jsontext import Json, to_json

Address: TypeAlias = tuple[str, int]

_REJECTED: Final[outcomes.RequestOutcome] = "rejected"
FOREIGN_PAGE: Final = "A page of another site must not use this local service."
BODY_SECONDS: Final = 10.0
"""From a request's head to the end of its body. Also how long a connection of another user is kept for its request."""
IDLE_SECONDS: Final = 75.0
"""From the connection, or from the answer before, to the end of a request's head. Our own clients close an idle
connection sooner."""
MAX_HEADER_BYTES: Final = 8_190
"""aiohttp's own limit of a request line and of a header."""
LISTEN_FD: Final = 3
"""The first descriptor that systemd passes to a service."""
_JSON: Final = "application/json"
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_OWNER: Final = 7
_INODE: Final = 9
_ROOT: Final = 0


class LocalHandler(web.RequestHandler):
    """A connection. What is not HTTP is answered and logged without its bytes, some of which aiohttp would repeat."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status != HTTPStatus.BAD_REQUEST or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        detail = f"not HTTP: {type(exc).__name__}"
        logs.log("WARNING", _REJECTED, outcome=_REJECTED, status=status, code="malformed_http", detail=detail)
        reply = problem(status, "malformed_http", "Bad Request")
        response = web.Response(status=status, body=reply.body, headers=dict(reply.headers))
        response.force_close()
        return response


class LocalSite(web.BaseSite):
    """A port of 127.0.0.1 for a runner. `start` raises OSError if the port is taken.

    `any_user`: every user of this machine may connect: to the page that asks for a password, and to the URL of a
    function, which authenticates its senders.
    """

    def __init__(self, runner: web.AppRunner, port: int, *, any_user: bool = False) -> None:
        super().__init__(runner)
        self._port = port
        self._any_user = any_user

    @property
    def name(self) -> str:
        return f"http://{HOST}:{self._port}"

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        listener = listening_socket(self._port)
        # aiohttp's own site has no option for a limit of the body's time, nor for another class of handlers.
        server.request_handler = partial(_with_time_for_body, server.request_handler)
        options = {**server._kwargs, "keepalive_timeout": IDLE_SECONDS}

        def make_http() -> LocalHandler:
            return LocalHandler(server, loop=loop, **options)

        make_protocol = make_http if self._any_user else lambda: OwnerCheck(make_http)
        self._server = await loop.create_server(make_protocol, sock=listener, backlog=self._backlog)


async def _with_time_for_body(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], request: web.BaseRequest
) -> web.StreamResponse:
    """Handle the request. It is answered 408 if its body is not complete in time."""
    timer = asyncio.get_running_loop().call_later(BODY_SECONDS, _end_body, request.content)
    try:
        return await handler(request)
    except _LateBody as error:
        text = f"The body was not complete within {BODY_SECONDS:.0f} s.\n"
        raise web.HTTPRequestTimeout(text=text) from error
    finally:
        timer.cancel()


class _LateBody(TimeoutError):
    """A body that is not complete in time. aiohttp expects a TimeoutError where it discards the rest of a body."""


def _end_body(body: StreamReader) -> None:
    if not body.is_eof():
        body.set_exception(_LateBody())


def listening_socket(port: int) -> socket.socket:
    """Return the socket that `hookchain dev` has opened and passed to this process, otherwise a new one.

    Raises OSError if the port is taken.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return socket.socket(fileno=LISTEN_FD)
    return socket.create_server((HOST, port))


@asynccontextmanager
async def served(
    app: web.Application,
    port: int,
    shutdown_seconds: float,
    *,
    any_user: bool = False,
    auto_decompress: bool = True,
    max_header_bytes: int = MAX_HEADER_BYTES,
) -> AsyncIterator[LocalSite]:
    """Serve the application while the block runs. `any_user` is LocalSite's. Raises OSError if the port is taken."""
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=shutdown_seconds,
        auto_decompress=auto_decompress,
        max_line_size=max_header_bytes,
        max_field_size=max_header_bytes,
    )
    await runner.setup()
    try:
        site = LocalSite(runner, port, any_user=any_user)
        await site.start()
        yield site
    finally:
        await runner.cleanup()


def json_answer(document: Json, status: int = 200) -> web.Response:
    return web.Response(status=status, body=to_json(document).encode(), content_type="application/json")


def stopped_by_signal() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


class OwnerCheck(asyncio.Protocol):
    """A new connection: HTTP is served to the user who runs this process and to root, and a 403 to everybody else."""

    def __init__(self, make_http: Callable[[], asyncio.BaseProtocol]) -> None:
        self._make_http = make_http

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        client, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if client and server and not may_be_other_user(client[:2], server[:2]):
            http = self._make_http()
            self._transport.set_protocol(http)
            http.connection_made(self._transport)
        else:
            asyncio.get_running_loop().call_later(BODY_SECONDS, self._transport.close)

    def data_received(self, _: bytes) -> None:
        text = f"This service answers only the user who runs it (user id {os.geteuid()}).\n"
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
        self._transport.write(f"{head}Connection: close\r\n\r\n{text}".encode())
        self._transport.close()


def may_be_other_user(client: Address, server: Address) -> bool:
    """Return whether this IPv4 connection has another client than this user or root, or one that has closed it."""
    return _owners_are_listed() and _owner(client, server) not in {os.geteuid(), _ROOT}


def _owner(client: Address, server: Address) -> int | None:
    for table in _TABLES:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()
        except OSError:  # no IPv6 here, or no /proc
            continue
        if (owner := owner_in(lines, client, server)) is not None:
            return owner
    return None


def owner_in(lines: Iterable[str], client: Address, server: Address) -> int | None:
    """Return the user id that owns the client's end in the lines of a table, or None.

    The kernel lists a socket that its process has closed with user 0 and inode 0: nobody owns it.
    """
    ends = {f"{_hex(client)} {_hex(server)}", f"{_mapped(client)} {_mapped(server)}"}
    for line in lines:
        fields = line.split()
        if " ".join(fields[1:3]) in ends and fields[_INODE] != "0":
            return int(fields[_OWNER])
    return None


def _hex(address: Address) -> str:
    """Return an IPv4 address and a port as /proc/net/tcp writes them: the address in the machine's byte order."""
    host, port = address
    return f"{int.from_bytes(socket.inet_aton(host), sys.byteorder):08X}:{port:04X}"


def _mapped(address: Address) -> str:
    """Return the address as an IPv6 socket has it; some clients use one for IPv4 too."""
    word = int.from_bytes(b"\x00\x00\xff\xff", sys.byteorder)
    return f"{0:016X}{word:08X}{_hex(address)}"


@cache
def _owners_are_listed() -> bool:
    """Test with a connection of our own: without /proc, and in some sandboxes, the tables lack the owner."""
    with socket.create_server((HOST, 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        return _owner(client.getsockname(), listener.getsockname()) == os.geteuid()


def reject_pages(request: web.Request) -> None:
    """Raises HTTPForbidden for a request that a browser sends for a page."""
    if "Origin" in request.headers or not is_local(f"//{request.host}"):
        raise web.HTTPForbidden(text=FOREIGN_PAGE + "\n")


def rejection_reason(method: str, host: str, headers: Mapping[str, str]) -> str | None:
    """Return the reason to reject a request, or None.

    A name in Host may have been made to point at this machine (DNS rebinding). A page on another port of this machine
    is another site too, and a browser always sends its Origin. A browser sends JSON, and PUT, PATCH and DELETE, to
    another site only with that site's permission, which is never given here.
    """
    if not is_local(f"//{host}"):
        return "This local service answers requests for localhost only."
    return _cross_site_reason(method, host, headers)


def _cross_site_reason(method: str, host: str, headers: Mapping[str, str]) -> str | None:
    """Return the reason to reject a request that another site's page can make a browser send, or None."""
    origin = headers.get("Origin")
    if origin is not None and _netloc(origin) != host:
        return FOREIGN_PAGE
    if headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"} and not _is_visit(method, headers):
        return FOREIGN_PAGE
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_empty = not content_type and headers.get("Content-Length") == "0"
    if method == "POST" and content_type != _JSON and not is_empty:
        got = content_type or "none"
        return (
            f"Content-Type: must be {_JSON} in a POST; got {got}. Senders use the URLs that `hookchain sources` prints."
        )
    return None


def _is_visit(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a person followed a link on another page."""
    return (
        method == "GET" and headers.get("Sec-Fetch-Mode") == "navigate" and headers.get("Sec-Fetch-Dest") == "document"
    )


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


@lru_cache(maxsize=64)
def is_local(url: str) -> bool:
    """Return whether the URL's host is this machine."""
    try:
        parts = urlsplit(url)
        return is_loopback(parts.hostname or "") and parts.port != 0
    except ValueError:  # also a "port" that is no number, as in 127.0.0.1:80.example.com
        return False


def _rejecting(reason_of: Callable[[str, str, Mapping[str, str]], str | None]) -> Middleware:
    """Return a middleware that answers 403 to a request for which `reason_of` has a reason."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if reason := reason_of(request.method, request.host, request.headers):
            raise web.HTTPForbidden(text=reason + "\n")
        return await handler(request)

    return check


local_only: Final = _rejecting(rejection_reason)
"""Rejects requests of other sites' pages, and requests that act without being JSON."""
same_site_only: Final = _rejecting(_cross_site_reason)
"""Rejects requests as `local_only` does, but accepts any name in Host: a proxy has a name of its own."""


@web.middleware
async def no_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Reject what a browser sends for any page: a program sends no Origin."""
    reject_pages(request)
    return await handler(request)
