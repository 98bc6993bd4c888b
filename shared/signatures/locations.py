"""The one language for a place in a request: `header.NAME`, `query.NAME`, `form.NAME`, or a dotted path in the parsed
body such as `data.sender.login`, in which `*` stands for each element of a list.

Some settings take more: `signature.KEY` is an item of a signature header that is a list of pairs; `body.path` looks in
the whole body where `data` is one item of it; `beside.KEY` is the name of the one other key in `data`; ` + ` joins two.

Own code, not JMESPath: importing jmespath takes 9 ms, and a sender waits for receive's start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from shared.jsontext import Json

_DOTTED: Final = frozenset({"data", "body"})


@dataclass(frozen=True, slots=True)
class Location:
    """`kind` is header, query, form, data, body, beside or signature. A header's name is in lower case."""

    kind: str
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path[0]

    def __str__(self) -> str:
        return f"{self.kind}.{'.'.join(self.path)}"


Joined = tuple[Location, ...]
"""Places whose texts go together, joined by full stops."""

Choices = tuple[Joined, ...]
"""Alternatives: the first that holds a text counts."""


Conditions = tuple[tuple[Location, str | bool], ...]
"""The text that each place must hold, or whether it must hold any. All must be met."""


@lru_cache(maxsize=512)
def parse_location(text: str) -> Location:
    """Parse a place that the configuration's model has checked."""
    kind, _, rest = text.partition(".")
    if kind in _DOTTED:
        return Location(kind, tuple(rest.split(".")))
    return Location(kind, (rest.lower() if kind == "header" else rest,))


def parse_choices(written: Json) -> Choices:
    """Parse a place or a list of them that the configuration's model has checked; `None` is an empty list."""
    texts = written if isinstance(written, list) else [written]
    return tuple(tuple(map(parse_location, text.split(" + "))) for text in texts if isinstance(text, str))


def read_conditions(value: Json) -> Conditions:
    """Read a `when` that the configuration's model has checked; `None` is none."""
    if not isinstance(value, dict):
        return ()
    return tuple(
        (parse_location(at), wanted if isinstance(wanted, bool) else str(wanted)) for at, wanted in value.items()
    )


def value_at(path: Sequence[str], value: Json) -> Json:
    """Return the value that a path leads to, the first where `*` leads to several; None where it leads nowhere."""
    for step in path:
        if isinstance(value, dict):
            value = None if step == "*" else value.get(step)
        elif isinstance(value, list):
            value = _item(value, "0" if step == "*" else step)
        else:
            return None
    return value


def values_at(path: Sequence[str], value: Json) -> list[Json]:
    """Return the value for each element that a path leads to; None for an element where it leads nowhere."""
    found: list[Json] = [value]
    for step in path:
        if step == "*":
            found = [item for each in found for item in (each if isinstance(each, list) else [None])]
        else:
            found = [value_at((step,), each) for each in found]
    return found


def text_of(value: Json) -> str | None:
    """Return a text as it is, and numbers and truth values as JSON writes them; None for objects, lists and null."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _item(items: list[Json], step: str) -> Json:
    return items[int(step)] if step.isdecimal() and len(step) < 7 and int(step) < len(items) else None
