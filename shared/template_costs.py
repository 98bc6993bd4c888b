"""How large a template's call would make what it makes, reckoned before it is made.

Jinja's sandbox bounds `range` and nothing else: a text of 100 KB, each letter replaced by another such text, is 10 GB
long before anybody looks at the output.
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
    """A filter, or a method that makes text."""

    def __call__(self, *args: object, **kwargs: object) -> object: ...


def of_operator(operator: str, left: object, right: object) -> float:
    """Of text or a list that is repeated, its length; of numbers, as many characters where they grow too large."""
    if operator == "*":
        for repeated, times in ((left, right), (right, left)):
            if isinstance(repeated, str | bytes | list | tuple) and isinstance(times, int):
                return len(repeated) * times
    if isinstance(left, int) and isinstance(right, int) and operator != "%":
        bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
        return 0 if bits <= MAX_NUMBER_BITS else _TOO_LARGE
    return _of_percent(left) if operator == "%" else 0


def of_method(method: object, arguments: Iterable[object]) -> int:
    """Of a method of text, bytes or a number; 0 for everything else."""
    of, given = getattr(method, "__self__", None), tuple(arguments)
    if not isinstance(of, str | bytes | int) or not given:
        return 0
    match getattr(method, "__name__", ""):
        case "replace" if len(given) > 1:
            return _replaced(of, given[0], given[1])
        case "join":
            return _joined(of, given[0])
        case "expandtabs":
            return _replaced(of, "\t" if isinstance(of, str) else b"\t", " ") * _number(given[0])
        case "center" | "ljust" | "rjust" | "zfill" | "to_bytes":
            return _number(given[0])
        case "translate" if isinstance(given[0], dict):
            return _length(of) * max(map(_length, given[0].values()), default=0)
    return 0


def bounded_format(formatted: Called, text: str) -> Called:
    """`str.format` of the text, whose widths must be written out in it, in three digits at most."""

    @wraps(formatted)
    def bounded(*args: object, **kwargs: object) -> object:
        if any(_WIDE_SPEC.search(spec or "") for _, _, spec, _ in Formatter().parse(text)):
            raise OverflowError
        return formatted(*args, **kwargs)

    return bounded


def bounded_filters(filters: Mapping[str, Called]) -> dict[str, Called]:
    """Those of Jinja's that can make much of little, with OverflowError for what would be too large."""
    return {name: _bounded(filters[name], cost) for name, cost in _FILTERS.items()}


def _bounded(filter_: Called, cost: Callable[[Arguments], int]) -> Called:
    binds = signature(filter_)

    @wraps(filter_)  # with its marks: whether it is given the environment
    def bounded(*args: object, **kwargs: object) -> object:
        bound = binds.bind(*args, **kwargs)
        for name in bound.arguments.keys() & {"value", "iterable"}:
            if not isinstance(bound.arguments[name], str | list):
                bound.arguments[name] = _drawn(bound.arguments[name])
        if cost(bound.arguments) > MAX_OUTPUT_CHARACTERS:
            raise OverflowError
        return filter_(*bound.args, **bound.kwargs)

    return bounded


def _drawn(value: object) -> object:
    """What can be gone through once only is kept, to be counted first."""
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
    """Of lists: each addition copies all that came before, and no bound of time can stop it half-way."""
    items = arguments["iterable"]
    return len(items) ** 2 // 4 if isinstance(arguments.get("start"), list) and isinstance(items, list) else 0


def _of_percent(text: object) -> int:
    return _TOO_LARGE if isinstance(text, str) and _WIDE.search(text) else 0


def _length(value: object) -> int:
    return len(value) if isinstance(value, str | bytes | list | tuple) else len(str(value))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


_FILTERS: Final[Mapping[str, Callable[[Arguments], int]]] = {
    "replace": lambda given: _replaced(given["s"], given["old"], given["new"]),
    "join": lambda given: _joined(given.get("d", ""), given["value"]),
    "center": lambda given: _number(given.get("width", 80)),
    "wordwrap": _wrapped,
    "indent": _indented,
    "tojson": lambda given: _TOO_LARGE if _number(given.get("indent")) > 100 else 0,
    "batch": lambda given: _number(given["linecount"]),
    "sum": _summed,
    "slice": lambda given: _number(given["slices"]),
    "format": lambda given: _of_percent(given["value"]),
}
