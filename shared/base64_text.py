"""Base64 as the standard library reads and writes it; longer texts by pybase64, in a tenth of the time or less."""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from functools import partial
from typing import Final

LONG_CHARACTERS: Final = 1_024
"""From here on pybase64 reads a text, such as a bus message with its event. For 1,300 characters binascii takes 2 µs,
and 12 µs for twice as many. To import pybase64 takes 1 ms, once in a process."""
LARGE_BYTES: Final = 16_384
"""From here on pybase64 writes a text, for which binascii takes 12 µs or more."""


def decode_base64(text: str | bytes, *, strict: bool = True) -> bytes:
    """Return the bytes. Raises ValueError as binascii does, in its strict mode or without."""
    if len(text) >= LONG_CHARACTERS:
        # Imported here, because many processes read only short texts.
        from pybase64 import b64decode

        try:
            return b64decode(text, validate=True)
        except ValueError:
            pass  # binascii decides, and raises its own error
    return a2b_base64(text, strict_mode=strict)


def base64_encoder(total_bytes: int) -> Callable[[bytes], bytes]:
    """Return the encoder for contents of `total_bytes` together: pybase64 saves as much time for many small ones."""
    if total_bytes >= LARGE_BYTES:
        from pybase64 import b64encode

        return b64encode
    return _encode_small


_encode_small: Final = partial(b2a_base64, newline=False)


def base64_bytes(content: bytes) -> bytes:
    return base64_encoder(len(content))(content)


def base64_text(content: bytes) -> str:
    if len(content) >= LARGE_BYTES:
        from pybase64 import b64encode_as_string

        return b64encode_as_string(content)
    return b2a_base64(content, newline=False).decode("ascii")
