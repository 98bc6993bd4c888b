"""Apple's property lists, in XML (`man 5 plist`) and in binary. Times become RFC 3339 in UTC, data becomes base64.

Apple's DOCTYPE is skipped, never read or fetched. Own code, not plistlib, which has no bound before it has built
everything: 400,000 open arrays (2.8 MB) take it 320 ms and 100 MB, and are rejected here after 1 ms. It also takes a
key twice and integers such as `1_0`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.base64_text import base64_text, decode_base64
from shared.errors import Rejected
from shared.formats.bounded_values import finite, integer, put
from shared.formats.media_type import MediaType
from shared.formats.plist_binary import MAGIC, read_binary_plist
from shared.formats.xml_body import PROLOG, SPACE, decode_xml, read_xml
from shared.jsontext import Json, JsonObject
from shared.limits import Limits

# Only this one, and with nothing declared in it: any other is rejected as in all XML.
_APPLES_DOCTYPE: Final = re.compile(PROLOG + r"""<!DOCTYPE\s+plist(?:\s+(?:PUBLIC|SYSTEM|"[^"<]*+"))*+\s*>""")
_INTEGER: Final = re.compile(r"([-+]?)(0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]++)")
_REAL: Final = re.compile(r"[-+]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?")
_NOT_FINITE: Final = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    if body.startswith(MAGIC):
        return read_binary_plist(body, limits)
    text = decode_xml(body, media)
    if found := _APPLES_DOCTYPE.match(text):
        text = text[found.end() :]
    plist = _Plist(limits)
    read_xml(text, plist, limits)
    return plist.root()


@dataclass(slots=True)
class _Element:
    """`holds`: what a dict or array has so far, None for the others. `key`: of a dict, the one that waits."""

    holds: JsonObject | list[Json] | None
    key: str | None = None


class _Plist:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._values: list[Json] = []
        self._open = [_Element(self._values)]
        self._pieces: list[str] = []

    def root(self) -> Json:
        if len(self._values) != 1:
            raise _fault()
        return self._values[0]

    def start(self, name: str, _: Mapping[str, str]) -> None:
        is_outermost = len(self._open) == 1
        if name == "plist" and is_outermost:
            return
        if name == "plist" or self._open[-1].holds is None:
            raise _fault()
        holds: JsonObject | list[Json] | None = {} if name == "dict" else [] if name == "array" else None
        self._open.append(_Element(holds))
        self._pieces = []

    def text(self, text: str) -> None:
        self._pieces.append(text)

    def end(self, name: str) -> None:
        if name == "plist":
            return
        element = self._open.pop()
        if element.key is not None:
            raise _fault()
        text = "".join(self._pieces)
        if name == "key":
            self._take_key(text)
        else:
            self._take(element.holds if element.holds is not None else _scalar(name, text, self._limits))

    def _take_key(self, key: str) -> None:
        parent = self._open[-1]
        if not isinstance(parent.holds, dict) or parent.key is not None:
            raise _fault()
        parent.key = key

    def _take(self, value: Json) -> None:
        parent = self._open[-1]
        if isinstance(parent.holds, list):
            parent.holds.append(value)
        elif parent.holds is None or parent.key is None:
            raise _fault()
        else:
            put(parent.holds, parent.key, value, self._limits)
            parent.key = None


def _scalar(name: str, text: str, limits: Limits) -> Json:
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
    found = _INTEGER.fullmatch(text)
    if found is None or not (found[2] or found[3].isdecimal()):
        raise _fault()
    return integer(found[1] + found[3], 16 if found[2] else 10, limits)


def _real(text: str) -> float:
    if _NOT_FINITE.fullmatch(text):
        raise Rejected("number_out_of_range", "JSON has neither infinity nor NaN")
    if not _REAL.fullmatch(text):
        raise _fault()
    return finite(text)


def _date(text: str) -> str:
    """Return the date in the form of shared.times, as a binary list's are."""
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
