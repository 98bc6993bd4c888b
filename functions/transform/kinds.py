"""Kinds of JSON values, by the names that an operator writes: `text`, `integer or null`, `list?`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from functions.transform.expressions import kind_of
from functions.transform.fields import values_at
from functions.transform.paths import Path
from shared.errors import Permanent
from shared.jsontext import Json

_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "text": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
    "null": (type(None),),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """`is_optional`: the place may also not be there."""

    words: str
    names: tuple[str, ...]
    is_optional: bool

    def faults_at(self, data: Json, path: Path) -> Iterator[str]:
        try:
            for place, value in values_at(data, path.parts):
                if not any(_is_of(value, name) for name in self.names):
                    yield f"{place} is {kind_of(value)}, not {self.words}"
        except Permanent as error:
            if not self.is_optional:
                yield error.detail


def parse_kind(words: str) -> Kind:
    """Raises ValueError."""
    bare = words.removesuffix("?")
    names = tuple(bare.split(" or "))
    for name in names:
        if name not in _KINDS:
            raise ValueError(f"there is no kind {name!r}; there are: {', '.join(_KINDS)}; `?` after it: may be absent")
    return Kind(bare, names, words.endswith("?"))


def _is_of(value: Json, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _KINDS[name])
