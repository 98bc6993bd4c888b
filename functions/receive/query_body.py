"""The event that the query of a GET holds: of a signed link, or of a sender that supports nothing else.

It is a document under `body`, percent- or base64url-encoded, or else the query's plain fields.
"""

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from shared.errors import Rejected
from shared.formats.media_type import is_text, structured_format
from shared.formats.parse import parse_as
from shared.signatures.links import OWN

if TYPE_CHECKING:
    from functions.receive.source import Source

BODY: Final = b"body"
_BASE64: Final = re.compile(rb"[A-Za-z0-9_/ +-]{2,}={0,2}")
"""Both alphabets of base64: a text without `-` and `_` is the same in either. A `+` that was not escaped has become a
space."""


class QueryBody(NamedTuple):
    """`content` is the body that the sender would have posted; `format` is the one that it looks like."""

    content: bytes
    format: str


def query_body(source: "Source", query: str) -> QueryBody:
    """Return the event that a query holds, without what authenticates its sender."""
    proof = OWN | {each.name for auth in source.auth for each in auth.credentials if each.kind == "query"}
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
