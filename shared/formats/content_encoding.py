"""Decoding of a body's Content-Encoding, within limits."""

import zlib
from typing import Final

from shared.errors import Rejected
from shared.limits import DEFAULT, Limits

# zlib's window bits, which also say which wrapping it expects.
_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW_DEFLATE: Final = -zlib.MAX_WBITS

_MAX_GZIP_MEMBERS: Final = 100
"""The most members of a gzip stream, which can have several, one after the other. Log shippers send a few. Each member
costs a copy of all that follows it."""


def decode_content(body: bytes, content_encoding: str | None, limits: Limits = DEFAULT) -> bytes:
    """Decode a body. Raises Rejected: `unsupported_encoding`, `malformed_body` or `decoded_body_too_large`."""
    encoding = (content_encoding or "identity").strip().lower()
    if encoding in ("identity", ""):
        if len(body) > limits.max_decoded_bytes:
            raise _too_long(limits)
        return body
    if encoding in ("gzip", "x-gzip"):
        return _gunzip(body, limits)
    if encoding == "deflate":
        return _inflate(body, limits)
    raise Rejected(
        "unsupported_encoding", "Content-Encoding is gzip, deflate or identity, and one of them only; found another"
    )


def _gunzip(body: bytes, limits: Limits) -> bytes:
    decoded = bytearray()
    rest = body
    for _ in range(_MAX_GZIP_MEMBERS):
        room = limits.max_decoded_bytes - len(decoded)
        member, rest = _decompress(rest, _GZIP, room, limits)
        decoded += member
        rest = rest.lstrip(b"\0")  # gzip's own tools pad with zeros
        if not rest:
            return bytes(decoded)
    raise Rejected("malformed_body", f"the gzip body has more than {_MAX_GZIP_MEMBERS} members")


def _inflate(body: bytes, limits: Limits) -> bytes:
    """Decode HTTP's deflate, a zlib stream (RFC 9110, 8.4.1.2). Many senders leave out its header."""
    window_bits = _ZLIB if _has_zlib_header(body) else _RAW_DEFLATE
    text, rest = _decompress(body, window_bits, limits.max_decoded_bytes, limits)
    if rest:
        raise Rejected("malformed_body", "the deflate body goes on after its end")
    return text


def _has_zlib_header(body: bytes) -> bool:
    """Return whether the body begins with a zlib header (RFC 1950, 2.2).

    Half of its first byte names the method, and its two bytes are a multiple of 31.
    """
    if len(body) < 2:
        return False
    method = body[0] & 0x0F
    return method == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0


def _decompress(body: bytes, window_bits: int, room: int, limits: Limits) -> tuple[bytes, bytes]:
    """Return one stream decoded, of at most `room` bytes, and the bytes of `body` that follow it."""
    stream = zlib.decompressobj(window_bits)
    try:
        # One byte more than there is room for shows that the stream is too long.
        text = stream.decompress(body, room + 1)
    except zlib.error:
        raise Rejected(
            "malformed_body", "the compressed body is damaged, or not what its Content-Encoding says"
        ) from None
    if len(text) > room:
        raise _too_long(limits)
    if not stream.eof:
        raise Rejected("malformed_body", "the compressed body ends too early")
    return text, stream.unused_data


def _too_long(limits: Limits) -> Rejected:
    return Rejected("decoded_body_too_large", f"the body is longer than {limits.max_decoded_bytes} bytes once decoded")
