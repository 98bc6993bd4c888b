"""PayPal: a header names the certificate; the signature is over ids, time and the body's CRC-32."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shared.errors import Rejected
from shared.signatures.certificates import (
    PAYPAL_CERTIFICATE,
    PAYPAL_HOST,
    allowed_url,
    certificate,
    common_names,
    fetched,
)
from shared.signatures.content import Named, parse_content, signed_content
from shared.signatures.keys import is_signed_by, public_key
from shared.signatures.reading import Reading
from shared.signatures.scheme import AuthScheme
from shared.signatures.signing import decoded
from shared.signatures.timestamps import verify_timestamp

_CONTENT: Final = parse_content("{header.paypal-transmission-id}|{header.paypal-transmission-time}|{id}|{body.crc32}")
_LASTING: Final = parse_content("{header.paypal-transmission-id}|{body.crc32}")
_SUBJECTS: Final = frozenset({"messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"})


@dataclass(frozen=True, slots=True)
class Unproven:
    """A request that passed every check that needs no certificate. `url` is where its certificate is."""

    url: str
    signature: bytes
    content: bytes


def read_unproven(reading: Reading, auth: AuthScheme, now: float) -> Unproven:
    """Check all that needs no network: algorithm, time, certificate URL. Raises Rejected."""
    request = reading.request
    if not (signature_text := request.header("paypal-transmission-sig")):
        raise Rejected(
            "signature_mismatch", "the request has no signature: it is expected in the header paypal-transmission-sig"
        )
    url = allowed_url(request.header("paypal-cert-url"), PAYPAL_HOST, "certificate_url_not_allowed", PAYPAL_CERTIFICATE)
    if (request.header("paypal-auth-algo") or "").lower() != "sha256withrsa":
        raise Rejected("signature_mismatch", "the header paypal-auth-algo names another algorithm than SHA256withRSA")
    verify_timestamp(request.header("paypal-transmission-time"), now, auth.tolerance_seconds, "rfc3339")
    try:
        signature = decoded(signature_text, "base64")
    except ValueError:
        raise Rejected("signature_mismatch", "the signature is not base64") from None
    return Unproven(url, signature, signed_content(_CONTENT, Named(reading, id=auth.webhook_id)))


def verify_paypal(reading: Reading, auth: AuthScheme, keys: Mapping[str, bytes], now: float) -> None:
    """Raises Rejected: `signature_mismatch`, `timestamp_out_of_range`, `certificate_url_not_allowed`; Temporary without
    the certificate."""
    request = read_unproven(reading, auth, now)
    pem = fetched(keys, request.url)
    if not _SUBJECTS.intersection(common_names(certificate(pem, now))):
        raise Rejected("signature_mismatch", "the certificate is not made out to PayPal's signing of webhooks")
    if not is_signed_by(public_key(pem.decode("ascii", "replace")), "rsa", request.signature, request.content):
        raise Rejected(
            "signature_mismatch", "the signature does not match the ids, the time, the body and the certificate"
        )


def lasting_content(reading: Reading) -> bytes:
    """Return the signed content of a verified request, without the time."""
    return signed_content(_LASTING, Named(reading))
