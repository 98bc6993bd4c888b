"""The format of a body, and its parser.

The content type names the format, or else the first bytes show it. Content-Type and Content-Disposition have the form
`type/subtype; name=value; name="value"`. The parser of a format is imported with the first body of that format.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import import_module
from typing import Final, NamedTuple

from shared import errors
from shared.jsontext import Json
from shared.limits import DEFAULT, Limits

# A parameter such as `; charset=utf-8` or `; name="a; \"b\""`. Its groups are the name, a value in quotation marks and
# a bare value. A quoted value without its closing mark goes on to the end (https://mimesniff.spec.whatwg.org). So
# nothing inside a quoted value can be read as another parameter. A quantifier with `+` after it never gives back what
# it took, so that a malformed header costs no more time than another of its length.
_PARAMETER: Final = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.?+)*+)(?:"|\Z)|([^;]*+))', re.DOTALL)
_TYPES: Final = {
    "json": ("application/json", "text/json", "application/x-json", "application/csp-report"),
    "ndjson": (
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
        "application/json-seq",
        "application/stream+json",
    ),
    "xml": ("application/xml", "text/xml"),
    "yaml": ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/vnd.yaml"),
    "form": ("application/x-www-form-urlencoded",),
    "csv": ("text/csv", "application/csv", "text/tab-separated-values"),
    "plist": (
        "application/x-plist",
        "application/x-bplist",
        "application/x-apple-plist",
        "application/x-apple-binary-plist",
        "application/x-apple-aspen-mdm",
        "application/x-apple-aspen-mdm-checkin",
    ),
}
_BY_TYPE: Final = {type_name: format_name for format_name, type_names in _TYPES.items() for type_name in type_names}
_BY_SUFFIX: Final = (("+json", "json"), ("+xml", "xml"), ("+yaml", "yaml"))
_BY_FAMILY: Final = (
    ("multipart/", "multipart"),
    ("text/", "text"),
    ("image/", "bytes"),
    ("audio/", "bytes"),
    ("video/", "bytes"),
    ("font/", "bytes"),
)
_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?+[ \t\r\n]*+(bplist00|[{\[<])")
"""The beginning of a body that is a binary property list, JSON (`{` or `[`) or XML (`<`). A byte order mark and white
space may come before it."""
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16, whose text has NUL in it."""
_PLIST: Final = re.compile(rb"<(?:!DOCTYPE\s+)?plist[\s>]")
_HTML: Final = re.compile(rb"[\s\xef\xbb\xbf]*+<!doctype\s+html", re.IGNORECASE)
_SNIFFED_BYTES: Final = 1_024
"""The number of bytes at the beginning of an XML body in which the root element of a property list is searched for."""


class MediaType(NamedTuple):
    """A parsed content type, or another header of the same form.

    name         the type, in lower case, such as `application/json`; may be empty
    parameters   the values as they were sent, by the names in lower case
    charset      the parameter of this name, in lower case; None if there is none
    format       the format that the type stands for; None if it stands for none
    """

    name: str
    parameters: Mapping[str, str]
    charset: str | None
    format: str | None


@lru_cache(maxsize=64)
def media_type(header: str) -> MediaType:
    """Return the parsed header. Never raises: what is malformed is left out.

    `text/csv; charset=UTF-8` has the name `text/csv`, the charset `utf-8` and the format `csv`.
    """
    name, _, rest = header.partition(";")
    parameters: dict[str, str] = {}
    for parameter in _PARAMETER.finditer(";" + rest):
        quoted, bare = parameter[2], parameter[3]
        # Any other backslash is a character like any other: old browsers send `C:\path` as it is.
        value = bare.strip() if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted)
        parameters.setdefault(parameter[1].lower(), value)
    type_name = name.strip().lower()
    charset = parameters.get("charset", "").lower() or None
    return MediaType(type_name, parameters, charset, named_format(type_name))


def named_format(type_name: str) -> str | None:
    """Return the format of a content type, such as `json` for `application/vnd.api+json`.

    Return None for text/plain, because many senders state it for any body, and for application/octet-stream, an unknown
    type and an empty one.
    """
    if type_name == "text/plain":
        return None
    if format_of_type := _BY_TYPE.get(type_name):
        return format_of_type
    for suffix, format_name in _BY_SUFFIX:
        if type_name.endswith(suffix):
            return format_name
    return next((format_name for family, format_name in _BY_FAMILY if type_name.startswith(family)), None)


def structured_format(body: bytes) -> str | None:
    """Return json, xml or plist if the body begins like one, else None.

    A number or a word alone is text, although it is JSON. An HTML page is text, although it looks like XML.
    """
    start = _START.match(body)
    if start is None:
        return None
    if start[1] != b"<":
        return "plist" if start[1] == b"bplist00" else "json"
    if _HTML.match(body):
        return None
    return "plist" if _PLIST.search(body, 0, _SNIFFED_BYTES) else "xml"


Parser = Callable[[bytes, MediaType, Limits], Json]

_ELSEWHERE: Final = {"bytes": ("text_body", "parse_bytes"), "ndjson": ("json_body", "parse_lines")}
"""The module and the function of each parser that is not `parse` in `<format>_body.py`."""


class Parsed(NamedTuple):
    """`format`: json, ndjson, xml, yaml, form, multipart, plist, csv, text or bytes."""

    data: Json
    format: str


def parse_body(body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """Parse a body by its content type. Raises Rejected and nothing else.

    A body must parse as the format that the content type names. One exception: JSON may be called a form, because
    `curl -d` calls everything a form. A body that begins like JSON and has no `=` is not a form.

    If the content type names no format, a body that begins like JSON, XML or a property list, and parses as such, is
    one. Any other body is text, or bytes if it is not text. A body that passes a limit is rejected in every case.
    """
    media = media_type(content_type or "")
    if media.format == "form" and body.lstrip()[:1] in (b"{", b"["):
        if b"=" not in body:
            return parse_as("json", body, content_type, limits)
        return parse_if("json", body, content_type, limits) or parse_as("form", body, content_type, limits)
    if media.format:
        return parse_as(media.format, body, content_type, limits)
    format_name = structured_format(body)
    if format_name and (parsed := parse_if(format_name, body, content_type, limits)):
        return parsed
    if media.charset or media.name.startswith("text/"):
        return parse_as("text", body, content_type, limits)
    may_be_text = b"\0" not in body or body.startswith(_UTF_16_MARKS)
    text = parse_if("text", body, content_type, limits) if may_be_text else None
    return text or parse_as("bytes", body, content_type, limits)


def parse_as(format_name: str, body: bytes, content_type: str | None, limits: Limits = DEFAULT) -> Parsed:
    """Parse a body in the format that the configuration names, whatever the content type. Raises Rejected."""
    media = media_type(content_type or "")
    try:
        return Parsed(_parser_of(format_name)(body, media, limits), format_name)
    except (RecursionError, MemoryError):  # within the limits, only on a machine whose memory is full
        raise errors.Rejected("too_many_values", f"the {format_name} body needs more memory than there is") from None


@cache
def _parser_of(format_name: str) -> Parser:
    module, function = _ELSEWHERE.get(format_name, (f"{format_name}_body", "parse"))
    parser: Parser = getattr(import_module(f"shared.formats.{module}"), function)
    return parser


def parse_if(format_name: str, body: bytes, content_type: str | None, limits: Limits) -> Parsed | None:
    """Return the parsed body; None if it does not parse. Raises Rejected if it passes a limit."""
    try:
        return parse_as(format_name, body, content_type, limits)
    except errors.Rejected as error:
        if error.code != "malformed_body":
            raise
    return None
