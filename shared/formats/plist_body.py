"""Apple's property lists, in XML (`man 5 plist`) and in binary. Times become RFC 3339 in UTC, data becomes base64.

Apple's DOCTYPE is skipped, never read or fetched. This is own code and not plistlib, which builds everything before any
bound can apply: 400,000 open arrays (2.8 MB) take it 320 ms and 100 MB, and are rejected here after 1 ms. plistlib also
accepts a key twice, and integers such as `1_0`.

In a binary list, all objects are in a table, and refer to one another by their index in it. An object to which several
others refer is built, and counts, for each of them. The beginning of CFBinaryPList.c in Apple's CoreFoundation
describes the format.
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

# The only DOCTYPE that is accepted, and only if it declares nothing. Any other is rejected, as in all XML.
_APPLES_DOCTYPE: Final = re.compile(PROLOG + r"""<!DOCTYPE\s+plist(?:\s+(?:PUBLIC|SYSTEM|"[^"<]*+"))*+\s*>""")
_INTEGER: Final = re.compile(r"([-+]?)(0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]++)")
_REAL: Final = re.compile(r"[-+]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?")
_NOT_FINITE: Final = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Return the property list as JSON. Raises Rejected, as `read_binary_plist`, `decode_xml` and `read_xml` do."""
    if body.startswith(MAGIC):
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


MAGIC: Final = b"bplist00"
"""The beginning of a binary property list."""
_TRAILER: Final = struct.Struct(">6xBBQQQ")
"""The end of a binary property list, whose fields are those of _Table."""
_SECONDS_TO_2001: Final = 978_307_200
"""The Unix time of the beginning of 2001, from which the times in a binary list count."""
_FLOATS: Final = {2: struct.Struct(">f"), 3: struct.Struct(">d")}
"""The formats of floats, by the power of two that is their size in bytes."""


def read_binary_plist(body: bytes, limits: Limits) -> Json:
    """Return a binary property list as JSON.

    Raises Rejected: `malformed_body`, `nested_too_deeply`, `too_many_values`, `expanded_too_large`, `invalid_key`,
    `duplicate_key`, `number_out_of_range`.
    """
    if len(body) < len(MAGIC) + _TRAILER.size:
        raise _damaged()
    table = _Table(*_TRAILER.unpack(body[-_TRAILER.size :]))
    if not (table.offset_bytes and table.reference_bytes):
        raise _damaged()
    reader = _BinaryReader(body[: -_TRAILER.size], table, limits)
    return reader.value(table.top, depth=1)


class _Table(NamedTuple):
    """The table of a binary list, which has the position of each object in the body.

    offset_bytes      the size of a position in the table
    reference_bytes   the size of an index of an object, as other objects have it
    objects           the number of objects
    top               the index of the outermost object
    start             the position of the table itself
    """

    offset_bytes: int
    reference_bytes: int
    objects: int
    top: int
    start: int


class _Kind:
    """The kinds of objects in a binary list: the upper half of an object's first byte."""

    CONSTANT: Final = 0x0
    INTEGER: Final = 0x1
    REAL: Final = 0x2
    DATE: Final = 0x3
    DATA: Final = 0x4
    ASCII: Final = 0x5
    UTF_16: Final = 0x6
    UID: Final = 0x8
    ARRAY: Final = 0xA
    SET: Final = 0xC
    DICT: Final = 0xD


