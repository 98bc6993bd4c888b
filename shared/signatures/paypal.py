"""The signature of PayPal, whose requests name the certificate that verifies them.

PayPal signs ids, the time and the body's CRC-32: https://developer.paypal.com/api/rest/webhooks/rest/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from shared import http
from shared.signatures import auth_scheme, locations, signed_times, signing
from shared.signatures.certificates import allowed_url, certificate, common_names
from shared.signatures.content import Values, filled_template, parse_content
from shared.signatures.keys import is_signed_by, public_key

HOST: Final = r"api(-m)?(\.sandbox)?\.paypal\.com"
CERTIFICATE_PATH: Final = r"/v1/notifications/certs/[A-Za-z0-9._-]+"
"""The paths of certificates, without a query."""
_CONTENT: Final = parse_content("{header.paypal-transmission-id}|{header.paypal-transmission-time}|{id}|{body.crc32}")
"""The content that PayPal signs. The id is that of the webhook."""
_LASTING: Final = parse_content("{header.paypal-transmission-id}|{body.crc32}")
"""The part of it that is the same each time PayPal sends the event."""
_SUBJECTS: Final = frozenset({"messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"})
"""The common names of PayPal's certificates for webhooks."""


class UnprovenRequest(NamedTuple):
    """A request that passed every check that needs no certificate. `url` is the URL of its certificate."""

    url: str
    signature: bytes
    content: bytes


@dataclass(eq=False, repr=False, kw_only=True)
class PayPalScheme(auth_scheme.TimedScheme):
    """The signature of PayPal. `webhook_id` is the id that PayPal's settings show for the webhook."""

    scheme = "paypal"
    signature_headers: ClassVar[frozenset[str]] = frozenset({"paypal-transmission-sig"})
    webhook_id: str
    signs_content: bool = field(init=False, default=True)
    needs_key: bool = field(init=False, default=True)

    def verify(
        self, fields: locations.RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float
    ) -> None:
        request = self._read_unproven(fields, now)
        pem = auth_scheme.fetched_key(keys, request.url)
        names = common_names(certificate(pem, now))
        if _SUBJECTS.isdisjoint(names):
            raise auth_scheme.mismatch("the certificate is not that of PayPal's webhook signatures")
        key = public_key(pem.decode("ascii", "replace"))
        if not is_signed_by(key, "rsa", request.signature, request.content):
            raise auth_scheme.mismatch("the signature does not match the ids, the time, the body and the certificate")

    def needed_key(self, fields: locations.RequestFields, now: float) -> auth_scheme.NeededKey:
        return auth_scheme.NeededKey(self._read_unproven(fields, now).url, is_configured=False)

    def _read_unproven(self, fields: locations.RequestFields, now: float) -> UnprovenRequest:
        """Return the request once all checks have passed that need no network: of the URL, the algorithm and the time.

        Raises Rejected: `signature_mismatch`, `timestamp_out_of_range` or `certificate_url_not_allowed`.
        """
        request = fields.request
        if not (signature_text := request.header("paypal-transmission-sig")):
            raise auth_scheme.NotAttempted(
                "the request has no signature: it is expected in the header paypal-transmission-sig"
            )
        url = allowed_url(request.header("paypal-cert-url"), HOST, "certificate_url_not_allowed", CERTIFICATE_PATH)
        if (request.header("paypal-auth-algo") or "").lower() != "sha256withrsa":
            raise auth_scheme.mismatch("the header paypal-auth-algo names another algorithm than SHA256withRSA")
        signed_times.verify_timestamp(
            request.header("paypal-transmission-time"), now, self.tolerance_seconds, "rfc3339"
        )
        try:
            signature = signing.decode_bytes(signature_text, "base64")
        except ValueError:
            raise auth_scheme.mismatch("the signature is not base64") from None
        content = filled_template(_CONTENT, Values(fields, id=self.webhook_id))
        return UnprovenRequest(url, signature, content)

    def coverage(self, unpacked: str, request: http.Request) -> auth_scheme.Coverage:
        return auth_scheme.Coverage(body_fields=True)  # a checksum of the body is signed

    def signed_content(self, fields: locations.RequestFields) -> bytes:
        return filled_template(_LASTING, Values(fields))

    def signed_time(self, fields: locations.RequestFields) -> str:
        return fields.request.header("paypal-transmission-time") or ""


SCHEMES: Final = {"paypal": PayPalScheme}
