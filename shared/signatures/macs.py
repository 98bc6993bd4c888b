"""HMACs and plain digests as the text that senders write, and the comparison of such texts in constant time.

What a sender wrote is not decoded. It is compared with what it should be.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from typing import Final

from shared.errors import Temporary

ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1", "md5")
ENCODINGS: Final = ("hex", "base64", "base64url", "base64-of-hex")


def hmac_text(content: bytes, key: bytes, algorithm: str, encoding: str) -> str:
    digest = hmac.digest(key, content, algorithm)
    return digest.hex() if encoding == "hex" else encoded(digest, encoding)


def digest_text(content: bytes, algorithm: str, encoding: str) -> str:
    return encoded(hashlib.new(algorithm, content, usedforsecurity=False).digest(), encoding)


def hmac_signature(body: bytes, secret: str, algorithm: str = "sha256", encoding: str = "hex", prefix: str = "") -> str:
    """Return the signature header's value for a body. The secret's text is the key, as it is."""
    return prefix + hmac_text(body, secret.encode(), algorithm, encoding)


def shared_key(secret: str, key: str = "utf8", prefix: str = "") -> bytes:
    """Return the key of an HMAC or digest. `key` is utf8, base64 or hex. Raises Temporary (`secret_unusable`)."""
    text = secret.removeprefix(prefix)
    if key == "utf8":
        return text.encode()
    try:
        found = decoded(text, key)
    except ValueError as error:
        raise unusable(f"the secret is not {key}, as this scheme's key is") from error
    if not found:
        raise unusable("the secret holds an empty key")
    return found


def unusable(detail: str) -> Temporary:
    """Return the error for a secret that is no key: an operator's fault, never a sender's."""
    return Temporary("secret_unusable", detail)


def matches_any(given: Sequence[str], expected: Iterable[str]) -> bool:
    """Return whether a given text is one of the expected, in time that does not tell which."""
    found = False
    for wanted in expected:
        for text in given:
            found |= hmac.compare_digest(text.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))
    return found


def encoded(digest: bytes, encoding: str) -> str:
    if encoding == "hex":
        return digest.hex()
    if encoding == "base64":
        return base64.b64encode(digest).decode()
    if encoding == "base64-of-hex":
        return base64.b64encode(digest.hex().encode()).decode()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def comparable(text: str, encoding: str) -> str:
    """Return one text for all spellings of the same bytes: hex in either case, base64url with or without padding."""
    if encoding == "hex":
        return text.lower()
    return text.rstrip("=") if encoding == "base64url" else text


def decoded(text: str, encoding: str) -> bytes:
    """Decode a text whose padding may be missing. Raises ValueError."""
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        if encoding == "base64-of-hex":
            return bytes.fromhex(decoded(text, "base64").decode("ascii"))
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_" if encoding == "base64url" else None, validate=True)
    except binascii.Error as error:
        raise ValueError(f"is not {encoding}") from error
