"""Apple's property lists, in XML (`man 5 plist`) and in binary. Times become RFC 3339 in UTC, data becomes base64.

Apple's DOCTYPE is skipped, never read or fetched. Own code, not plistlib, which has no bound before it has built
everything: 400,000 open arrays (2.8 MB) take it 320 ms and 100 MB, and are rejected here after 1 ms. It also takes a
key twice and integers such as `1_0`.

In a binary list, objects are in a table and refer to one another by their index in it. An object that is referred to
more than once counts, and is built, each time. The format is described at the head of CFBinaryPList.c in Apple's
CoreFoundation.
"""

import math
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from shared.base64_text import base64_text, decode_base64
from shared.errors import Rejected
from shared.formats.media_type import MediaType
from shared.formats.text_body import decoded
from shared.formats.xml_body import PROLOG, SPACE, decode_xml, read_xml
from shared.jsontext import Json, JsonObject
from shared.limits import Limits, finite, integer, put
from shared.times import rfc3339

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
    """`holds`: what a dict or array has so far, None for the others. `key`: in a dict, the key whose value comes
    next."""

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
        holds: JsonObject | list[Json] | None = None
        if name == "dict":
            holds = {}
        elif name == "array":
            holds = []
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


MAGIC: Final = b"bplist00"
_TRAILER: Final = struct.Struct(">6xBBQQQ")
_SECONDS_TO_2001: Final = 978_307_200  # its times count from there
_FLOATS: Final = {2: struct.Struct(">f"), 3: struct.Struct(">d")}


def read_binary_plist(body: bytes, limits: Limits) -> Json:
    """Raises Rejected: `malformed_body`, `nested_too_deeply`, `too_many_values`, `expanded_too_large`, `invalid_key`,
    `duplicate_key`, `number_out_of_range`."""
    if len(body) < len(MAGIC) + _TRAILER.size:
        raise _damaged()
    table = _Table(*_TRAILER.unpack(body[-_TRAILER.size :]))
    if not (table.offset_bytes and table.reference_bytes):
        raise _damaged()
    return _BinaryReader(body[: -_TRAILER.size], table, limits).value(table.top, 1)


class _Table(NamedTuple):
    offset_bytes: int
    reference_bytes: int
    objects: int
    top: int
    start: int


class _BinaryReader:
    def __init__(self, body: bytes, table: _Table, limits: Limits) -> None:
        self._body = body
        self._table = table
        self._limits = limits
        self._nodes = 0
        self._characters = 0

    def value(self, reference: int, depth: int) -> Json:
        """Recurses once a level, to the depth that is allowed."""
        self._count(1, 0)
        position = self._position(reference)
        marker = self._bytes(position, 1)[0]
        kind, low = marker >> 4, marker & 0x0F
        if kind == 0x0:
            return self._constant(low)
        if kind == 0x1:
            return self._integer(position + 1, low)
        if kind in (0x2, 0x3):
            return self._float(position + 1, low, is_date=kind == 0x3)
        if kind == 0x8:
            return {"CF$UID": int.from_bytes(self._bytes(position + 1, low + 1), "big")}  # as Apple writes it in XML
        size, start = self._size(position + 1, low)
        if kind in (0x4, 0x5, 0x6):
            return self._text(kind, start, size)
        if kind not in (0xA, 0xC, 0xD):
            raise _damaged()
        if depth > self._limits.max_depth:
            raise Rejected(
                "nested_too_deeply", f"the property list is nested deeper than {self._limits.max_depth} levels"
            )
        return self._object(start, size, depth) if kind == 0xD else self._list(start, size, depth)

    def _list(self, start: int, size: int, depth: int) -> Json:
        return [self.value(reference, depth + 1) for reference in self._references(start, size)]

    def _object(self, start: int, size: int, depth: int) -> Json:
        made: JsonObject = {}
        keys = self._references(start, size)
        values = self._references(start + size * self._table.reference_bytes, size)
        for key_reference, value_reference in zip(keys, values, strict=True):
            key = self.value(key_reference, depth + 1)
            if not isinstance(key, str):
                raise Rejected("invalid_key", "a key in a property list is a string")
            put(made, key, self.value(value_reference, depth + 1), self._limits)
        return made

    def _references(self, start: int, size: int) -> Iterator[int]:
        """Read one by one: a list can hold itself on every level, and is long each time."""
        width = self._table.reference_bytes
        for at in range(start, start + size * width, width):
            yield int.from_bytes(self._bytes(at, width), "big")

    def _constant(self, low: int) -> Json:
        constants: dict[int, Json] = {0x0: None, 0x8: False, 0x9: True}
        if low not in constants:
            raise _damaged()
        return constants[low]

    def _integer(self, start: int, power: int) -> int:
        """Read an integer, which is signed where it has 8 bytes or more."""
        if power > 4:
            raise _damaged()
        return int.from_bytes(self._bytes(start, 1 << power), "big", signed=power > 2)

    def _float(self, start: int, power: int, *, is_date: bool) -> float | str:
        packing = _FLOATS.get(power)
        if packing is None:
            raise _damaged()
        number: float = packing.unpack(self._bytes(start, packing.size))[0]
        if not math.isfinite(number):
            raise Rejected("number_out_of_range", "JSON has neither infinity nor NaN")
        return _binary_date(number) if is_date else number

    def _text(self, kind: int, start: int, size: int) -> str:
        match kind:
            case 0x4:
                text = base64_text(self._bytes(start, size))
            case 0x5:
                text = decoded(self._bytes(start, size), "ascii")
            case _:
                text = decoded(self._bytes(start, size * 2), "utf-16-be")
        self._count(0, len(text))
        return text

    def _size(self, start: int, low: int) -> tuple[int, int]:
        """Return an object's count and where its content begins. A count of 15 or more is an integer of its own."""
        if low < 0x0F:
            return low, start
        marker = self._bytes(start, 1)[0]
        if marker >> 4 != 0x1:
            raise _damaged()
        power = marker & 0x0F
        size = self._integer(start + 1, power)
        if size < 0:
            raise _damaged()
        return size, start + 1 + (1 << power)

    def _position(self, reference: int) -> int:
        if reference >= self._table.objects:
            raise _damaged()
        width = self._table.offset_bytes
        return int.from_bytes(self._bytes(self._table.start + reference * width, width), "big")

    def _bytes(self, start: int, size: int) -> bytes:
        packed = self._body[start : start + size]
        if len(packed) != size:
            raise _damaged()
        return packed

    def _count(self, nodes: int, characters: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._nodes > self._limits.max_nodes or self._characters > self._limits.max_expanded_characters:
            detail = f"the property list expands to more than {self._limits.max_nodes} values, or too much text"
            raise Rejected("expanded_too_large", detail)


def _binary_date(seconds: float) -> str:
    try:
        return rfc3339(seconds + _SECONDS_TO_2001)
    except (OverflowError, ValueError, OSError):
        raise Rejected("number_out_of_range", "a time in the property list is in no year from 1 to 9999") from None


def _damaged() -> Rejected:
    return Rejected("malformed_body", "the body is not a property list")
