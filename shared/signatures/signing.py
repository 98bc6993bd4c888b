"""Compute signatures as the texts that requests carry, and compare such texts.

There are three kinds: an HMAC and a plain digest, each in any of ENCODINGS, and an item of Standard Webhooks:

    hmac_text(b"{}", b"secret", "sha256", "hex")                   77325902caca812d…
    digest_text(b"{}secret", "md5", "base64")                      J8SGV63kTJ6xp21HyGMAbg==
    standard_signature(b"msg_1.1700000000.{}", "whsec_c2VjcmV0")   v1,A5oIrJxXPB/PkULS…

deploy/client/hookchain/signing.py is a link to this file. So it imports nothing of this project and nothing that must
be installed, and raises ValueError for a secret that cannot sign.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1", "md5")
ENCODINGS: Final = ("hex", "base64", "base64url", "base64-of-hex")
"""`base64url` is written without padding. `base64-of-hex` is the base64 of the hex digits, which some senders use."""

MAX_SIGNATURES: Final = 10
"""The most signatures of a request. No more are sent, and a request with more is rejected."""

NORMALIZERS: Final[dict[str, Callable[[str], str]]] = {
    "hex": str.lower,
    "base64": str,
    "base64url": lambda text: text.rstrip("="),
    "base64-of-hex": str,
}
"""For each encoding, a function that normalizes a text, so that texts of the same bytes are equal: it writes hex in
lower case, and removes the padding of base64url."""

_PRIVATE_KEY_BYTES: Final = (32, 64)
"""The sizes of an Ed25519 private key: the key alone, or the key followed by its public key."""


def hmac_text(content: bytes, key: bytes, algorithm: str, encoding: str) -> str:
    """Return the HMAC of the content as text in this encoding."""
    return encode_bytes(hmac.digest(key, content, algorithm), encoding)


def digest_text(content: bytes, algorithm: str, encoding: str) -> str:
    """Return the plain digest of the content as text in this encoding."""
    # Without this flag, Python in FIPS mode cannot compute MD5, which some senders still use.
    digest = hashlib.new(algorithm, content, usedforsecurity=False).digest()
    return encode_bytes(digest, encoding)


def hmac_signature(body: bytes, secret: str, algorithm: str = "sha256", encoding: str = "hex", prefix: str = "") -> str:
    """Return the value of a signature header such as `sha256=77325902…`, whose `prefix` is `sha256=`.

    The key is the text of the secret in UTF-8. Nothing is decoded.
    """
    return prefix + hmac_text(body, secret.encode(), algorithm, encoding)


def standard_key(secret: str) -> bytes:
    """Return the HMAC key in a Standard Webhooks secret: the base64 after `whsec_`. Raises ValueError.

    Some senders show the secret with the version of its signatures in front: `v1,whsec_…`.
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
        key_bytes = decode_bytes(secret.removeprefix("whsk_"), "base64")
    except ValueError as error:
        raise ValueError("a Standard Webhooks private key is 'whsk_' and base64") from error
    if len(key_bytes) not in _PRIVATE_KEY_BYTES:
        raise ValueError("a Standard Webhooks private key is 'whsk_' and 64 bytes in base64")
    return Ed25519PrivateKey.from_private_bytes(key_bytes[:32])


def standard_content(webhook_id: bytes, timestamp: int, body: bytes) -> bytes:
    """Return the content that Standard Webhooks signs. `timestamp` is in Unix seconds."""
    return b"%b.%d.%b" % (webhook_id, timestamp, body)


def standard_signature(content: bytes, secret: str, key_encoding: str = "base64") -> str:
    """Return one item of the `webhook-signature` header. Raises ValueError for a secret that cannot sign.

    A `whsk_` secret signs with Ed25519, which gives a `v1a` item. Any other secret signs with an HMAC, which gives a
    `v1` item. The HMAC's key is the base64 in the secret. With `key_encoding="utf8"`, it is the text of the secret, as
    some senders have it. `either` is for callers that accept both: here it means `utf8`, and they call again with
    `base64`.
    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    if secret.startswith("whsk_"):
        return "v1a," + encode_bytes(standard_private_key(secret).sign(content), "base64")
    key = standard_key(secret) if key_encoding == "base64" else secret.encode()
    return "v1," + hmac_text(content, key, "sha256", "base64")


def encode_bytes(raw: bytes, encoding: str) -> str:
    """Return the bytes, such as a digest, as text in one of ENCODINGS; any other encoding is taken for base64url."""
    if encoding == "hex":
        return raw.hex()
    if encoding == "base64":
        return base64.b64encode(raw).decode()
    if encoding == "base64-of-hex":
        return base64.b64encode(raw.hex().encode()).decode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_bytes(text: str, encoding: str) -> bytes:
    """Return the bytes of a text in one of ENCODINGS: the reverse of `encode_bytes`. Raises ValueError.

    Base64 may lack its padding.
    """
    if encoding == "hex":
        return bytes.fromhex(text)
    if encoding == "base64-of-hex":
        return bytes.fromhex(decode_bytes(text, "base64").decode("ascii"))
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_" if encoding == "base64url" else None, validate=True)


def matches_any(sent: Sequence[str], expected: Sequence[str]) -> bool:
    """Return whether any text that was sent equals any expected text.

    The time that this takes reveals neither which texts match nor how much of a text is right.
    """
    is_match = False
    # No early return: it would reveal the position of the match.
    for expected_text in expected:
        # `compare_digest` takes a str only if it is ASCII, and a sender may put any character into a header.
        expected_bytes = expected_text.encode("utf-8", "replace")
        for text in sent:
            is_match |= hmac.compare_digest(text.encode("utf-8", "replace"), expected_bytes)
    return is_match
