"""The answer to a gRPC client: one clear error at once. Without it, the client retries in silence for minutes.

Every call is answered with gRPC's trailers-only response, status 12 (UNIMPLEMENTED), which no client retries. This is
as much of HTTP/2 (RFC 9113) as that takes.
"""

import asyncio
from collections.abc import Iterator
from typing import Final, cast

from shared.logs import log

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
REST_ONLY: Final = "UNIMPLEMENTED: this emulator is REST only: transport='rest' (an example is in deploy/README.md)"
_HEADERS, _SETTINGS, _PING = 0x1, 0x4, 0x6
_ACK, _END_STREAM_AND_HEADERS = 0x1, 0x5
_HEAD_BYTES: Final = 9
_MAX_FRAME_BYTES: Final = 16_384


class GrpcRejection(asyncio.Protocol):
    """A connection that begins with PREFACE."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._has_preface = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        log("WARNING", "a gRPC client was answered UNIMPLEMENTED", detail=REST_ONLY)
        self._transport.write(_frame(_SETTINGS, 0, 0))

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += data
        if not self._has_preface and len(self._received) >= len(PREFACE):
            del self._received[: len(PREFACE)]
            self._has_preface = True
        for kind, flags, stream, payload in self._frames() if self._has_preface else ():
            if kind == _SETTINGS and not flags & _ACK:
                self._transport.write(_frame(_SETTINGS, _ACK, 0))
            elif kind == _PING and not flags & _ACK:
                self._transport.write(_frame(_PING, _ACK, 0, payload))
            elif kind == _HEADERS:
                self._transport.write(_frame(_HEADERS, _END_STREAM_AND_HEADERS, stream, _unimplemented()))

    def _frames(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield type, flags, stream and payload of each whole frame."""
        assert self._transport is not None
        while len(self._received) >= _HEAD_BYTES:
            length = int.from_bytes(self._received[:3], "big")
            if length > _MAX_FRAME_BYTES:
                self._transport.close()
                return
            if len(self._received) < _HEAD_BYTES + length:
                return
            kind, flags = self._received[3], self._received[4]
            stream = int.from_bytes(self._received[5:_HEAD_BYTES], "big") & 0x7FFF_FFFF
            payload = bytes(self._received[_HEAD_BYTES : _HEAD_BYTES + length])
            del self._received[: _HEAD_BYTES + length]
            yield kind, flags, stream, payload


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _unimplemented() -> bytes:
    """Return the response's headers in HPACK (RFC 7541): `:status: 200` by its index, the others written out."""
    headers = {"content-type": "application/grpc", "grpc-status": "12", "grpc-message": REST_ONLY}
    return b"\x88" + b"".join(b"\x00" + _text(name) + _text(value) for name, value in headers.items())


def _text(text: str) -> bytes:
    """Return a string literal: its length, 127 and more in continued bytes, and its bytes."""
    content, length = text.encode("ascii"), len(text)
    prefix = bytearray()
    if length < 0x7F:
        prefix.append(length)
    else:
        prefix.append(0x7F)
        length -= 0x7F
        while length >= 0x80:
            prefix.append(length % 0x80 + 0x80)
            length //= 0x80
        prefix.append(length)
    return bytes(prefix) + content
