"""Signed links, for an application that can do no more than open a URL.

The signature is an HMAC-SHA256, in base64url, over the source's name and every other parameter of the query, each
decoded, in the order of their names: an application may encode them again, and reorder parameters of different names.
`hc_expires` is when the link expires (Unix seconds). `hc_once` makes every opening of the link the same event.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import ClassVar, Final
from urllib.parse import parse_qsl, unquote, urlencode

from shared.errors import Rejected
from shared.signatures.auth_scheme import AuthScheme, mismatch
from shared.signatures.locations import RequestFields

EXPIRES: Final = "hc_expires"
ONCE: Final = "hc_once"
SIGNATURE: Final = "hc_sig"
OWN: Final = frozenset({EXPIRES, ONCE, SIGNATURE})
MAX_PARAMETERS: Final = 1_000
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")

Pairs = list[tuple[str, str]]


class LinkScheme(AuthScheme):
    scheme = "link"
    is_in_head: ClassVar[bool] = True

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        request = fields.request
        if request.method != "GET":
            raise mismatch(
                "a link's signature is over its query alone, so it proves a GET and nothing posted",
            )
        verify_link(unquote(request.path.removeprefix("/").partition("/")[0]), request.query, secrets, now)


def parameters(query: str) -> Pairs:
    """Raises Rejected (`too_many_fields`)."""
    plain = _NOT_ASCII.sub(lambda found: f"%{ord(found[0]):02X}", query)  # as an application may send what we encoded
    try:
        return parse_qsl(plain, keep_blank_values=True, errors="surrogateescape", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise Rejected("too_many_fields", f"the query has more than {MAX_PARAMETERS} parameters") from None


def link_signature(source: str, pairs: Pairs, secret: str) -> str:
    """Sign all parameters but the signature itself."""
    others = sorted((pair for pair in pairs if pair[0] != SIGNATURE), key=itemgetter(0))
    signed = urlencode(others, errors="surrogateescape")
    digest = hmac.new(secret.encode(), f"hookchain-link-1\n{source}\n{signed}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def verify_link(source: str, query: str, secrets: Sequence[str], now: float) -> None:
    """Raises Rejected: `signature_mismatch`, `timestamp_out_of_range` for a link that has expired,
    `too_many_fields`."""
    pairs = parameters(query)
    signatures = [value.encode(errors="surrogateescape") for name, value in pairs if name == SIGNATURE]
    matches = [
        hmac.compare_digest(signature, link_signature(source, pairs, secret).encode())
        for signature in signatures[:1]
        for secret in secrets
    ]
    if len(signatures) != 1 or not any(matches):
        raise mismatch(
            "the link's signature is missing, or of another source, other parameters or a secret gone",
        )
    for name, value in pairs:
        if name == EXPIRES and not (value.isascii() and value.isdigit() and len(value) < 16 and now <= int(value)):
            raise Rejected("timestamp_out_of_range", "the link's time is over")


def once_of(query: str) -> str | None:
    once = next((value for name, value in parameters(query) if name == ONCE), None)
    return once.encode(errors="surrogateescape").decode(errors="replace") if once else None


SCHEMES: Final = {"link": LinkScheme}
