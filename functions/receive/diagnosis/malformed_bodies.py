"""The causes of a body that cannot be parsed, which its sender must correct.

The sender gets the cause too. It is a text from the tables here, and never has a part of the body in it.
"""

import base64
import re
from types import MappingProxyType
from typing import Final, NamedTuple

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
"""The formats that the bodies of a format may begin like. The bodies of all other formats begin like their own only."""
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/\r\n]{16,}={0,2}\s*")
_POSITION: Final = re.compile(r"\(char ([0-9]+)\)")


class _JsonFault(NamedTuple):
    """A fault in JSON, and how it is recognised.

    text     a pattern that matches the body at the fault; an empty one matches anything
    message  a part of the parser's message; empty for any message
    """

    cause: str
    text: str = ""
    message: str = ""


# The first one that fits is the cause. So those that fit any message come first, where the text alone is clear.
_JSON_FAULTS: Final = (
    _JsonFault("a template's placeholder stands there, which the sender did not fill", r"\{\{|\{%|\$\{|<%"),
    _JsonFault("JSON writes true, false and null", r"(?:True|False|None)\b"),
    _JsonFault("the sender has no value there", r"(?:undefined|NaN|nil)\b"),
    _JsonFault("the sender sent an object's name: it must write the object as JSON", r"\[?object "),
    _JsonFault("JSON has no comments", r"//|/\*|#"),
    _JsonFault("JSON has plain double quotation marks only", r"['‘’“”`]"),
    _JsonFault("a number must not begin with +", r"\+"),
    _JsonFault("a line break or tab in a text must be written as \\n or \\t", r"[\t\r\n]", message="control character"),
    _JsonFault("a backslash in a text must be written twice", message="escape"),
    _JsonFault("a key must be in double quotation marks", r"[A-Za-z_]\w*\s*:", message="property name"),
    _JsonFault("more JSON follows: if the sender posts JSON lines, set `body: ndjson`", r"[\[{]", message="Extra data"),
    _JsonFault("a closing bracket is too many", r"[\]}]", message="Extra data"),
    _JsonFault("a number must not begin with 0", r"(?<=0)[0-9]", message="',' delimiter"),
    _JsonFault("a number must be decimal", r"(?<=0)[xXoObB][0-9a-fA-F]", message="',' delimiter"),
    _JsonFault("a comma is missing before it", '"', message="',' delimiter"),
    _JsonFault('a quotation mark within a text must be written as \\"', r"(?<![0-9])\w", message="',' delimiter"),
    _JsonFault("the body ends there: it was cut on its way, or its length is wrong", r"\s*\Z"),
    _JsonFault("the body does not begin like JSON", message="(char 0)"),
)


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
    fault_at = int(position[1])
    # The parser has taken the first brace of a placeholder for an object, and the bracket of `[object` for a list.
    if text[fault_at - 1 : fault_at + 1] in {"{{", "{%", "[o"}:
        fault_at -= 1
    likely_faults = [fault for fault in _JSON_FAULTS if fault.message in detail]
    return next((fault.cause for fault in likely_faults if re.compile(fault.text).match(text, fault_at)), None)
