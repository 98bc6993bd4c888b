"""PayPal: a header names the certificate; the signature is over ids, time and the body's CRC-32."""

from collections.abc import Mapping
from typing import Final

from shared.errors import Rejected
from shared.signatures.allowed_urls import PAYPAL_CERTIFICATE, PAYPAL_HOST, allowed_url
from shared.signatures.asymmetric import is_signed_by
from shared.signatures.certificates import certificate, common_names, fetched
from shared.signatures.content import Named, parse_content, signed_content
from shared.signatures.encodings import decoded
from shared.signatures.keys import public_key
from shared.signatures.reading import Reading
from shared.signatures.timestamps import verify_timestamp
from shared.signatures.way import Way

_CONTENT: Final = parse_content("{header.paypal-transmission-id}|{header.paypal-transmission-time}|{id}|{body.crc32}")
_LASTING: Final = parse_content("{header.paypal-transmission-id}|{body.crc32}")
_SUBJECTS: Final = frozenset({"messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"})


def certificate_url(reading: Reading) -> str:
    """Raises Rejected (`sig`, `cert_url`)."""
    if not reading.request.header("paypal-transmission-sig"):
        raise Rejected("sig", "the request has no signature: it is expected in the header paypal-transmission-sig")
    return allowed_url(reading.request.header("paypal-cert-url"), PAYPAL_HOST, "cert_url", PAYPAL_CERTIFICATE)


def verify_paypal(reading: Reading, way: Way, keys: Mapping[str, bytes], now: float) -> None:
    """Raises Rejected: `sig`, `ts`, `cert_url`; Temporary without the certificate."""
    request = reading.request
    url = certificate_url(reading)
    if (request.header("paypal-auth-algo") or "").lower() != "sha256withrsa":
        raise Rejected("sig", "the header paypal-auth-algo names another algorithm than SHA256withRSA")
    verify_timestamp(request.header("paypal-transmission-time"), now, way.tolerance_seconds, "rfc3339")
    content = signed_content(_CONTENT, Named(reading, id=way.webhook_id))
    pem = fetched(keys, url)
    if not _SUBJECTS.intersection(common_names(certificate(pem, now))):
        raise Rejected("sig", "the certificate is not made out to PayPal's signing of webhooks")
    try:
        signature = decoded(request.header("paypal-transmission-sig") or "", "base64")
    except ValueError:
        raise Rejected("sig", "the signature is not base64") from None
    if not is_signed_by(public_key(pem.decode("ascii", "replace")), "rsa", signature, content):
        raise Rejected("sig", "the signature does not match the ids, the time, the body and the certificate")


def lasting_content(reading: Reading) -> bytes:
    """What is signed of a request that was verified, without the time."""
    return signed_content(_LASTING, Named(reading))
