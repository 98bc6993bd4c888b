"""Bounds on the size of a template's values, computed before a call makes the value.

Jinja's sandbox bounds `range` only. Replacing each letter of a text of 100 KB by that text makes 10 GB in memory,
before any bound on the output applies.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from inspect import signature
from string import Formatter
from typing import Final, Protocol, TypeAlias

MAX_OUTPUT_CHARACTERS: Final = 4 * 1024 * 1024
MAX_NUMBER_BITS: Final = 10_000
_TOO_LARGE: Final = MAX_OUTPUT_CHARACTERS + 1
_WIDE: Final = re.compile(r"%[^A-Za-z%]*(?:\d{4}|\*)")
_WIDE_SPEC: Final = re.compile(r"\d{4}|\{")

Arguments: TypeAlias = Mapping[str, object]


class Called(Protocol):
    """A filter, or a method that returns text."""

    def __call__(self, *args: object, **kwargs: object) -> object: ...


def binop_cost(operator: str, left: object, right: object) -> float:
    """Return the length of a repeated text or list. For numbers, return 0, or more than the bound if too large."""
    if operator == "*":
        for repeated, times in ((left, right), (right, left)):
            if isinstance(repeated, str | bytes | list | tuple) and isinstance(times, int):
                return len(repeated) * times
    if isinstance(left, int) and isinstance(right, int) and operator != "%":
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        return 0 if bits <= MAX_NUMBER_BITS else _TOO_LARGE
    return _percent_cost(left) if operator == "%" else 0


def call_cost(method: object, arguments: Iterable[object]) -> int:
    """Return the length that a method of text, bytes or a number adds; 0 for every other method."""
    owner, values = getattr(method, "__self__", None), tuple(arguments)
    if not isinstance(owner, str | bytes | int) or not values:
        return 0
    match getattr(method, "__name__", ""):
        case "replace" if len(values) > 1:
            return _replaced(owner, values[0], values[1])
        case "join":
            return _joined(owner, values[0])
        case "expandtabs":
            return _replaced(owner, "\t" if isinstance(owner, str) else b"\t", " ") * _number(values[0])
        case "center" | "ljust" | "rjust" | "zfill" | "to_bytes":
            return _number(values[0])
        case "translate" if isinstance(values[0], dict):
            return _length(owner) * max(map(_length, values[0].values()), default=0)
    return 0


def bounded_format(formatted: Called, text: str) -> Called:
    """Return `str.format` of the text with a check: each width is a literal of at most three digits."""

    @wraps(formatted)
    def bounded(*args: object, **kwargs: object) -> object:
        if any(_WIDE_SPEC.search(spec or "") for _, _, spec, _ in Formatter().parse(text)):
            raise OverflowError
        return formatted(*args, **kwargs)

    return bounded


def bounded_filters(filters: Mapping[str, Called]) -> dict[str, Called]:
    """Return Jinja's filters that can make a large value from a small one. They raise OverflowError instead."""
    return {name: _bounded(filters[name], cost) for name, cost in _FILTERS.items()}


def _bounded(filter_: Called, cost: Callable[[Arguments], int]) -> Called:
    binds = signature(filter_)

    @wraps(filter_)  # keeps Jinja's attributes, which say whether the filter gets the environment
    def bounded(*args: object, **kwargs: object) -> object:
        bound = binds.bind(*args, **kwargs)
        for name in bound.arguments.keys() & {"value", "iterable"}:
            if not isinstance(bound.arguments[name], str | list):
                bound.arguments[name] = _as_list(bound.arguments[name])
        if cost(bound.arguments) > MAX_OUTPUT_CHARACTERS:
            raise OverflowError
        return filter_(*bound.args, **bound.kwargs)

    return bounded


def _as_list(value: object) -> object:
    """Return an iterator's items as a list, so that they can be counted first; any other value unchanged."""
    return list(value) if isinstance(value, Iterable) and not isinstance(value, Mapping) else value


def _replaced(text: object, old: object, new: object) -> int:
    if isinstance(text, bytes) and isinstance(old, bytes):
        return text.count(old) * _length(new)
    return str(text).count(str(old)) * _length(new)


def _joined(separator: object, items: object) -> int:
    if not isinstance(items, str | list | tuple | dict):
        return 0
    return len(items) * _length(separator) + sum(len(item) for item in items if isinstance(item, str | bytes))


def _wrapped(arguments: Arguments) -> int:
    lines = _length(arguments["s"]) // max(1, _number(arguments.get("width", 79))) + 1
    return lines * _length(arguments.get("wrapstring"))


def _indented(arguments: Arguments) -> int:
    width = arguments.get("width", 4)
    each = _number(width) if isinstance(width, int) else _length(width)
    return (str(arguments["text"]).count("\n") + 1) * each


def _summed(arguments: Arguments) -> int:
    """Return the cost of adding lists: each addition copies all earlier items, and no time bound interrupts it."""
    items = arguments["iterable"]
    return len(items) ** 2 // 4 if isinstance(arguments.get("start"), list) and isinstance(items, list) else 0


def _percent_cost(text: object) -> int:
    return _TOO_LARGE if isinstance(text, str) and _WIDE.search(text) else 0


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else len(str(value))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


_FILTERS: Final[Mapping[str, Callable[[Arguments], int]]] = {
    "replace": lambda arguments: _replaced(arguments["s"], arguments["old"], arguments["new"]),
    "join": lambda arguments: _joined(arguments.get("d", ""), arguments["value"]),
    "center": lambda arguments: _number(arguments.get("width", 80)),
    "wordwrap": _wrapped,
    "indent": _indented,
    "tojson": lambda arguments: _TOO_LARGE if _number(arguments.get("indent")) > 100 else 0,
    "batch": lambda arguments: _number(arguments["linecount"]),
    "sum": _summed,
    "slice": lambda arguments: _number(arguments["slices"]),
    "format": lambda arguments: _percent_cost(arguments["value"]),
}
