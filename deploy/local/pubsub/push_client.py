"""Pushes over HTTP, on connections that are kept."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from deploy.local.pubsub.push_connection import PushConnection

ACKNOWLEDGING: Final = frozenset({102, 200, 201, 202, 204})


@dataclass(slots=True)
class _Endpoint:
    """`head` is what every request to it begins with. The connection last used is used next: its peer is awake."""

    host: str
    port: int
    head: bytes
    idle: list[PushConnection] = field(default_factory=list)


class PushClient:
    def __init__(self) -> None:
        self._endpoints: dict[str, _Endpoint] = {}

    def close(self) -> None:
        for endpoint in self._endpoints.values():
            for connection in endpoint.idle:
                connection.close()

    async def push(self, url: str, body: bytes, headers: Mapping[str, str], timeout_seconds: float) -> bool:
        """Whether the endpoint acknowledged. No answer in time, or none at all, is a no like any other."""
        endpoint = self._endpoints.get(url)
        if endpoint is None:
            endpoint = self._endpoints[url] = _endpoint(url)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await _exchange(endpoint, _request(endpoint, body, headers)) in ACKNOWLEDGING
        except OSError:  # a timeout is one, too
            return False


async def _exchange(endpoint: _Endpoint, request: bytes) -> int:
    while endpoint.idle:
        connection = endpoint.idle.pop()
        if connection.is_open:
            try:
                return await _over(connection, endpoint, request)
            except ConnectionResetError:
                # A server closes a kept connection just as we write to it: that says nothing about the message.
                break
    _, connection = await asyncio.get_running_loop().create_connection(PushConnection, endpoint.host, endpoint.port)
    return await _over(connection, endpoint, request)


async def _over(connection: PushConnection, endpoint: _Endpoint, request: bytes) -> int:
    status = await connection.exchange(request)
    if connection.is_open:
        endpoint.idle.append(connection)
    return status


def _endpoint(url: str) -> _Endpoint:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = (
        f"POST {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\nAccept: application/json\r\n"
        "User-Agent: CloudPubSub-Google\r\n"
    )
    return _Endpoint(parts.hostname or "", parts.port or 80, head.encode())


def _request(endpoint: _Endpoint, body: bytes, headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"%b%bContent-Length: %d\r\n\r\n%b" % (endpoint.head, lines.encode(), len(body), body)
