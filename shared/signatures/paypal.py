"""PayPal: a header names the certificate; the signature is over ids, time and the body's CRC-32."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from shared.errors import Rejected
from shared.http import Request
from shared.signatures.auth_scheme import Coverage, NeededKey, NotAttempted, TimedScheme
from shared.signatures.certificates import (
    PAYPAL_CERTIFICATE,
    PAYPAL_HOST,
    allowed_url,
    certificate,
    common_names,
    fetched,
)
from shared.signatures.content import TemplateValues, filled_template, parse_content
from shared.signatures.keys import is_signed_by, public_key
from shared.signatures.locations import RequestFields
from shared.signatures.signing import decoded
from shared.signatures.timestamps import verify_timestamp

_CONTENT: Final = parse_content("{header.paypal-transmission-id}|{header.paypal-transmission-time}|{id}|{body.crc32}")
_LASTING: Final = parse_content("{header.paypal-transmission-id}|{body.crc32}")
_SUBJECTS: Final = frozenset({"messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"})


class Unproven(NamedTuple):
    """A request that passed every check that needs no certificate. `url` is where its certificate is."""

    url: str
    signature: bytes
    content: bytes


@dataclass(eq=False, repr=False, kw_only=True)
class PayPalScheme(TimedScheme):
    scheme = "paypal"
    webhook_id: str
    signs_content: bool = field(init=False, default=True)
    needs_key: bool = field(init=False, default=True)

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        request = self._read_unproven(fields, now)
        pem = fetched(keys, request.url)
        if not _SUBJECTS.intersection(common_names(certificate(pem, now))):
            raise Rejected("signature_mismatch", "the certificate is not that of PayPal's webhook signatures")
        if not is_signed_by(public_key(pem.decode("ascii", "replace")), "rsa", request.signature, request.content):
            raise Rejected(
                "signature_mismatch", "the signature does not match the ids, the time, the body and the certificate"
            )

    def needed_key(self, fields: RequestFields, now: float) -> NeededKey:
        return NeededKey(self._read_unproven(fields, now).url, is_configured=False)

    def _read_unproven(self, fields: RequestFields, now: float) -> Unproven:
        """Check all that needs no network: algorithm, time, URL. Raises Rejected (`signature_mismatch`,
        `timestamp_out_of_range`, `certificate_url_not_allowed`)."""
        request = fields.request
        if not (signature_text := request.header("paypal-transmission-sig")):
            raise NotAttempted("the request has no signature: it is expected in the header paypal-transmission-sig")
        url = allowed_url(
            request.header("paypal-cert-url"), PAYPAL_HOST, "certificate_url_not_allowed", PAYPAL_CERTIFICATE
        )
        if (request.header("paypal-auth-algo") or "").lower() != "sha256withrsa":
            raise Rejected(
                "signature_mismatch", "the header paypal-auth-algo names another algorithm than SHA256withRSA"
            )
        verify_timestamp(request.header("paypal-transmission-time"), now, self.tolerance_seconds, "rfc3339")
        try:
            signature = decoded(signature_text, "base64")
        except ValueError:
            raise Rejected("signature_mismatch", "the signature is not base64") from None
        return Unproven(url, signature, filled_template(_CONTENT, TemplateValues(fields, id=self.webhook_id)))

    def coverage(self, unpacked: str, request: Request) -> Coverage:
        return Coverage(body_fields=True)  # a checksum of the body is signed

    def signed_content(self, fields: RequestFields) -> bytes:
        return filled_template(_LASTING, TemplateValues(fields))

    def signed_time(self, fields: RequestFields) -> str:
        return fields.request.header("paypal-transmission-time") or ""
