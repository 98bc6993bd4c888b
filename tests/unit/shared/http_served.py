"""The server of the functions over a transport in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from uvicorn import Config
from uvicorn.server import ServerState

from shared.cloud.gcp.http_server import BoundedProtocol

Message = dict[str, object]
H2C: Final = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
SMUGGLED: Final = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


class FakeTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = self.is_lost = self.is_aborted = False
        self.is_paused = False
        self.unread_bytes = 0

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.is_lost:
            raise RuntimeError("unable to perform operation, as uvloop says")
        self.writes.append(bytes(data))

    @property
    def written(self) -> bytes:
        return b"".join(self.writes)

    def abort(self) -> None:
        self.is_closed = self.is_aborted = True

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


@dataclass(slots=True)
class Server:
    """`requests` are those that the application got, each with its body."""

    state: ServerState = field(default_factory=ServerState)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    """How long the application takes for each request."""

    async def app(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            part = message.get("body", b"")
            assert isinstance(part, bytes)
            body += part
            if not message.get("more_body"):
                break
        if self.seconds:
            await asyncio.sleep(self.seconds)
        pairs = scope["headers"]
        assert isinstance(pairs, list)
        self.headers.append({name.decode(): value.decode() for name, value in pairs})
        self.requests.append((str(scope["method"]), str(scope["path"]), body))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    def connect(self) -> tuple[BoundedProtocol, FakeTransport]:
        config = Config(
            self.app, http=BoundedProtocol, ws="none", log_config=None, interface="asgi3", proxy_headers=False
        )
        protocol, transport = BoundedProtocol(config, self.state, {}), FakeTransport()
        protocol.connection_made(transport)
        return protocol, transport


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{each.rstrip()}\r\n" for each in headers)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True, slots=True)
class Connection:
    is_closed: bool
    written: bytes


async def after(seconds: float, *parts: bytes, server: Server | None = None) -> Connection:
    """A connection as it is when so much time has passed since its last part."""
    protocol, transport = (server or Server()).connect()
    for part in parts:
        protocol.data_received(part)
        await asyncio.sleep(0.1)
    await asyncio.sleep(seconds)
    return Connection(transport.is_closed, transport.written)
