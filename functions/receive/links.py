"""Signed links, for an application that can do no more than open a URL, and the event that a GET's query holds.

The signature is an HMAC-SHA256, in base64url, over the source's name and every other parameter of the query, each
decoded, in the order of their names: an application may encode them again, and reorder parameters of different names.
`hc_expires` is when the link expires (Unix seconds). `hc_once` makes every opening of the link the same event.

The event is a document under `body`, percent- or base64url-encoded, or else the query's plain fields.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes, urlencode

from shared.errors import Rejected
from shared.formats.media_type import is_text, structured_format
from shared.formats.parse import parse_as

if TYPE_CHECKING:
    from functions.receive.source import Source

EXPIRES: Final = "hc_expires"
ONCE: Final = "hc_once"
SIGNATURE: Final = "hc_sig"
OWN: Final = frozenset({EXPIRES, ONCE, SIGNATURE})
MAX_PARAMETERS: Final = 1_000
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
BODY: Final = b"body"
_BASE64: Final = re.compile(rb"[A-Za-z0-9_/ +-]{2,}={0,2}")
"""Both alphabets of base64: a text without `-` and `_` is the same in either. A `+` that was not escaped has become a
space."""

Pairs = list[tuple[str, str]]


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
    given = [value.encode(errors="surrogateescape") for name, value in pairs if name == SIGNATURE]
    matches = [
        hmac.compare_digest(each, link_signature(source, pairs, secret).encode())
        for each in given[:1]
        for secret in secrets
    ]
    if len(given) != 1 or not any(matches):
        raise Rejected(
            "signature_mismatch",
            "the link's signature is missing, or of another source, other parameters or a secret gone",
        )
    for name, value in pairs:
        if name == EXPIRES and not (value.isascii() and value.isdigit() and len(value) < 16 and now <= int(value)):
            raise Rejected("timestamp_out_of_range", "the link's time is over")


def once_of(query: str) -> str | None:
    once = next((value for name, value in parameters(query) if name == ONCE), None)
    return once.encode(errors="surrogateescape").decode(errors="replace") if once else None


class QueryBody(NamedTuple):
    """`content` is the body that the sender would have posted; `format` is the one that it looks like."""

    content: bytes
    format: str


def query_body(source: "Source", query: str) -> QueryBody:
    """Return the event that a query holds, without what authenticates its sender."""
    proof = OWN | {auth.parameter for auth in source.auth if auth.scheme == "query"}
    proof |= {auth.at.name for auth in source.auth if auth.at and auth.at.kind == "query"}
    parts = [part for part in query.encode("latin-1", "replace").split(b"&") if part]
    for part in parts:
        name, equals, value = part.partition(b"=")
        if equals and _decoded(name) == BODY:
            return document_in(_decoded(value))
    fields = [part for part in parts if _decoded(part.partition(b"=")[0]).decode(errors="replace") not in proof]
    return QueryBody(b"&".join(fields), "form")


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def document_in(content: bytes) -> QueryBody:
    if _BASE64.fullmatch(content) and (inner := _from_base64(content)) and (kind := _kind(inner)) != "text":
        return QueryBody(inner, kind)
    return QueryBody(content, _kind(content))


def _from_base64(content: bytes) -> bytes | None:
    bare = content.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/").replace(b" ", b"+")
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4))
    except binascii.Error:
        return None


def _kind(content: bytes) -> str:
    """Return the format that the content looks like: YAML for an object or a list, since a word alone is text."""
    if found := structured_format(content):
        return found
    if not is_text(content):
        return "text"
    try:
        return "yaml" if isinstance(parse_as("yaml", content, None).data, dict | list) else "text"
    except Rejected as error:
        return "text" if error.code == "malformed_body" else "yaml"
