"""HMAC and plain digests, over raw bytes.

What a sender wrote is not decoded: the expected text is made, and the two texts are compared.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from shared.errors import Rejected
from shared.signatures.compare import matches_any
from shared.signatures.encodings import comparable, encoded

ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1", "md5")


def hmac_text(content: bytes, key: bytes, algorithm: str, encoding: str) -> str:
    return encoded(hmac.digest(key, content, algorithm), encoding)


def digest_text(content: bytes, algorithm: str, encoding: str) -> str:
    return encoded(hashlib.new(algorithm, content, usedforsecurity=False).digest(), encoding)


def hmac_signature(body: bytes, secret: str, algorithm: str = "sha256", encoding: str = "hex", prefix: str = "") -> str:
    """The header's value for this body. The secret's text is the key, as it is."""
    return prefix + hmac_text(body, secret.encode(), algorithm, encoding)


def verify_hmac(
    header: str | None, body: bytes, secrets: Sequence[str], algorithm: str, encoding: str, prefix: str
) -> None:
    """Raises Rejected (`sig`)."""
    if not header:
        raise Rejected("sig", "the request has no signature header")
    expected = (comparable(hmac_signature(body, secret, algorithm, encoding, prefix), encoding) for secret in secrets)
    if not matches_any([comparable(header, encoding)], expected):
        raise Rejected("sig", "the signature does not match the body and the secret")
