"""Signatures over raw bytes, made and verified: HMAC in any dress, and Standard Webhooks v1.

Nothing here decodes what a sender wrote: the expected text is made and the two texts are compared, so no hostile header
can raise anything but Rejected. Every secret's value is tried, in constant time, without an early exit.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Sequence
from typing import Final

from shared.errors import Rejected, Temporary

ALGORITHMS: Final = ("sha256", "sha512", "sha384", "sha1", "md5")
ENCODINGS: Final = ("hex", "base64", "base64url")
MAX_SIGNATURES: Final = 10
TOLERANCE_SECONDS: Final = 300

_STANDARD_ID: Final = re.compile(r"[^\s.\x00-\x1f\x7f]{1,128}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")


def encoded(digest: bytes, encoding: str) -> str:
    if encoding == "hex":
        return digest.hex()
    if encoding == "base64":
        return base64.b64encode(digest).decode()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def hmac_signature(body: bytes, secret: str, algorithm: str = "sha256", encoding: str = "hex", prefix: str = "") -> str:
    """The header's value for this body. The secret's text is the key, as it is."""
    return prefix + encoded(hmac.digest(secret.encode(), body, algorithm), encoding)


def verify_hmac(
    header: str | None, body: bytes, secrets: Sequence[str], algorithm: str, encoding: str, prefix: str
) -> None:
    """Raises Rejected (`sig`)."""
    if not header:
        raise Rejected("sig", "the request has no signature header")
    given = header.lower() if encoding == "hex" else header.rstrip("=") if encoding == "base64url" else header
    expected = (hmac_signature(body, secret, algorithm, encoding, prefix) for secret in secrets)
    if encoding == "hex":
        expected = (text.lower() for text in expected)
    if not matches_any([given], expected):
        raise Rejected("sig", "the signature does not match the body and the secret")


def matches_any(given: Sequence[str], expected: Iterable[str]) -> bool:
    """Whether a given text is one of the expected, in time that does not tell which."""
    found = False
    for wanted in expected:
        for text in given:
            found |= hmac.compare_digest(text.encode("utf-8", "replace"), wanted.encode())
    return found


def verify_password(given: str | None, secrets: Sequence[str]) -> None:
    """Raises Rejected (`password`)."""
    if given is None:
        raise Rejected("password", "the request has no password or token where this source takes it")
    if not matches_any([given], secrets):
        raise Rejected("password", "the password or token is not this source's")


def standard_key(secret: str) -> bytes:
    """The key in a Standard Webhooks secret, `whsec_` and base64. Raises Temporary (`secret_unusable`)."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Temporary("secret_unusable", "a Standard Webhooks secret is 'whsec_' and base64") from error


def sign_standard(secret: str, webhook_id: str, timestamp: int, body: bytes) -> str:
    """The webhook-signature header's value. Raises Temporary for an unusable secret."""
    content = b"%b.%d.%b" % (webhook_id.encode(), timestamp, body)
    return "v1," + encoded(hmac.digest(standard_key(secret), content, "sha256"), "base64")


def verify_standard(
    webhook_id: str | None,
    timestamp: str | None,
    signatures: str | None,
    body: bytes,
    secrets: Sequence[str],
    now: float,
    tolerance_seconds: float = TOLERANCE_SECONDS,
) -> None:
    """Raises Rejected: `sig`, `id`, `ts`."""
    given = (signatures or "").split()
    if not given:
        raise Rejected("sig", "the request has no webhook-signature header")
    if len(given) > MAX_SIGNATURES:
        raise Rejected("sig", f"webhook-signature holds {len(given)} signatures; at most {MAX_SIGNATURES} are tried")
    if webhook_id is None or not _STANDARD_ID.fullmatch(webhook_id):
        raise Rejected("id", "webhook-id is 1 to 128 characters, without white space and full stops")
    signed_at = verify_timestamp(timestamp, now, tolerance_seconds)
    if not matches_any(given, (sign_standard(secret, webhook_id, signed_at, body) for secret in secrets)):
        raise Rejected("sig", "no v1 signature matches the id, the timestamp, the body and the secret")


def verify_timestamp(text: str | None, now: float, tolerance_seconds: float) -> int:
    """The signed Unix time, once it is within the tolerance both ways. Raises Rejected (`ts`)."""
    if text is None or not _TIMESTAMP.fullmatch(text):
        raise Rejected("ts", "the signed timestamp is not a whole number of Unix seconds")
    age = now - int(text)
    if age > tolerance_seconds:
        raise Rejected("ts", f"signed {age:.0f} s ago; the limit is {tolerance_seconds:.0f} s")
    if age < -tolerance_seconds:
        raise Rejected("ts", f"signed {-age:.0f} s in the future; the limit is {tolerance_seconds:.0f} s")
    return int(text)
