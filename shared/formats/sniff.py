"""What a body looks like, where its content type says nothing."""

import re
from typing import Final

_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?+[ \t\r\n]*+(bplist00|[{\[<])")
_PLIST: Final = re.compile(rb"<(?:!DOCTYPE\s+)?plist[\s>]")
_HTML: Final = re.compile(rb"[\s\xef\xbb\xbf]*+<!doctype\s+html", re.IGNORECASE)
_LOOKED_AT: Final = 1_024


def structured_format(body: bytes) -> str | None:
    """json, xml or plist where the body begins like one. A number or a word alone is text, though JSON has them."""
    found = _START.match(body)
    if found is None:
        return None
    if found[1] != b"<":
        return "plist" if found[1] == b"bplist00" else "json"
    if _HTML.match(body):
        return None
    return "plist" if _PLIST.search(body, 0, _LOOKED_AT) else "xml"


def is_text(body: bytes) -> bool:
    """UTF-8 without NUL, or marked as UTF-16."""
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in body
