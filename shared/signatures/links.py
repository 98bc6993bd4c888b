"""Signed links, for applications that can do no more than open a URL.

The signature is an HMAC-SHA256 in base64url. It covers the source's name and all parameters of the query except the
signature itself, decoded and sorted by name. So an application may encode the parameters differently, and may change
the order of parameters that have different names.

`hc_expires` is the time at which the link expires, in Unix seconds. A link with `hc_once` makes one event, even
if it is opened several times.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import ClassVar, Final
from urllib.parse import parse_qsl, unquote, urlencode

from shared.errors import Rejected
from shared.jsontext import base64url
from shared.signatures.auth_scheme import AuthScheme, mismatch
from shared.signatures.locations import RequestFields

EXPIRES: Final = "hc_expires"
ONCE: Final = "hc_once"
SIGNATURE: Final = "hc_sig"
OWN: Final = frozenset({EXPIRES, ONCE, SIGNATURE})
"""The parameters that belong to the link itself, and not to the event."""
MAX_PARAMETERS: Final = 1_000
"""The most parameters of a link's query."""
MAX_EXPIRES_DIGITS: Final = 15
"""The most digits of a time in Unix seconds, far more than any time has."""
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")

Pairs = list[tuple[str, str]]
"""Decoded names and values of a query's parameters. A byte that is not UTF-8 is a surrogate, as `surrogateescape` makes
it, so that encoding the pairs again restores every byte that was signed."""


class LinkScheme(AuthScheme):
    """The signature of a link."""

    scheme = "link"
    is_in_head: ClassVar[bool] = True

    def verify(self, fields: RequestFields, secrets: Sequence[str], keys: Mapping[str, bytes], now: float) -> None:
        request = fields.request
        if request.method != "GET":
            raise mismatch(
                "a link's signature is over its query alone, so it proves a GET and nothing posted",
            )
        first_segment = request.path.removeprefix("/").partition("/")[0]
        source = unquote(first_segment)
        verify_link(source, request.query, secrets, now)


def parameters(query: str) -> Pairs:
    """Return the query's parameters, decoded. Raises Rejected (`too_many_fields`)."""
    # A server passes on each byte that an application did not percent-encode as one character of Latin-1.
    ascii_query = _NOT_ASCII.sub(_percent_encoded, query)
    try:
        return parse_qsl(ascii_query, keep_blank_values=True, errors="surrogateescape", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise Rejected("too_many_fields", f"the query has more than {MAX_PARAMETERS} parameters") from None


def _percent_encoded(character: re.Match[str]) -> str:
    return f"%{ord(character[0]):02X}"


def link_signature(source: str, pairs: Pairs, secret: str) -> str:
    """Return the signature of the parameters. A signature among the pairs is left out."""
    signed_pairs = [pair for pair in pairs if pair[0] != SIGNATURE]
    # Sorting by name alone keeps the order of parameters of one name.
    signed_pairs.sort(key=itemgetter(0))
    signed_query = urlencode(signed_pairs, errors="surrogateescape")
    content = f"hookchain-link-1\n{source}\n{signed_query}".encode()
    digest = hmac.new(secret.encode(), content, hashlib.sha256).digest()
    return base64url(digest)


def verify_link(source: str, query: str, secrets: Sequence[str], now: float) -> None:
    """Verify that one of the secrets signed the link and that it has not expired.

    Raises Rejected: `signature_mismatch`, `timestamp_out_of_range` or `too_many_fields`.
    """
    pairs = parameters(query)
    signatures = [value for name, value in pairs if name == SIGNATURE]
    if len(signatures) != 1:
        raise mismatch(f"the link must have one signature, as `{SIGNATURE}`: `hookchain link` prints links with one")
    if not _is_signed(source, pairs, signatures[0], secrets):
        raise mismatch("the link was changed, or made for another source or with a secret that is no longer valid")
    for name, value in pairs:
        if name == EXPIRES and not _is_future(value, now):
            raise Rejected("timestamp_out_of_range", "the link's time is over")


def _is_signed(source: str, pairs: Pairs, signature: str, secrets: Sequence[str]) -> bool:
    """Return whether one of the secrets made the signature.

    All secrets are tried, so that the time taken does not reveal which one matches.
    """
    sent = signature.encode(errors="surrogateescape")
    expected = [link_signature(source, pairs, secret).encode() for secret in secrets]
    matches = [hmac.compare_digest(sent, each) for each in expected]
    return any(matches)


def _is_future(expires: str, now: float) -> bool:
    """Return whether the time is not over. A text that is not a time in Unix seconds counts as over."""
    is_time = expires.isascii() and expires.isdigit() and len(expires) <= MAX_EXPIRES_DIGITS
    return is_time and now <= int(expires)


def once_of(query: str) -> str | None:
    """Return the value of `hc_once`, with a replacement character for bytes that are not UTF-8; None if it is absent.

    Raises Rejected (`too_many_fields`).
    """
    for name, value in parameters(query):
        if name == ONCE:
            return value.encode(errors="surrogateescape").decode(errors="replace") or None
    return None


SCHEMES: Final = {"link": LinkScheme}
