"""How the bytes of a digest or of a signature are written as text."""

import base64
import binascii
from typing import Final

ENCODINGS: Final = ("hex", "base64", "base64url", "base64-of-hex")


def encoded(digest: bytes, encoding: str) -> str:
    if encoding == "hex":
        return digest.hex()
    if encoding == "base64":
        return base64.b64encode(digest).decode()
    if encoding == "base64-of-hex":
        return base64.b64encode(digest.hex().encode()).decode()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def comparable(text: str, encoding: str) -> str:
    """The same text for every way in which senders write the same bytes: hex in either case, padding or none."""
    if encoding == "hex":
        return text.lower()
    return text.rstrip("=") if encoding == "base64url" else text


def decoded(text: str, encoding: str) -> bytes:
    """Raises ValueError. Padding may be missing."""
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        if encoding == "base64-of-hex":
            return bytes.fromhex(decoded(text, "base64").decode("ascii"))
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_" if encoding == "base64url" else None, validate=True)
    except binascii.Error as error:
        raise ValueError(f"is not {encoding}") from error
