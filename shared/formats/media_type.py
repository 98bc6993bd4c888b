"""The format of a body: named by its content type, else shown by its first bytes.

Content-Type and Content-Disposition have the form `type/subtype; name=value; name="value"`.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

# A quoted value without its closing mark is all that follows (https://mimesniff.spec.whatwg.org): nothing inside a
# quoted value, however long it is, may be read as another parameter.
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
    *((family, "bytes") for family in ("image/", "audio/", "video/", "font/")),
)
_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?+[ \t\r\n]*+(bplist00|[{\[<])")
_PLIST: Final = re.compile(rb"<(?:!DOCTYPE\s+)?plist[\s>]")
_HTML: Final = re.compile(rb"[\s\xef\xbb\xbf]*+<!doctype\s+html", re.IGNORECASE)
_LOOKED_AT: Final = 1_024


class MediaType(NamedTuple):
    """`name`, `charset` and the parameters' names are in lower case; the parameters' values are as they came.

    `name` may be empty. `format` is the one that the name stands for; None if it says nothing.
    """

    name: str
    parameters: Mapping[str, str]
    charset: str | None
    format: str | None


@lru_cache(maxsize=64)
def media_type(header: str) -> MediaType:
    """Parse a header. Never raises: a malformed header yields what can be read."""
    name, _, rest = header.partition(";")
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(";" + rest):
        quoted, bare = found[2], found[3]
        # Only what must be escaped is taken as escaped: old browsers send `C:\path` as it is.
        value = bare.strip() if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted)
        parameters.setdefault(found[1].lower(), value)
    name = name.strip().lower()
    return MediaType(name, parameters, parameters.get("charset", "").lower() or None, named_format(name))


def named_format(type_name: str) -> str | None:
    """Return the format of a content type; None for text/plain, bytes of no kind, an unknown type or none at all."""
    if type_name == "text/plain":
        return None
    if found := _BY_TYPE.get(type_name):
        return found
    for suffix, format_name in _BY_SUFFIX:
        if type_name.endswith(suffix):
            return format_name
    return next((format_name for family, format_name in _BY_FAMILY if type_name.startswith(family)), None)


def structured_format(body: bytes) -> str | None:
    """Return json, xml or plist where the body begins like one. A number or a word alone is text, though it is JSON."""
    found = _START.match(body)
    if found is None:
        return None
    if found[1] != b"<":
        return "plist" if found[1] == b"bplist00" else "json"
    if _HTML.match(body):
        return None
    return "plist" if _PLIST.search(body, 0, _LOOKED_AT) else "xml"


def is_text(body: bytes) -> bool:
    """Return whether the body is UTF-8 without NUL, or marked as UTF-16."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in body
