"""The causes of a body that cannot be parsed, which its sender must correct.

The sender gets the cause too. It is a text from the tables here, and never has a part of the body in it.
"""

import base64
import re
from types import MappingProxyType
from typing import Final

from shared.formats.parse import structured_format

_SNIFFED_BYTES: Final = 1_024
"""The part of a body that shows how it begins."""
_FORM: Final = re.compile(rb"[\w.%+\[\]-]{1,100}=[^\s{}<>\"]*")
"""The beginning of a browser form: a name, `=`, and no character that a browser would have encoded."""
_BEGINNINGS: Final = MappingProxyType(
    {
        "ndjson": ("json",),
        "yaml": ("json",),
        "xml": ("xml", "plist"),
        "plist": ("plist", "xml"),
        "text": ("json", "xml", "plist", "form"),
    }
)
"""The formats that a body of each format can begin like, if they are not this format alone."""
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/\r\n]{16,}={0,2}\s*")
_POSITION: Final = re.compile(r"\(char ([0-9]+)\)")
_NOT_JSON: Final = (
    ("", re.compile(r"\{\{|\{%|\$\{|<%"), "a template's placeholder stands there, which the sender did not fill"),
    ("", re.compile(r"(?:True|False|None)\b"), "JSON writes true, false and null"),
    ("", re.compile(r"(?:undefined|NaN|nil)\b"), "the sender has no value there"),
    ("", re.compile(r"\[?object "), "the sender sent an object's name: it must write the object as JSON"),
    ("", re.compile(r"//|/\*|#"), "JSON has no comments"),
    ("", re.compile(r"['‘’“”`]"), "JSON has plain double quotation marks only"),
    ("", re.compile(r"\+"), "a number must not begin with +"),
    ("control character", re.compile(r"[\t\r\n]"), "a line break or tab in a text must be written as \\n or \\t"),
    ("escape", re.compile(""), "a backslash in a text must be written twice"),
    ("property name", re.compile(r"[A-Za-z_]\w*\s*:"), "a key must be in double quotation marks"),
    ("Extra data", re.compile(r"[\[{]"), "more JSON follows: if the sender posts JSON lines, set `body: ndjson`"),
    ("Extra data", re.compile(r"[\]}]"), "a closing bracket is too many"),
    ("',' delimiter", re.compile(r"(?<=0)[0-9]"), "a number must not begin with 0"),
    ("',' delimiter", re.compile('"'), "a comma is missing before it"),
    ("',' delimiter", re.compile(r"\w"), 'a quotation mark within a text must be written as \\"'),
    ("", re.compile(r"\s*\Z"), "the body ends there: it was cut on its way, or its length is wrong"),
    ("(char 0)", re.compile(""), "the body does not begin like JSON"),
)
"""The faults in JSON: a part of the parser's message, a pattern of the text at the fault, and the cause.

The first entry counts whose message and pattern both fit. An empty message or pattern always fits.
"""


def cause_of(body: bytes, detail: str, configured: str, declared: str | None) -> str | None:
    """Return the cause; None if none is known.

    detail      the parser's message
    configured  the format that the source's `body` sets; empty if it sets none
    declared    the format of the content type; None if it has none
    """
    if not body.strip():
        return None if "empty" in detail else "the body is empty"
    start = body.lstrip()[:_SNIFFED_BYTES]
    if _is_base64(start):
        return "the body is base64: the sender must send what it stands for"
    begins_like = structured_format(body) or ("form" if _FORM.fullmatch(start) else None)
    expected = configured or declared
    if begins_like and expected and begins_like not in _BEGINNINGS.get(expected, (expected,)):
        beginning = f"the body begins like {'a form' if begins_like == 'form' else begins_like}"
        if configured:
            return f"the source's `body` says {configured}, and {beginning}: correct one of them"
        return f"the content type says {declared}, and {beginning}: the sender must correct one"
    return _cause_in_json(body, detail) if detail.startswith("not JSON: ") else None


def _is_base64(start: bytes) -> bool:
    """Return whether a body begins with base64 of JSON or XML."""
    if not _BASE64.fullmatch(start):
        return False
    text = b"".join(start.split())
    whole_groups = text[: len(text) // 4 * 4]  # the beginning of a longer text may end within a group of four
    try:
        decoded = base64.b64decode(whole_groups)
    except ValueError:
        return False
    return decoded.lstrip()[:1] in {b"{", b"[", b"<"}


def _cause_in_json(body: bytes, detail: str) -> str | None:
    """Return the cause by the parser's message and the text at the fault; None if none is known."""
    position = _POSITION.search(detail)
    if position is None:
        return "JSON must be UTF-8" if "UTF-8" in detail else None
    text = body.decode("utf-8-sig", "replace")
    at = int(position[1])
    # The parser has taken the first brace of a placeholder for an object, and the bracket of `[object` for a list.
    if text[at - 1 : at + 1] in {"{{", "{%", "[o"}:
        at -= 1
    return next((cause for fault, pattern, cause in _NOT_JSON if fault in detail and pattern.match(text, at)), None)
