"""Standard Webhooks: v1 (HMAC, `whsec_`) and v1a (Ed25519: `whpk_` verifies, `whsk_` signs).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar, Final

from shared.errors import Rejected, Temporary
from shared.http import Request
from shared.signatures import signing
from shared.signatures.auth_scheme import (
    TOLERANCE_SECONDS,
    Coverage,
    NotAttempted,
    TimedScheme,
    mismatch,
    unusable,
    verify_timestamp,
)
from shared.signatures.content import wire
from shared.signatures.keys import is_signed_by, public_key
from shared.signatures.locations import Location, RequestFields

_ID: Final = re.compile(r"[^\s.\x00-\x1f\x7f]{1,128}")


@dataclass(eq=False, repr=False, kw_only=True)
class StandardWebhooksScheme(TimedScheme):
    """A signature over the id, the timestamp and the body, each of the first two in a header of its own.

    names         the prefix of the headers' names: `webhook`, or `svix`, which accepts the standard's names too
    key_encoding  how the secret's text stands for the key of a v1 signature: `base64` or `utf8`
    """

    scheme = "standard-webhooks"
    coverage_varies: ClassVar[bool] = True
    names: str = "webhook"
    key_encoding: str = "base64"
    signs_content: bool = field(init=False, default=True)

    @property
    def credentials_text(self) -> str:
        return f"the header {self.names}-signature"

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        request = fields.request
        prefix = self.names_used(request)
        verify_standard(
            request.header(f"{prefix}-id"),
            request.header(f"{prefix}-timestamp"),
            request.header(f"{prefix}-signature"),
            request.body,
            secrets,
            now,
            self.tolerance_seconds,
            self.key_encoding,
        )

    def names_used(self, request: Request) -> str:
        """Return the prefix of the headers' names in this request.

        Some senders that use Svix send the standard's names. If any Svix header is present, read only Svix's:
        otherwise a sender could add an unsigned svix-id, which would become the event's id.
        """
        has_svix = self.names == "svix" and (request.header("svix-signature") or request.header("svix-id"))
        return "svix" if has_svix else "webhook"

    def coverage(self, unpacked: str, request: Request) -> Coverage:
        id_headers = {f"{self.names_used(request)}-id"}
        if self.names == "svix":
            id_headers.add("svix-id")  # where it is present, it is the one that is signed
        return Coverage(True, True, locations=frozenset(Location("header", (name,)) for name in id_headers))

    def signed_content(self, fields: RequestFields) -> bytes:
        webhook_id = fields.request.header(f"{self.names_used(fields.request)}-id")
        return wire(f"{webhook_id}.") + fields.request.body

    def signed_time(self, fields: RequestFields) -> str:
        return fields.request.header(f"{self.names_used(fields.request)}-timestamp") or ""


def sign_standard(secret: str, webhook_id: str, timestamp: int, body: bytes, key_encoding: str = "base64") -> str:
    """Return the value of webhook-signature: v1a for a `whsk_` secret, else v1.

    Raises Temporary (`secret_unusable`) for a secret that is no key.
    """
    content = signing.standard_content(wire(webhook_id), timestamp, body)
    with _unusable_secret():
        return signing.standard_signature(content, secret, key_encoding)


def verify_standard(
    webhook_id: str | None,
    timestamp: str | None,
    signatures: str | None,
    body: bytes,
    secrets: Sequence[str],
    now: float,
    tolerance_seconds: float = TOLERANCE_SECONDS,
    key_encoding: str = "base64",
) -> None:
    """Verify a request by its three headers and its body.

    Raises Rejected: `signature_mismatch`, `invalid_delivery_id` or `timestamp_out_of_range`. Raises Temporary
    (`secret_unusable`) if no secret matches and one of them is no key.
    """
    signature_texts = (signatures or "").split()
    if not signature_texts:
        raise NotAttempted("the request has no webhook-signature header")
    if len(signature_texts) > signing.MAX_SIGNATURES:
        limit = f"at most {signing.MAX_SIGNATURES} are tried"
        raise mismatch(f"webhook-signature holds {len(signature_texts)} signatures; {limit}")
    if webhook_id is None or not _ID.fullmatch(webhook_id):
        raise Rejected(
            "invalid_delivery_id", "webhook-id must be 1 to 128 characters without white space and full stops"
        )
    signed_at = int(verify_timestamp(timestamp, now, tolerance_seconds))
    content = signing.standard_content(wire(webhook_id), signed_at, body)
    is_signed = False
    unusable_secret: Temporary | None = None
    for secret in secrets:  # all of them, so that the time taken does not reveal which one matches
        try:
            is_signed |= _is_signed(content, signature_texts, secret, key_encoding)
        except Temporary as error:  # another secret may still match, as after a rotation
            unusable_secret = error
    if not is_signed:
        raise unusable_secret or mismatch("no signature matches the id, the timestamp, the body and the secret")


def _is_signed(content: bytes, signature_texts: Sequence[str], secret: str, key_encoding: str) -> bool:
    """Return whether one of the signatures is by the secret. Raises Temporary for a secret that is no key."""
    with _unusable_secret():
        if secret.startswith("whpk_"):
            key = public_key(secret)
        elif secret.startswith("whsk_"):
            key = signing.standard_private_key(secret).public_key()
        else:
            expected = signing.standard_signature(content, secret, key_encoding)
            return signing.matches_any(signature_texts, [expected])
    checks = [is_signed_by(key, "ed25519", signature, content) for signature in _v1a_signatures(signature_texts)]
    return any(checks)


def _v1a_signatures(signature_texts: Sequence[str]) -> Iterator[bytes]:
    for text in signature_texts:
        version, _, encoded = text.partition(",")
        if version == "v1a":
            try:
                yield signing.decoded(encoded, "base64")
            except ValueError:
                continue


@contextmanager
def _unusable_secret() -> Iterator[None]:
    """Turn the ValueError of a secret that is no key into Temporary (`secret_unusable`): an operator can replace it."""
    try:
        yield
    except ValueError as error:
        raise unusable(str(error)) from error


SCHEMES: Final = {"standard-webhooks": StandardWebhooksScheme}
