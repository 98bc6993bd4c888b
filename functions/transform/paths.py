"""Paths to a place in an event: `data.user.email`, `data.items[0].price`, `data.items[*].price`, `data["a.b"]`.

Unlike an expression, a path names places that can be written.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from shared.config.rules import verified_by
from shared.did_you_mean import nearest

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
    """A path that cannot be used: an error of the configuration."""


@dataclass(frozen=True, slots=True)
class Every:
    """`[*]`: each item of a list."""


Part: TypeAlias = str | int | Every


@dataclass(frozen=True, slots=True)
class Path:
    """A parsed path. `root` is `data` or one of ATTRIBUTES; only `data` has parts."""

    text: str
    root: str
    parts: tuple[Part, ...] = ()

    @property
    def names_several(self) -> bool:
        return any(isinstance(part, Every) for part in self.parts)


def parse_path(text: str) -> Path:
    """Raises PathFault."""
    if text in ATTRIBUTES:
        return Path(text, text)
    if len(text) > MAX_CHARACTERS:
        raise PathFault(f"a path has at most {MAX_CHARACTERS} characters; this one has {len(text)}")
    if not text.startswith("data"):
        rule = f"path {text!r} must begin with 'data', or be one of {', '.join(ATTRIBUTES)}"
        raise PathFault(f"{rule}{_hint(text)}")
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


def _hint(text: str) -> str:
    root, dot, rest = text.partition(".")
    near = nearest(root, ("data", *ATTRIBUTES))
    meant = f"data.{text}" if near is None else f"{near}{dot}{rest}" if near == "data" or not dot else ""
    return f"; did you mean {meant!r}?" if root and meant else ""


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


def verify_path(text: str) -> str:
    """Return the text. Raises PathFault."""
    parse_path(text)
    return text


def verify_data_path(text: str) -> str:
    """Return the text. Raises ValueError if the path is not in `data`."""
    if parse_path(text).root != "data":
        raise ValueError(f"{text!r} is not a path in 'data'")
    return text


def _verify_single(text: str) -> str:
    if parse_path(text).names_several:
        raise ValueError(f"{text!r} names several places; a result goes to one")
    return text


AnyPath = Annotated[str, verified_by(verify_path)]
DataPath = Annotated[str, verified_by(verify_data_path)]
SinglePath = Annotated[str, verified_by(_verify_single)]
