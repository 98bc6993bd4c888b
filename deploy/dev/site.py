"""Where a local service listens: on this machine only, for the user who runs it, over HTTP/1.1.

What a connection is worth is decided before a request is parsed: another user's is answered 403, and HTTP/2, which gRPC
clients speak, is answered in its own protocol.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final, cast

from aiohttp import web

from deploy.dev.grpc_refusal import PREFACE, GrpcRefusal
from deploy.dev.peer import is_other_user

HOST: Final = "127.0.0.1"


class LocalSite(web.BaseSite):
    """Serves a runner on a port of 127.0.0.1. `start` raises OSError where the port is taken."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        super().__init__(runner)
        self._port = port

    @property
    def name(self) -> str:
        return f"http://{HOST}:{self._port}"

    async def start(self) -> None:
        await super().start()
        assert self._runner.server is not None
        make = self._runner.server
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: FirstBytes(make), HOST, self._port, backlog=self._backlog)


class FirstBytes(asyncio.Protocol):
    """Chooses the protocol of a connection by who opened it and by its first bytes."""

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
            self._refuse_user()
        elif self._received.startswith(PREFACE):
            self._hand_over(GrpcRefusal())
        elif not PREFACE.startswith(self._received):
            self._hand_over(self._make_http())

    def _hand_over(self, protocol: asyncio.BaseProtocol) -> None:
        assert self._transport is not None
        assert isinstance(protocol, asyncio.Protocol)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(self._received)

    def _refuse_user(self) -> None:
        assert self._transport is not None
        text = f"This service answers only the user who runs it (user id {os.geteuid()}).\n".encode()
        head = f"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
        self._transport.write(head.encode() + b"Connection: close\r\n\r\n" + text)
        self._transport.close()
