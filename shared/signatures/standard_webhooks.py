"""Standard Webhooks: v1 (HMAC, `whsec_`) and v1a (Ed25519: `whpk_` verifies, `whsk_` signs).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from shared import errors, http
from shared.signatures import auth_scheme, locations, signed_times, signing
from shared.signatures.content import wire
from shared.signatures.keys import is_signed_by, public_key

if TYPE_CHECKING:
    from shared.signatures.keys import PublicKey

_ID: Final = re.compile(r"[^\s.\x00-\x1f\x7f]{1,128}")
"""An id without a full stop, which separates it from the timestamp in the signed content `id.timestamp.body`."""


@dataclass(eq=False, repr=False, kw_only=True)
class StandardWebhooksScheme(auth_scheme.TimedScheme):
    """A signature over the id, the timestamp and the body, each of the first two in a header of its own.

    header_prefix  the prefix of its headers: `webhook`, or `svix`, which accepts the standard's names too
    key_encoding   how the secret's text stands for the key of a v1 signature: `base64`, `utf8`, or `either` of the two
    """

    scheme = "standard-webhooks"
    coverage_varies: ClassVar[bool] = True
    signature_headers: ClassVar[frozenset[str]] = frozenset({"webhook-signature", "svix-signature"})
    header_prefix: str = "webhook"
    key_encoding: str = "base64"
    signs_content: bool = field(init=False, default=True)

    @property
    def credentials_text(self) -> str:
        return f"the header {self.header_prefix}-signature"

    def verify(
        self, fields: locations.RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float
    ) -> None:
        request = fields.request
        prefix = self.prefix_used(request)
        verify_standard(
            webhook_id=request.header(f"{prefix}-id"),
            timestamp=request.header(f"{prefix}-timestamp"),
            signatures=request.header(f"{prefix}-signature"),
            body=request.body,
            secrets=secrets,
            now=now,
            tolerance_seconds=self.tolerance_seconds,
            key_encoding=self.key_encoding,
        )

    def prefix_used(self, request: http.Request) -> str:
        """Return the prefix of the headers that are read from this request.

        Some senders that use Svix send the standard's names. If any Svix header is present, read only Svix's:
        otherwise a sender could add an unsigned svix-id, which would become the event's id.
        """
        if self.header_prefix == "svix" and any(request.header(name) for name in ("svix-signature", "svix-id")):
            return "svix"
        return "webhook"

    def coverage(self, unpacked: str, request: http.Request) -> auth_scheme.Coverage:
        """Return the whole body and the id's header."""
        id_headers = {f"{self.prefix_used(request)}-id"}
        if self.header_prefix == "svix":
            # If this header is present, it is the id that is signed.
            id_headers.add("svix-id")
        id_locations = frozenset(locations.Location("header", (name,)) for name in id_headers)
        return auth_scheme.Coverage(body=True, body_fields=True, query=False, locations=id_locations)

    def signed_content(self, fields: locations.RequestFields) -> bytes:
        webhook_id = fields.request.header(f"{self.prefix_used(fields.request)}-id")
        return wire(f"{webhook_id}.") + fields.request.body

    def signed_time(self, fields: locations.RequestFields) -> str:
        return fields.request.header(f"{self.prefix_used(fields.request)}-timestamp") or ""


def sign_standard(secret: str, webhook_id: str, timestamp: int, body: bytes, key_encoding: str = "base64") -> str:
    """Return the value of webhook-signature: v1a for a `whsk_` secret, else v1.

    Raises Temporary (`secret_unusable`) for a secret that is no key.
    """
    content = signing.standard_content(wire(webhook_id), timestamp, body)
    with _unusable_on_value_error():
        return signing.standard_signature(content, secret, key_encoding)


