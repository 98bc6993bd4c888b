"""The event that a GET's query holds: under `body` a document, percent- or base64url-encoded, else plain fields."""

import base64
import binascii
import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from functions.receive.link import OWN
from functions.receive.sources import Source
from shared.errors import Rejected
from shared.formats.parse import parse_as
from shared.formats.sniff import is_text, structured_format

BODY: Final = b"body"
_BASE64: Final = re.compile(rb"[A-Za-z0-9_/ +-]{2,}={0,2}")
"""In either alphabet: what is base64 without `-` and `_` would else be taken for one body and not for another. A `+`
that was not escaped has become a space."""


class QueryBody(NamedTuple):
    """`content` is what the sender would have posted; `format` is what it looks like."""

    content: bytes
    format: str


def query_body(source: Source, query: str) -> QueryBody:
    """What proves the sender is no part of it."""
    proof = OWN | {way.parameter for way in source.auth if way.scheme == "query"}
    proof |= {way.at.name for way in source.auth if way.at and way.at.kind == "query"}
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
    """YAML where it makes more than one text: a word alone is text."""
    if found := structured_format(content):
        return found
    if not is_text(content):
        return "text"
    try:
        return "yaml" if isinstance(parse_as("yaml", content, None).data, dict | list) else "text"
    except Rejected as error:
        return "text" if error.code == "parse" else "yaml"
