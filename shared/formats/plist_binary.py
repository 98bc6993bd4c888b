"""Binary property lists, whose objects stand in a table and refer to one another by their place in it.

The format is described at the head of CFBinaryPList.c in Apple's CoreFoundation. An object that is referred to more
than once counts, and is built, each time.
"""

import math
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from shared.base64_text import base64_text
from shared.errors import Rejected
from shared.formats.bounded_values import put
from shared.formats.charset import decoded
from shared.jsontext import Json, JsonObject
from shared.limits import Limits
from shared.times import rfc3339

MAGIC: Final = b"bplist00"
_TRAILER: Final = struct.Struct(">6xBBQQQ")
_SECONDS_TO_2001: Final = 978_307_200  # its times count from there
_FLOATS: Final = {2: struct.Struct(">f"), 3: struct.Struct(">d")}


def read_binary_plist(body: bytes, limits: Limits) -> Json:
    """Raises Rejected: `malformed_body`, `nested_too_deeply`, `too_many_values`, `expanded_too_large`, `invalid_key`,
    `duplicate_key`, `number_out_of_range`."""
    if len(body) < len(MAGIC) + _TRAILER.size:
        raise _fault()
    table = _Table(*_TRAILER.unpack(body[-_TRAILER.size :]))
    if not (table.offset_bytes and table.reference_bytes):
        raise _fault()
    return _Reader(body[: -_TRAILER.size], table, limits).value(table.top, 1)


class _Table(NamedTuple):
    offset_bytes: int
    reference_bytes: int
    objects: int
    top: int
    start: int


class _Reader:
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
            raise _fault()
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
            raise _fault()
        return constants[low]

    def _integer(self, start: int, power: int) -> int:
        """Read an integer, which is signed where it has 8 bytes or more."""
        if power > 4:
            raise _fault()
        return int.from_bytes(self._bytes(start, 1 << power), "big", signed=power > 2)

    def _float(self, start: int, power: int, *, is_date: bool) -> float | str:
        packing = _FLOATS.get(power)
        if packing is None:
            raise _fault()
        number: float = packing.unpack(self._bytes(start, packing.size))[0]
        if not math.isfinite(number):
            raise Rejected("number_out_of_range", "JSON has neither infinity nor NaN")
        return _date(number) if is_date else number

    def _text(self, kind: int, start: int, size: int) -> str:
        packed = self._bytes(start, size * 2 if kind == 0x6 else size)
        text = base64_text(packed) if kind == 0x4 else decoded(packed, "ascii" if kind == 0x5 else "utf-16-be")
        self._count(0, len(text))
        return text

    def _size(self, start: int, low: int) -> tuple[int, int]:
        """Return an object's count and where its content begins. A count of 15 or more is an integer of its own."""
        if low < 0x0F:
            return low, start
        marker = self._bytes(start, 1)[0]
        if marker >> 4 != 0x1:
            raise _fault()
        power = marker & 0x0F
        size = self._integer(start + 1, power)
        if size < 0:
            raise _fault()
        return size, start + 1 + (1 << power)

    def _position(self, reference: int) -> int:
        if reference >= self._table.objects:
            raise _fault()
        width = self._table.offset_bytes
        return int.from_bytes(self._bytes(self._table.start + reference * width, width), "big")

    def _bytes(self, start: int, size: int) -> bytes:
        packed = self._body[start : start + size]
        if len(packed) != size:
            raise _fault()
        return packed

    def _count(self, nodes: int, characters: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._nodes > self._limits.max_nodes or self._characters > self._limits.max_expanded_characters:
            detail = f"the property list stands for more than {self._limits.max_nodes} values, or too much text"
            raise Rejected("expanded_too_large", detail)


def _date(seconds: float) -> str:
    try:
        return rfc3339(seconds + _SECONDS_TO_2001)
    except (OverflowError, ValueError, OSError):
        raise Rejected("number_out_of_range", "a time in the property list is in no year from 1 to 9999") from None


def _fault() -> Rejected:
    return Rejected("malformed_body", "the body is not a property list")
