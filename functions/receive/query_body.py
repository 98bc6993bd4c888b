"""The body of a GET request: the event that the query of a link holds."""

import base64
import binascii
import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from functions.receive.source import Source
from shared.errors import Rejected
from shared.formats import parse
from shared.signatures.links import OWN

BODY_PARAMETER: Final = b"body"
"""The parameter that holds a whole document. In a query without it, the other parameters are the event."""

_BASE64: Final = rb"[A-Za-z0-9_/ +-]{2,}={0,2}"
"""A text in either alphabet of base64. A `+` that was not escaped has become a space."""


class QueryBody(NamedTuple):
    """The body that a sender would have posted: its bytes, and the format that they seem to have."""

    content: bytes
    format: str


def query_body(source: Source, query: str) -> QueryBody:
    """Return the event that a query holds, without what authenticates its sender."""
    parameters = [parameter for parameter in query.encode("latin-1", "replace").split(b"&") if parameter]
    for parameter in parameters:
        name, equals, value = parameter.partition(b"=")
        if equals and _unescaped(name) == BODY_PARAMETER:
            return document_in(_unescaped(value))
    credentials = OWN | {each.name for auth in source.auth for each in auth.credentials if each.kind == "query"}
    fields = [parameter for parameter in parameters if _name_of(parameter) not in credentials]
    return QueryBody(b"&".join(fields), "form")


def _name_of(parameter: bytes) -> str:
    name, _, _ = parameter.partition(b"=")
    return _unescaped(name).decode(errors="replace")


def _unescaped(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def document_in(text: bytes) -> QueryBody:
    """Return the document that a text is, or that it holds as base64.

    Many words could be base64 by chance. So a text is decoded only if the result looks like JSON, XML, a property list
    or YAML.
    """
    if re.fullmatch(_BASE64, text):
        decoded = _from_base64(text)
        if decoded:
            decoded_format = _likely_format(decoded)
            if decoded_format != "text":
                return QueryBody(decoded, decoded_format)
    return QueryBody(text, _likely_format(text))


def _from_base64(text: bytes) -> bytes | None:
    """Return the bytes that the text stands for in either alphabet; None if it is not base64."""
    digits = text.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/").replace(b" ", b"+")
    padding = b"=" * (-len(digits) % 4)
    try:
        return base64.b64decode(digits + padding)
    except binascii.Error:
        return None


def _likely_format(content: bytes) -> str:
    """Return the format that the content looks like. It is YAML only for an object or a list: a word alone is text."""
    structured = parse.structured_format(content)
    if structured is not None:
        return structured
    try:
        data = parse.parse_as("yaml", content, None).data
    except Rejected as error:
        # By any other error, the content is YAML that passes a limit. It is rejected for the limit when it is parsed.
        return "text" if error.code == "malformed_body" else "yaml"
    return "yaml" if isinstance(data, dict | list) else "text"
