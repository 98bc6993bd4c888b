"""JSON as the type checker sees it, and the ways Hookchain writes it."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeAlias

import orjson

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

_TO_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")

# One encoder each: json.dumps makes a new one at every call. No value of ours contains itself.
to_json: Final[Callable[[Json], str]] = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, separators=(",", ":")
).encode
"""Return compact text. NaN and infinity, which JSON lacks, raise ValueError."""

_canonical: Final[Callable[[Json], str]] = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


def canonical(value: Json) -> bytes:
    """Return the same bytes for the same value: sorted keys, no spaces, UTF-8. For hashes and ids."""
    return _canonical(value).encode()


def texts_json(value: Json) -> bytes:
    """Return the bytes of to_json for what holds no floats: orjson writes some of these otherwise, and NaN as null.

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
    if not has_long_number(text):
        with suppress(ValueError):  # half a surrogate pair, for example, which only the standard library takes
            return orjson.loads(text)  # type: ignore[no-any-return] # it returns Any
    return _DECODER.decode(text.decode())  # type: ignore[no-any-return] # as this does


def _reject_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


_DECODER: Final = json.JSONDecoder(parse_constant=_reject_constant)


def has_long_number(text: bytes) -> bool:
    """Return whether the JSON text may hold an integer of more than 64 bits, which orjson reads as a float.

    An integer of fewer than 19 digits has less.
    """
    return b"0" * 19 in text.translate(_TO_ZEROS)
