"""Standard Webhooks: v1 (HMAC, `whsec_`) and v1a (Ed25519, `whpk_` to verify, `whsk_` to sign).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from shared.errors import Rejected, Temporary
from shared.http import Request
from shared.limits import MAX_SIGNATURES
from shared.signatures import signing
from shared.signatures.auth_scheme import (
    TOLERANCE_SECONDS,
    Coverage,
    NotAttempted,
    TimedScheme,
    unusable,
    verify_timestamp,
)
from shared.signatures.content import wire
from shared.signatures.keys import is_signed_by, public_key
from shared.signatures.locations import Location, RequestFields
from shared.signatures.signing import decoded, matches_any, standard_content, standard_private_key, standard_signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_HEADERS: Final = ("id", "timestamp", "signature")
_STANDARD_ID: Final = re.compile(r"[^\s.\x00-\x1f\x7f]{1,128}")


@dataclass(eq=False, repr=False, kw_only=True)
class StandardWebhooksScheme(TimedScheme):
    """`names` is the prefix of the headers' names; `svix` also accepts the standard's. `key` is as in HmacScheme."""

    scheme = "standard-webhooks"
    coverage_varies: ClassVar[bool] = True
    names: str = "webhook"
    key: str = "base64"
    signs_content: bool = field(init=False, default=True)

    @property
    def credentials_text(self) -> str:
        return f"the header {self.names}-signature"

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        request, names = fields.request, self.names_used(fields.request)
        webhook_id, timestamp, signature = (request.header(f"{names}-{name}") for name in _HEADERS)
        verify_standard(webhook_id, timestamp, signature, request.body, secrets, now, self.tolerance_seconds, self.key)

    def names_used(self, request: Request) -> str:
        """Return the prefix of the headers' names: some senders that use Svix have the standard's names.

        An id of Svix's beside a signature of the standard's is signed by nobody, and would be the event's.
        """
        has_svix = self.names == "svix" and (request.header("svix-signature") or request.header("svix-id"))
        return "svix" if has_svix else "webhook"

    def coverage(self, unpacked: str, request: Request) -> Coverage:
        # svix-id, where it is present, is the one that is signed.
        names = {f"{self.names_used(request)}-id", *(["svix-id"] if self.names == "svix" else [])}
        return Coverage(True, True, locations=frozenset(Location("header", (name,)) for name in names))

    def signed_content(self, fields: RequestFields) -> bytes:
        request = fields.request
        return wire(f"{request.header(f'{self.names_used(request)}-id')}.") + request.body

    def signed_time(self, fields: RequestFields) -> str:
        return fields.request.header(f"{self.names_used(fields.request)}-timestamp") or ""


def standard_key(secret: str) -> bytes:
    """Return the key in a Standard Webhooks secret, `whsec_` and base64. Raises Temporary (`secret_unusable`)."""
    try:
        return signing.standard_key(secret)
    except ValueError as error:
        raise unusable(str(error)) from error


def sign_standard(secret: str, webhook_id: str, timestamp: int, body: bytes, key: str = "base64") -> str:
    """Return the webhook-signature header: v1a for a `whsk_` secret, else v1. Raises Temporary for an unusable one."""
    return _signature(secret, standard_content(wire(webhook_id), timestamp, body), key)


def verify_standard(
    webhook_id: str | None,
    timestamp: str | None,
    signatures: str | None,
    body: bytes,
    secrets: Sequence[str],
    now: float,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    key: str = "base64",
) -> None:
    """Raises Rejected: `signature_mismatch`, `invalid_delivery_id`, `timestamp_out_of_range`; Temporary where none
    matches and one of the secrets is no key."""
    given = (signatures or "").split()
    if not given:
        raise NotAttempted("the request has no webhook-signature header")
    if len(given) > MAX_SIGNATURES:
        raise Rejected(
            "signature_mismatch", f"webhook-signature holds {len(given)} signatures; at most {MAX_SIGNATURES} are tried"
        )
    if webhook_id is None or not _STANDARD_ID.fullmatch(webhook_id):
        raise Rejected("invalid_delivery_id", "webhook-id is 1 to 128 characters, without white space and full stops")
    signed_at = int(verify_timestamp(timestamp, now, tolerance_seconds))
    content = standard_content(wire(webhook_id), signed_at, body)
    found, fault = False, None
    for secret in secrets:
        try:
            found |= _is_of(given, secret, content, key)
        except Temporary as error:
            fault = error
    if not found:
        raise fault or Rejected(
            "signature_mismatch", "no signature matches the id, the timestamp, the body and the secret"
        )


def _is_of(given: Sequence[str], secret: str, content: bytes, key: str) -> bool:
    if secret.startswith(("whpk_", "whsk_")):
        return _is_v1a(given, secret, content)
    return matches_any(given, [_signature(secret, content, key)])


def _is_v1a(given: Sequence[str], secret: str, content: bytes) -> bool:
    key = public_key(secret) if secret.startswith("whpk_") else _private_key(secret).public_key()
    return True in [is_signed_by(key, "ed25519", signature, content) for signature in _v1a_signatures(given)]


def _v1a_signatures(given: Sequence[str]) -> Iterator[bytes]:
    for text in given:
        version, _, signature = text.partition(",")
        if version == "v1a":
            try:
                yield decoded(signature, "base64")
            except ValueError:
                continue


def _signature(secret: str, content: bytes, key: str) -> str:
    try:
        return standard_signature(content, secret, key)
    except ValueError as error:
        raise unusable(str(error)) from error


def _private_key(secret: str) -> Ed25519PrivateKey:
    try:
        return standard_private_key(secret)
    except ValueError as error:
        raise unusable(str(error)) from error