def verify_standard(
    *,
    webhook_id: str | None,
    timestamp: str | None,
    signatures: str | None,
    body: bytes,
    secrets: Sequence[str],
    now: float,
    tolerance_seconds: float = signed_times.TOLERANCE_SECONDS,
    key_encoding: str = "base64",
) -> None:
    """Verify a request by its three headers and its body.

    Raises NotAttempted if no signature was sent, and Rejected: `signature_mismatch`, `invalid_delivery_id` or
    `timestamp_out_of_range`. Raises Temporary (`secret_unusable`) if no secret matches and one is not a key.
    """
    # The standard separates signatures by a space, and Supabase by a comma and a space.
    signature_texts = [text.rstrip(",") for text in (signatures or "").split()]
    if not signature_texts:
        raise auth_scheme.NotAttempted("the request has no webhook-signature header")
    if len(signature_texts) > signing.MAX_SIGNATURES:
        limit = f"at most {signing.MAX_SIGNATURES} are tried"
        raise auth_scheme.mismatch(f"webhook-signature holds {len(signature_texts)} signatures; {limit}")
    if webhook_id is None or not _ID.fullmatch(webhook_id):
        rule = "must be 1 to 128 characters without white space and full stops" if webhook_id else "is missing"
        raise errors.Rejected("invalid_delivery_id", f"webhook-id {rule}")
    signed_at = int(signed_times.verify_timestamp(timestamp, now, tolerance_seconds))
    content = signing.standard_content(wire(webhook_id), signed_at, body)
    if not _is_signed_with_any(secrets, content, signature_texts, key_encoding):
        raise auth_scheme.mismatch("no signature matches the id, the timestamp, the body and the secret")


def _is_signed_with_any(
    secrets: Sequence[str], content: bytes, signature_texts: Sequence[str], key_encoding: str
) -> bool:
    """Return whether one of the signatures is by one of the secrets.

    All secrets are tried, so that the time taken does not reveal which one matches. Raises Temporary if none matches
    and one of them is not a key: while secrets are rotated, the other one may match.
    """
    is_signed = False
    unusable_error: errors.Temporary | None = None
    for secret in secrets:
        try:
            is_signed |= _is_signed_with(secret, content, signature_texts, key_encoding)
        except errors.Temporary as error:
            unusable_error = error
    if unusable_error is not None and not is_signed:
        raise unusable_error
    return is_signed


def _is_signed_with(secret: str, content: bytes, signature_texts: Sequence[str], key_encoding: str) -> bool:
    """Return whether one of the signatures is by the secret. Raises Temporary for a secret that is no key."""
    if secret.startswith(("whpk_", "whsk_")):
        return _is_signed_v1a(_ed25519_key(secret), content, signature_texts)
    with _unusable_on_value_error():
        expected = [signing.standard_signature(content, secret, key_encoding)]
    if key_encoding == "either":
        with suppress(ValueError):  # a text that is not base64 can only be the key itself
            expected.append(signing.standard_signature(content, secret, "base64"))
    return signing.matches_any(signature_texts, expected)


def _ed25519_key(secret: str) -> "PublicKey":
    """Return the public key of a `whpk_` or `whsk_` secret. Raises Temporary."""
    with _unusable_on_value_error():
        if secret.startswith("whpk_"):
            return public_key(secret)
        return signing.standard_private_key(secret).public_key()


def _is_signed_v1a(key: "PublicKey", content: bytes, signature_texts: Sequence[str]) -> bool:
    """Verify all signatures `v1a,<base64>`, so that the time taken does not reveal which one matches."""
    is_signed = False
    for text in signature_texts:
        version, _, encoded = text.partition(",")
        if version != "v1a":
            continue
        try:
            signature = signing.decode_bytes(encoded, "base64")
        except ValueError:  # not base64, so it is not a signature; another one may match
            continue
        is_signed |= is_signed_by(key, "ed25519", signature, content)
    return is_signed


@contextmanager
def _unusable_on_value_error() -> Iterator[None]:
    """Raise UnusableSecret for the ValueError of a secret that is not a key."""
    try:
        yield
    except ValueError as error:
        raise auth_scheme.UnusableSecret(str(error)) from error


SCHEMES: Final = {"standard-webhooks": StandardWebhooksScheme}
