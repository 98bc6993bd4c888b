"""Paths to a place in an event: `data.user.email`, `data.items[0].price`, `data.items[*].price`, `data["a.b"]`.

Unlike an expression, a path names places that can be written. Writing copies what lies along the path and shares the
rest, so the value it began with stays as it was.
"""

import json
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

from functions.transform.expressions import kind_of
from shared.did_you_mean import nearest
from shared.jsontext import Json, JsonObject

ATTRIBUTES: Final = ("type", "subject", "actor")
MAX_CHARACTERS: Final = 1_000

_PART: Final = re.compile(
    r"""\.(?P<name>[A-Za-z_][A-Za-z0-9_-]*)
      | \[(?P<index>0|[1-9][0-9]{0,8})\]
      | \[(?P<every>\*)\]
      | \[(?P<quoted>"(?:[^"\\]|\\.)*")\]""",
    re.VERBOSE,
)


class PathFault(ValueError):
    """The path itself is at fault: refused when the configuration is loaded."""


class Unplaceable(ValueError):
    """The event has something else where the path leads. It says the place and the kind, never the value."""


@dataclass(frozen=True, slots=True)
class Every:
    """`[*]`: each item of a list."""


Part: TypeAlias = str | int | Every


@dataclass(frozen=True, slots=True)
class Path:
    """`root` is `data` or one of ATTRIBUTES; only `data` has parts."""

    text: str
    root: str
    parts: tuple[Part, ...] = ()


def _meant(text: str) -> str:
    root, dot, rest = text.partition(".")
    near = nearest(root, ("data", *ATTRIBUTES))
    meant = f"data.{text}" if near is None else f"{near}{dot}{rest}" if near == "data" or not dot else ""
    return f"; did you mean {meant!r}?" if root and meant else ""


def parse_path(text: str) -> Path:
    """Raises PathFault."""
    if text in ATTRIBUTES:
        return Path(text, text)
    if len(text) > MAX_CHARACTERS:
        raise PathFault(f"a path has at most {MAX_CHARACTERS} characters; this one has {len(text)}")
    if not text.startswith("data"):
        rule = f"path {text!r} begins with neither 'data' nor is one of {', '.join(ATTRIBUTES)}"
        raise PathFault(f"{rule}{_meant(text)}")
    parts: list[Part] = []
    position = len("data")
    while position < len(text):
        found = _PART.match(text, position)
        if found is None:
            hint = 'write .name, ["any name"], [0] or [*]'
            raise PathFault(f"path {text!r}: column {position + 1} cannot be read; {hint}")
        parts.append(_part(text, found))
        position = found.end()
    return Path(text, "data", tuple(parts))


def _part(text: str, found: re.Match[str]) -> Part:
    if found["name"] is not None:
        return found["name"]
    if found["index"] is not None:
        return int(found["index"])
    if found["every"] is not None:
        return Every()
    try:
        return str(json.loads(found["quoted"]))
    except ValueError as error:
        raise PathFault(f"path {text!r}: column {found.start() + 1} is not a JSON string in brackets") from error


def without(value: Json, parts: tuple[Part, ...]) -> Json:
    """The value without what lies there; the very same value where nothing does."""
    part, rest = parts[0], parts[1:]
    if isinstance(part, Every):
        if not isinstance(value, list):
            return value
        return _same_or(value, [without(item, rest) for item in value] if rest else [])
    if isinstance(part, str):
        if not isinstance(value, dict) or part not in value:
            return value
        if not rest:
            return {key: item for key, item in value.items() if key != part}
        inner = without(value[part], rest)
        return value if inner is value[part] else {**value, part: inner}
    if not isinstance(value, list) or part >= len(value):
        return value
    inside = [without(value[part], rest)] if rest else []
    return _same_or(value, [*value[:part], *inside, *value[part + 1 :]])


def _same_or(before: list[Json], after: list[Json]) -> list[Json]:
    unchanged = len(before) == len(after) and all(a is b for a, b in zip(before, after, strict=True))
    return before if unchanged else after


def with_value(value: Json, parts: tuple[Part, ...], new: Json, place: str = "data") -> Json:
    """The value with `new` there. Objects that are missing along the way are made, items of a list are not.

    Raises Unplaceable.
    """
    if not parts:
        return new
    part, rest = parts[0], parts[1:]
    if isinstance(part, str):
        return _with_key(value, part, rest, new, place)
    if not isinstance(value, list):
        raise Unplaceable(f"{place} is {kind_of(value)}, not a list")
    if isinstance(part, Every):
        return [with_value(item, rest, new, f"{place}[{n}]") for n, item in enumerate(value)]
    if part >= len(value):
        raise Unplaceable(f"{place} has {len(value)} items; there is no [{part}]")
    inner = with_value(value[part], rest, new, f"{place}[{part}]")
    return [*value[:part], inner, *value[part + 1 :]]


def _with_key(value: Json, key: str, rest: tuple[Part, ...], new: Json, place: str) -> JsonObject:
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise Unplaceable(f"{place} is {kind_of(value)}, not an object")
    return {**value, key: with_value(value.get(key), rest, new, f"{place}.{key}")}


def later_places_first(paths: list[Path]) -> list[Path]:
    """So that taking out [0] does not move [1] before its turn."""
    return sorted(paths, key=lambda path: [_order(part) for part in path.parts], reverse=True)


def _order(part: Part) -> tuple[int, int, str]:
    if isinstance(part, Every):
        return 0, 0, ""
    return (1, part, "") if isinstance(part, int) else (2, 0, part)
