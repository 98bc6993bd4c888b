"""Convert a value to another kind, if the result says the same. Each cast raises ValueError where it does not."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias, TypeGuard

from shared.jsontext import Json, to_json

Kind: TypeAlias = Literal["text", "integer", "number", "boolean", "list"]

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,4300}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


def _text(value: Json) -> str:
    return value if isinstance(value, str) else to_json(value)


def _integer(value: Json) -> int:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, int):
        return value
    raise ValueError


def _number(value: Json) -> int | float:
    if isinstance(value, int | float):
        return int(value) if isinstance(value, bool) else value
    text = value.strip() if isinstance(value, str) else ""
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text) or not math.isfinite(number := float(text)):
        raise ValueError
    return number


def _boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


CASTS: Final[Mapping[Kind, Callable[[Json], Json]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "list": _list,
}


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether the value is a number of JSON. In Python, true and false are instances of int, too."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def reads_as_number(text: str) -> bool:
    """Return whether a cast to `number` converts the text."""
    try:
        _number(text)
    except ValueError:
        return False
    return True
