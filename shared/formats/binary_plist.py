"""Apple's binary property lists. Times become RFC 3339 in UTC, and data becomes base64.

All objects are in a table, and refer to one another by their index in it. An object to which several others refer is
built, and counts, for each of them. The beginning of CFBinaryPList.c in Apple's CoreFoundation describes the format.
plist_body.py says why this is own code.
"""

import math
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from shared.errors import Rejected
from shared.formats.text_body import decoded
from shared.jsontext import Json, JsonObject, base64_text
from shared.limits import Limits, put
from shared.times import rfc3339

_HEAD_BYTES: Final = 8
"""The size of the beginning, `bplist00`."""
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
    if len(body) < _HEAD_BYTES + _TRAILER.size:
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
