"""JSON as the type checker sees it, and the ways Hookchain writes it."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

import orjson

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

_TO_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG_TEXT: Final = 65_536
_LONG_STRING: Final = 512
_FEW_MARKS: Final = 2_000
_MANY_BACKSLASHES: Final = 64
_BACKSLASH: Final = ord("\\")
_END_OF_STRING: Final = re.compile(rb'[^\\]"')
_COLON: Final = re.compile(rb"[ \t\r\n]*+:")

# One encoder each: json.dumps makes a new one at every call. No value of ours contains itself.
to_json: Final[Callable[[Json], str]] = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
"""Return compact text. NaN and infinity, which JSON lacks, raise ValueError."""

_canonical: Final[Callable[[Json], str]] = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


def value_at(document: Json, *path: str | int) -> Json:
    """Return the value at the path of names, and of positions in lists; None if there is none."""
    value = document
    for part in path:
        if isinstance(value, dict):
            value = value.get(str(part))
        else:
            value = value[part] if isinstance(value, list) and isinstance(part, int) and part < len(value) else None
    return value


def mapping_at(document: Json, *path: str | int) -> JsonObject:
    """Return the mapping at the path; an empty one if there is none."""
    value = value_at(document, *path)
    return value if isinstance(value, dict) else {}


def mappings_at(document: Json, *path: str | int) -> dict[str, JsonObject]:
    """Return those entries of the mapping at the path that are mappings."""
    return {name: entry for name, entry in mapping_at(document, *path).items() if isinstance(entry, dict)}


def list_at(document: Json, *path: str | int) -> list[Json]:
    """Return the list at the path; an empty one if there is none."""
    value = value_at(document, *path)
    return value if isinstance(value, list) else []


def values_in(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """Yield the value and each value in it, each after its path."""
    yield path, value
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from values_in(item, (*path, key))


def texts_at(document: Json, *path: str | int) -> list[str]:
    """Return the values of the list at the path as texts."""
    return [str(each) for each in list_at(document, *path)]


def objects_at(document: Json, *path: str | int) -> list[JsonObject]:
    """Return the mappings in the list at the path."""
    return [each for each in list_at(document, *path) if isinstance(each, dict)]


def kind_of(value: Json) -> str:
    """Return the kind of the value, for messages that must not quote it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"


def canonical(value: Json) -> bytes:
    """Return the same bytes for the same value: sorted keys, no spaces, UTF-8. For hashes and ids."""
    return _canonical(value).encode()


def texts_json(value: Json) -> bytes:
    """Return the bytes of to_json for a value without floats. orjson writes some floats differently, and NaN as null.

    It takes a tenth of to_json's time for an event's attributes, an id or a line of the log.
    """
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits, or half a surrogate pair, which raises UnicodeEncodeError here
        return to_json(value).encode()


def from_json(text: bytes) -> Json:
    """Return the JSON as the standard library reads it, by orjson where it reads the same: in a third of the time.

    Raises ValueError, also for NaN and infinity, and RecursionError.
    """
    if not has_long_number(outline(text)):
        try:
            return orjson.loads(text)  # type: ignore[no-any-return] # it returns Any
        except ValueError:  # half a surrogate pair, for example, which only the standard library takes
            pass
    return _DECODER.decode(text.decode())  # type: ignore[no-any-return] # as this does


def _reject_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


_DECODER: Final = json.JSONDecoder(parse_constant=_reject_constant)


def has_long_number(outlined: bytes) -> bool:
    """Return whether the JSON text of this outline may hold an integer of more than 64 bits, which orjson reads as a
    float.

    An integer of fewer than 19 digits has less.
    """
    # Not by `in`, which takes bytes for a number first, and fails: that is a quarter of the time for a small text.
    return outlined.translate(_TO_ZEROS).find(b"0" * 19) >= 0


def outline(text: bytes) -> bytes:
    """Return JSON text with its long strings emptied, except keys; the text itself where it is short, or has many.

    Anything that is counted in a text, or searched outside its strings, is the same in its outline. A text of 1 MB is
    mostly one string, and to look through all of it takes 0.5 ms each time.
    """
    if len(text) < _LONG_TEXT or text.count(b'"', 0, _LONG_TEXT // 2) > _FEW_MARKS // 2:
        return text
    kept: list[bytes] = []
    begin, opening, mark = 0, -1, -1
    for _ in range(_FEW_MARKS):
        mark = text.find(b'"', mark + 1)
        if mark < 0:
            return b"".join([*kept, text[begin:]])
        if opening < 0:
            opening = mark
            continue
        if text[mark - 1] == _BACKSLASH:
            before = text[max(0, mark - _MANY_BACKSLASHES) : mark]
            backslashes = len(before) - len(before.rstrip(b"\\"))
            if backslashes == _MANY_BACKSLASHES:
                break
            if backslashes % 2:  # it is escaped
                continue
        if mark - opening > _LONG_STRING and _COLON.match(text, mark + 1) is None:
            kept.append(text[begin : opening + 1])
            begin = mark
        opening = -1
    return text


def may_hold_string(text: bytes, longer_than: int) -> bool:
    """Return whether JSON text may contain a string of more than this number of bytes.

    Inside a string, a quotation mark follows a backslash. So none is as long where each block of half as many bytes has
    a mark that follows something else.
    """
    size = longer_than // 2 + 1
    blocks = range(0, len(text) - size + 1, size)
    return any(_END_OF_STRING.search(text, begin, begin + size) is None for begin in blocks)
