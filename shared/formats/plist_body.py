"""Apple's property lists: those in XML (`man 5 plist`) here, those in binary in binary_plist.py.

Times become RFC 3339 in UTC, and data becomes base64. Apple's DOCTYPE is skipped, never read or fetched.

This is own code and not plistlib, which builds everything before any bound can apply: 400,000 open arrays (2.8 MB) take
it 320 ms and 100 MB, and are rejected here after 1 ms. plistlib also accepts a key twice, and integers such as `1_0`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.errors import Rejected
from shared.formats.parse import MediaType
from shared.formats.xml_body import PROLOG, SPACE, decode_xml, read_xml
from shared.jsontext import Json, JsonObject, base64_text, decode_base64
from shared.limits import Limits, finite, integer, put

_BINARY: Final = b"bplist00"
"""The beginning of a binary property list."""

# The only DOCTYPE that is accepted, and only if it declares nothing. Any other is rejected, as in all XML.
_APPLES_DOCTYPE: Final = re.compile(PROLOG + r"""<!DOCTYPE\s+plist(?:\s+(?:PUBLIC|SYSTEM|"[^"<]*+"))*+\s*>""")
_INTEGER: Final = re.compile(r"([-+]?)(0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]++)")
_REAL: Final = re.compile(r"[-+]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?")
_NOT_FINITE: Final = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Return the property list as JSON. Raises Rejected, as `read_binary_plist`, `decode_xml` and `read_xml` do."""
    if body.startswith(_BINARY):
        # Imported here, because few senders write binary lists.
        from shared.formats.binary_plist import read_binary_plist

        return read_binary_plist(body, limits)
    text = decode_xml(body, media)
    if doctype := _APPLES_DOCTYPE.match(text):
        text = text[doctype.end() :]
    builder = _PlistBuilder(limits)
    read_xml(text, builder, limits)
    return builder.root()


@dataclass(slots=True)
class _Element:
    """An element that is being read.

    members   the values in a dict or array so far; None for other elements
    key       in a dict, the key whose value comes next; None while a key is expected
    """

    members: JsonObject | list[Json] | None
    key: str | None = None


class _PlistBuilder:
    """A target of read_xml that builds the value of a property list. Its methods raise Rejected."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._values: list[Json] = []
        # From the outermost element to the innermost. The first stands for `plist`, which may be left out.
        self._open = [_Element(self._values)]
        self._pieces: list[str] = []

    def root(self) -> Json:
        """Return the value, once the document is read."""
        if len(self._values) != 1:
            raise _fault()
        return self._values[0]

    def start(self, name: str, _: Mapping[str, str]) -> None:
        """Open an element. Only `plist`, a dict and an array may contain elements."""
        is_outermost = len(self._open) == 1
        if name == "plist" and is_outermost:
            return
        if name == "plist" or self._open[-1].members is None:
            raise _fault()
        members: JsonObject | list[Json] | None = None
        if name == "dict":
            members = {}
        elif name == "array":
            members = []
        self._open.append(_Element(members))
        self._pieces = []

    def text(self, text: str) -> None:
        self._pieces.append(text)

    def cdata_edge(self) -> None: ...

    def end(self, name: str) -> None:
        """Close an element, and add its value to the element around it."""
        if name == "plist":
            return
        element = self._open.pop()
        if element.key is not None:  # a key without a value
            raise _fault()
        text = "".join(self._pieces)
        if name == "key":
            self._add_key(text)
        elif element.members is not None:
            self._add(element.members)
        else:
            self._add(_scalar(name, text, self._limits))

    def _add_key(self, key: str) -> None:
        parent = self._open[-1]
        if not isinstance(parent.members, dict) or parent.key is not None:
            raise _fault()
        parent.key = key

    def _add(self, value: Json) -> None:
        """Add a value to the innermost dict or array."""
        parent = self._open[-1]
        if isinstance(parent.members, list):
            parent.members.append(value)
        elif parent.members is None or parent.key is None:
            raise _fault()
        else:
            put(parent.members, parent.key, value, self._limits)
            parent.key = None


def _scalar(name: str, text: str, limits: Limits) -> Json:
    """Return the value of an element that has only text. Raises Rejected."""
    if name == "string":
        return text
    if name in ("true", "false"):
        return name == "true"
    text = text.strip(SPACE)
    if name == "integer":
        return _integer(text, limits)
    if name == "real":
        return _real(text)
    if name == "date":
        return _date(text)
    if name == "data":
        return _data(text)
    raise _fault()


def _integer(text: str, limits: Limits) -> int:
    number = _INTEGER.fullmatch(text)
    if number is None:
        raise _fault()
    sign, hex_mark, digits = number.groups()
    if not hex_mark and not digits.isdecimal():
        raise _fault()
    return integer(sign + digits, 16 if hex_mark else 10, limits)


def _real(text: str) -> float:
    if _NOT_FINITE.fullmatch(text):
        raise Rejected("number_out_of_range", "JSON has neither infinity nor NaN")
    if not _REAL.fullmatch(text):
        raise _fault()
    return finite(text)


def _date(text: str) -> str:
    """Return the date with milliseconds, as shared.times writes it, so as in a binary list."""
    if not _DATE.fullmatch(text):
        raise _fault()
    try:
        datetime.fromisoformat(text)
    except ValueError:  # a 30th of February
        raise _fault() from None
    return text.removesuffix("Z") + ".000Z"


def _data(text: str) -> str:
    try:
        return base64_text(decode_base64("".join(text.split())))
    except ValueError:
        raise _fault() from None


def _fault() -> Rejected:
    return Rejected("malformed_body", "the XML is not a property list")
