"""The port of a local service: open on this machine only, for the user who runs it, over HTTP/1.1.

A connection is judged before a request is parsed: another user's is answered 403, and HTTP/2, which gRPC clients speak,
is answered in its own protocol. Linux lists the owner of every TCP socket in /proc/net. Other systems do not: there,
every local user counts as the one who runs this process.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias, cast

from aiohttp import web

from deploy.dev.direct_http import DirectHttp, FindHandler
from deploy.dev.grpc_rejection import PREFACE, GrpcRejection

HOST: Final = "127.0.0.1"

Address: TypeAlias = tuple[str, int]

LISTEN_FD: Final = 3
"""The first descriptor that systemd passes to a service."""
_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")
_OWNER: Final = 7
_INODE: Final = 9
_ROOT: Final = 0


class LocalSite(web.BaseSite):
    """A port of 127.0.0.1 for a runner. `start` raises OSError if the port is taken.

    `find_direct` returns the handlers of paths that DirectHttp serves.
    """

    def __init__(self, runner: web.AppRunner, port: int, find_direct: FindHandler | None = None) -> None:
        super().__init__(runner)
        self._port = port
        self._find_direct = find_direct

    @property
    def name(self) -> str:
        return f"http://{HOST}:{self._port}"

    async def start(self) -> None:
        await super().start()
        assert self._runner.server is not None
        make_http, find = self._runner.server, self._find_direct
        make = make_http if find is None else lambda: DirectHttp(find, make_http)
        loop = asyncio.get_running_loop()
        listener = listening_socket(self._port)
        self._server = await loop.create_server(lambda: FirstBytes(make), sock=listener, backlog=self._backlog)


def listening_socket(port: int) -> socket.socket:
    """Return the socket that `hookchain dev` has opened and passed to this process, else a new one.

    Raises OSError if the port is taken.
    """
    if os.environ.get("LISTEN_PID") == str(os.getpid()):
        return socket.socket(fileno=LISTEN_FD)
    return socket.create_server((HOST, port))


class FirstBytes(asyncio.Protocol):
    """A new connection, whose protocol is chosen by the user who opened it and by its first bytes."""

    def __init__(self, make_http: Callable[[], asyncio.BaseProtocol]) -> None:
        self._make_http = make_http
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._is_other_user = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        client, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._is_other_user = not client or not server or is_other_user(client[:2], server[:2])

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._is_other_user:
            self._reject_user()
        elif self._received.startswith(PREFACE):
            self._hand_over(GrpcRejection())
        elif not PREFACE.startswith(self._received):
            self._hand_over(self._make_http())

    def _hand_over(self, protocol: asyncio.BaseProtocol) -> None:
        assert self._transport is not None
        assert isinstance(protocol, asyncio.Protocol)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._received)

    def _reject_user(self) -> None:
        assert self._transport is not None
        text = f"This service answers only the user who runs it (user id {os.geteuid()}).\n".encode()
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
        self._transport.write(head.encode() + b"Connection: close\r\n\r\n" + text)
        self._transport.close()


def is_other_user(client: Address, server: Address) -> bool:
    """Return whether another user, not root, opened this IPv4 connection, or its client has closed it."""
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
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        return _owner(client.getsockname(), listener.getsockname()) == os.geteuid()