class _BinaryReader:
    """A reader of the objects of a binary list. Its methods raise Rejected."""

    def __init__(self, body: bytes, table: _Table, limits: Limits) -> None:
        self._body = body
        self._table = table
        self._limits = limits
        self._nodes = 0
        self._characters = 0

    def value(self, reference: int, depth: int) -> Json:
        """Return the object with this index in the table. Calls itself once for each level, up to `max_depth`."""
        self._count(nodes=1, characters=0)
        position = self._position(reference)
        # The upper half of the first byte is the kind of the object. The lower half is mostly its size.
        marker = self._bytes(position, 1)[0]
        kind, low = marker >> 4, marker & 0x0F
        if kind == _Kind.CONSTANT:
            return self._constant(low)
        if kind == _Kind.INTEGER:
            return self._integer(position + 1, low)
        if kind in (_Kind.REAL, _Kind.DATE):
            return self._float(position + 1, low, is_date=kind == _Kind.DATE)
        if kind == _Kind.UID:
            uid = int.from_bytes(self._bytes(position + 1, low + 1), "big")
            return {"CF$UID": uid}  # as Apple writes it in XML
        size, start = self._size(position + 1, low)
        if kind in (_Kind.DATA, _Kind.ASCII, _Kind.UTF_16):
            return self._text(kind, start, size)
        if kind not in (_Kind.ARRAY, _Kind.SET, _Kind.DICT):
            raise _damaged()
        if depth > self._limits.max_depth:
            raise Rejected(
                "nested_too_deeply", f"the property list is nested deeper than {self._limits.max_depth} levels"
            )
        return self._object(start, size, depth) if kind == _Kind.DICT else self._list(start, size, depth)

    def _list(self, start: int, size: int, depth: int) -> Json:
        return [self.value(reference, depth + 1) for reference in self._references(start, size)]

    def _object(self, start: int, size: int, depth: int) -> Json:
        members: JsonObject = {}
        keys = self._references(start, size)
        values = self._references(start + size * self._table.reference_bytes, size)
        for key_reference, value_reference in zip(keys, values, strict=True):
            key = self.value(key_reference, depth + 1)
            if not isinstance(key, str):
                raise Rejected("invalid_key", "a key in a property list is a string")
            put(members, key, self.value(value_reference, depth + 1), self._limits)
        return members

    def _references(self, start: int, size: int) -> Iterator[int]:
        """Yield the indexes one by one, because a long list can contain itself on every level."""
        width = self._table.reference_bytes
        for at in range(start, start + size * width, width):
            yield int.from_bytes(self._bytes(at, width), "big")

    def _constant(self, low: int) -> Json:
        """Return null, false or true, by the lower half of the object's first byte."""
        constants: dict[int, Json] = {0x0: None, 0x8: False, 0x9: True}
        if low not in constants:
            raise _damaged()
        return constants[low]

    def _integer(self, start: int, power: int) -> int:
        """Return an integer of two to this power bytes. It is signed if it has 8 or 16 bytes."""
        if power > 4:
            raise _damaged()
        size = 1 << power
        return int.from_bytes(self._bytes(start, size), "big", signed=size >= 8)

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
            case _Kind.DATA:
                text = base64_text(self._bytes(start, size))
            case _Kind.ASCII:
                text = decoded(self._bytes(start, size), "ascii")
            case _:
                text = decoded(self._bytes(start, size * 2), "utf-16-be")
        self._count(nodes=0, characters=len(text))
        return text

    def _size(self, start: int, low: int) -> tuple[int, int]:
        """Return an object's size, and the position of its content.

        The size is the lower half of its first byte. If that is 15, the size is an integer that follows.
        """
        if low < 0x0F:  # 15
            return low, start
        marker = self._bytes(start, 1)[0]
        if marker >> 4 != _Kind.INTEGER:
            raise _damaged()
        power = marker & 0x0F
        size = self._integer(start + 1, power)
        if size < 0:
            raise _damaged()
        return size, start + 1 + (1 << power)

    def _position(self, reference: int) -> int:
        """Return the position in the body of the object with this index."""
        if reference >= self._table.objects:
            raise _damaged()
        width = self._table.offset_bytes
        return int.from_bytes(self._bytes(self._table.start + reference * width, width), "big")

    def _bytes(self, start: int, size: int) -> bytes:
        content = self._body[start : start + size]
        if len(content) != size:
            raise _damaged()
        return content

    def _count(self, nodes: int, characters: int) -> None:
        """Count what the list expands to: its values, and the characters of their texts."""
        self._nodes += nodes
        self._characters += characters
        if self._nodes > self._limits.max_nodes or self._characters > self._limits.max_expanded_characters:
            detail = f"the property list expands to more than {self._limits.max_nodes} values, or too much text"
            raise Rejected("expanded_too_large", detail)


def _binary_date(seconds: float) -> str:
    try:
        return rfc3339(seconds + _SECONDS_TO_2001)
    except (OverflowError, ValueError):
        raise Rejected("number_out_of_range", "a time in the property list is in no year from 1 to 9999") from None


def _damaged() -> Rejected:
    return Rejected("malformed_body", "the body is not a property list")
