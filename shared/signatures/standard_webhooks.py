"""Standard Webhooks: a signature over id, timestamp and body.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from typing import Final

from shared.errors import Rejected, Temporary
from shared.signatures.compare import matches_any
from shared.signatures.encodings import encoded
from shared.signatures.timestamps import TOLERANCE_SECONDS, verify_timestamp

MAX_SIGNATURES: Final = 10

_STANDARD_ID: Final = re.compile(r"[^\s.\x00-\x1f\x7f]{1,128}")


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
