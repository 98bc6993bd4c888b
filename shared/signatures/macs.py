"""HMAC and plain digests over raw bytes, as text: what a sender wrote is not decoded, but compared with it."""

import hashlib
import hmac
from typing import Final

from shared.signatures.encodings import encoded

ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1", "md5")


def hmac_text(content: bytes, key: bytes, algorithm: str, encoding: str) -> str:
    return encoded(hmac.digest(key, content, algorithm), encoding)


def digest_text(content: bytes, algorithm: str, encoding: str) -> str:
    return encoded(hashlib.new(algorithm, content, usedforsecurity=False).digest(), encoding)


def hmac_signature(body: bytes, secret: str, algorithm: str = "sha256", encoding: str = "hex", prefix: str = "") -> str:
    """The header's value for this body. The secret's text is the key, as it is."""
    return prefix + hmac_text(body, secret.encode(), algorithm, encoding)
