"""Signatures as the texts that requests carry: made by HMAC, digest or Standard Webhooks, and compared.

deploy/client/hookchain/signing.py is a link to this file. So it imports nothing of this project and nothing that must
be installed, and raises ValueError for a secret that cannot sign.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1", "md5")
ENCODINGS: Final = ("hex", "base64", "base64url", "base64-of-hex")

MAX_SIGNATURES: Final = 10
"""The most signatures of a request. No more are sent, and a request with more is rejected."""

COMPARABLE: Final[dict[str, Callable[[str], str]]] = {
    "hex": str.lower,
    "base64": str,
    "base64url": lambda text: text.rstrip("="),
    "base64-of-hex": str,
}
"""For each encoding, a function that makes all spellings of the same bytes one text: hex in either case, base64url with
or without padding."""

_PRIVATE_KEY_BYTES: Final = (32, 64)
"""The sizes of an Ed25519 private key: alone, or followed by its public key."""


def hmac_text(content: bytes, key: bytes, algorithm: str, encoding: str) -> str:
    """Return the HMAC of the content as text."""
    digest = hmac.digest(key, content, algorithm)
    return digest.hex() if encoding == "hex" else encoded(digest, encoding)


def digest_text(content: bytes, algorithm: str, encoding: str) -> str:
    """Return the plain digest of the content as text."""
    digest = hashlib.new(algorithm, content, usedforsecurity=False).digest()
    return encoded(digest, encoding)


def hmac_signature(body: bytes, secret: str, algorithm: str = "sha256", encoding: str = "hex", prefix: str = "") -> str:
    """Return the header's value for this body. The secret's text is the key, unchanged."""
    return prefix + hmac_text(body, secret.encode(), algorithm, encoding)


def standard_key(secret: str) -> bytes:
    """Return the key in a Standard Webhooks secret, `whsec_` and base64. Raises ValueError.

    Some senders show the secret with its version in front: `v1,whsec_…`.
    """
    encoded_key = secret.removeprefix("v1,").removeprefix("whsec_")
    try:
        return base64.b64decode(encoded_key, validate=True)
    except ValueError as error:
        raise ValueError("a Standard Webhooks secret is 'whsec_' and base64") from error


def standard_private_key(secret: str) -> Ed25519PrivateKey:
    """Return the Ed25519 key in a Standard Webhooks secret that begins with `whsk_`. Raises ValueError."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise ValueError("a Standard Webhooks private key needs the package cryptography") from error

    try:
        raw = decoded(secret.removeprefix("whsk_"), "base64")
    except ValueError as error:
        raise ValueError("a Standard Webhooks private key is 'whsk_' and base64") from error
    if len(raw) not in _PRIVATE_KEY_BYTES:
        raise ValueError("a Standard Webhooks private key is 'whsk_' and 64 bytes in base64")
    return Ed25519PrivateKey.from_private_bytes(raw[:32])


def standard_content(webhook_id: bytes, timestamp: int, body: bytes) -> bytes:
    """Return the content that Standard Webhooks signs. `timestamp` is in Unix seconds."""
    return b"%b.%d.%b" % (webhook_id, timestamp, body)


def standard_signature(content: bytes, secret: str, key_encoding: str = "base64") -> str:
    """Return one item of the webhook-signature header: v1a for a `whsk_` secret, else v1. Raises ValueError.

    `key_encoding` says what the key of v1 is: with `base64`, the bytes that the secret stands for; with `utf8` and
    `either`, the secret's text itself.
    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    if secret.startswith("whsk_"):
        return "v1a," + encoded(standard_private_key(secret).sign(content), "base64")
    key = standard_key(secret) if key_encoding == "base64" else secret.encode()
    return "v1," + hmac_text(content, key, "sha256", "base64")


def encoded(digest: bytes, encoding: str) -> str:
    """Write the bytes of a digest or of a signature as text."""
    if encoding == "hex":
        return digest.hex()
    if encoding == "base64":
        return base64.b64encode(digest).decode()
    if encoding == "base64-of-hex":
        return base64.b64encode(digest.hex().encode()).decode()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def matches_any(sent: Sequence[str], expected: Sequence[str]) -> bool:
    """Return whether one of the texts that were sent is an expected one, in a time that does not reveal which one."""
    is_match = False
    for expected_text in expected:
        expected_bytes = expected_text.encode("utf-8", "replace")
        for text in sent:
            is_match |= hmac.compare_digest(text.encode("utf-8", "replace"), expected_bytes)
    return is_match


def decoded(text: str, encoding: str) -> bytes:
    """Return the bytes that the text stands for. Base64 may lack its padding. Raises ValueError."""
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        if encoding == "base64-of-hex":
            return bytes.fromhex(decoded(text, "base64").decode("ascii"))
        padded = text + "=" * (-len(text) % 4)
        return base64.b64decode(padded, altchars=b"-_" if encoding == "base64url" else None, validate=True)
    except binascii.Error as error:
        raise ValueError(f"is not {encoding}") from error
