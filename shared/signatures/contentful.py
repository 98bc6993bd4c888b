"""Contentful's canonical request: method, path, the headers that it names, and body, a line each."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote, urlsplit

from shared.errors import Rejected
from shared.http import Request
from shared.signatures.content import wire
from shared.signatures.macs import matches_any
from shared.signatures.reading import Reading
from shared.signatures.scheme import AuthScheme
from shared.signatures.signing import hmac_text
from shared.signatures.timestamps import verify_timestamp

TIMESTAMP: Final = "x-contentful-timestamp"
SIGNED_HEADERS: Final = "x-contentful-signed-headers"
SIGNATURE: Final = "x-contentful-signature"
_MAX_HEADERS: Final = 64


def verify_contentful(reading: Reading, auth: AuthScheme, secrets: Sequence[str], now: float) -> None:
    """Raises Rejected: `signature_mismatch` or `timestamp_out_of_range`."""
    request = reading.request
    given = request.header(SIGNATURE)
    if not given:
        raise Rejected("signature_mismatch", f"the request has no signature: it is expected in the header {SIGNATURE}")
    verify_timestamp(request.header(TIMESTAMP), now, auth.tolerance_seconds, "ms")
    names = (request.header(SIGNED_HEADERS) or "").split(",")
    if len(names) > _MAX_HEADERS or not {TIMESTAMP, SIGNED_HEADERS} <= set(names):
        raise Rejected(
            "signature_mismatch", f"{SIGNED_HEADERS} does not name itself and the timestamp, or names too many"
        )
    try:
        content = canonical_request(request, reading.url, names)
    except ValueError:  # of a Host header that is no host
        raise Rejected("signature_mismatch", "the signature is over the URL, and the request's is none") from None
    if not matches_any([given.lower()], [hmac_text(content, secret.encode(), "sha256", "hex") for secret in secrets]):
        raise Rejected("signature_mismatch", "the signature does not match the request and the secret")


def canonical_request(request: Request, url: str, names: Sequence[str]) -> bytes:
    """Raises ValueError for what is no URL."""
    headers = ";".join(
        f"{name}:{value.strip()}" for name in sorted(set(names)) if (value := request.header(name)) is not None
    )
    return b"\n".join([request.method.encode(), _path(url).encode(), wire(headers), request.body])


def _path(url: str) -> str:
    """Its query is escaped twice, its path once: so does the provider's own library."""
    parts = urlsplit(url)
    query = "?" + quote(parts.query, safe="-_.!~*'()") if parts.query else ""
    return quote(parts.path + query, safe=";/?:@&=+$,#-_.!~*'()")
