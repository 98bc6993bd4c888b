"""HMACs, plain digests and signatures, and the text in which each is written.

Nothing but the standard library: deploy/client ships this file, by a link, as a part of its own package.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1", "md5")
ENCODINGS: Final = ("hex", "base64", "base64url", "base64-of-hex")


def hmac_text(content: bytes, key: bytes, algorithm: str, encoding: str) -> str:
    return encoded(hmac.digest(key, content, algorithm), encoding)


def digest_text(content: bytes, algorithm: str, encoding: str) -> str:
    return encoded(hashlib.new(algorithm, content, usedforsecurity=False).digest(), encoding)


def hmac_signature(body: bytes, secret: str, algorithm: str = "sha256", encoding: str = "hex", prefix: str = "") -> str:
    """The header's value for this body. The secret's text is the key, as it is."""
    return prefix + hmac_text(body, secret.encode(), algorithm, encoding)


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
