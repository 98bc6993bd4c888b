"""The signature of Contentful: an HMAC of the canonical request, in hex, in the header `x-contentful-signature`.

The canonical request has the method, the path with the query, the signed headers and the body, one on each line. The
header `x-contentful-signed-headers` lists the names of the signed headers:

    POST
    /contentful
    x-contentful-signed-headers:x-contentful-signed-headers,x-contentful-timestamp;x-contentful-timestamp:1700000000000
    {"sys": {"id": "5"}}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final
from urllib.parse import quote, urlsplit

from shared.http import Request
from shared.signatures.auth_scheme import Coverage, NotAttempted, TimedScheme, mismatch
from shared.signatures.content import wire
from shared.signatures.locations import Location, RequestFields
from shared.signatures.signed_times import verify_timestamp
from shared.signatures.signing import hmac_text, matches_any

TIMESTAMP: Final = "x-contentful-timestamp"
SIGNED_HEADERS: Final = "x-contentful-signed-headers"
SIGNATURE: Final = "x-contentful-signature"
TOPIC: Final = "x-contentful-topic"
_MAX_HEADERS: Final = 64
"""The most headers that a request may name as signed."""


@dataclass(eq=False, repr=False, kw_only=True)
class ContentfulScheme(TimedScheme):
    scheme = "contentful"
    coverage_varies: ClassVar[bool] = True
    signature_headers: ClassVar[frozenset[str]] = frozenset({SIGNATURE})
    signs_content: bool = field(init=False, default=True)

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        request = fields.request
        signature = request.header(SIGNATURE)
        if not signature:
            raise NotAttempted(f"the request has no signature: it is expected in the header {SIGNATURE}")
        verify_timestamp(request.header(TIMESTAMP), now, self.tolerance_seconds, "ms")
        names = _signed_names(request)
        # Without these two headers in the signature, whoever repeats a request could change them.
        if len(names) > _MAX_HEADERS or not {TIMESTAMP, SIGNED_HEADERS} <= set(names):
            raise mismatch(f"{SIGNED_HEADERS} does not name itself and the timestamp, or names too many")
        try:
            content = canonical_request(request, fields.url, names)
        except ValueError:  # the Host header is not a host
            raise mismatch("the signature is over the URL, and the request's is none") from None
        expected = [hmac_text(content, secret.encode(), "sha256", "hex") for secret in secrets]
        if not matches_any([signature.lower()], expected):
            raise mismatch("the signature does not match the request and the secret")

    def coverage(self, unpacked: str, request: Request) -> Coverage:
        headers = frozenset(Location("header", (name,)) for name in _signed_names(request))
        return Coverage(body=True, body_fields=True, query=True, locations=headers)

    def signed_content(self, fields: RequestFields) -> bytes:
        request = fields.request
        # The topic tells events with the same body apart. The rest of the canonical request says nothing of the event.
        topic = request.header(TOPIC) if TOPIC in _signed_names(request) else None
        return wire(f"{topic or ''}\n") + request.body

    def signed_time(self, fields: RequestFields) -> str:
        return fields.request.header(TIMESTAMP) or ""


def _signed_names(request: Request) -> list[str]:
    return (request.header(SIGNED_HEADERS) or "").split(",")


def canonical_request(request: Request, url: str, names: Sequence[str]) -> bytes:
    """Return the bytes that are signed. `names` are the names of the signed headers.

    Raises ValueError if `url` is not a URL.
    """
    headers: list[str] = []
    for name in sorted(set(names)):
        value = request.header(name)
        if value is not None:
            headers.append(f"{name}:{value.strip()}")
    return b"\n".join([request.method.encode(), _path(url).encode(), wire(";".join(headers)), request.body])


def _path(url: str) -> str:
    """Return the path and query as Contentful's own library signs them: the query escaped twice, the path once."""
    parts = urlsplit(url)
    query = "?" + quote(parts.query, safe="-_.!~*'()") if parts.query else ""
    return quote(parts.path + query, safe=";/?:@&=+$,#-_.!~*'()")


SCHEMES: Final = {"contentful": ContentfulScheme}
