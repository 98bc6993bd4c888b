"""Where a step reads in an event and where it writes: `path`, and `into` where the result goes elsewhere."""

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, PrivateAttr

from functions.transform.attributes import with_attribute
from functions.transform.expressions import kind_of
from functions.transform.paths import Every, Part, Path, Unplaceable, parse_path, with_value
from shared.errors import Permanent
from shared.event import Event, attribute_text
from shared.jsontext import Json

Change: TypeAlias = Callable[[Json, str], Json]
"""Takes the value and its place, as `data.items[0].price`."""

_BARE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_SHOWN: Final = 64


def readable(text: str) -> str:
    if parse_path(text).root != "data":
        raise ValueError(f"{text!r} is no place in 'data'")
    return text


def _writable(text: str) -> str:
    if any(isinstance(part, Every) for part in parse_path(text).parts):
        raise ValueError(f"{text!r} is several places; a result goes to one")
    return text


ReadPath = Annotated[str, AfterValidator(readable)]
WritePath = Annotated[str, AfterValidator(_writable)]


class Placed(BaseModel):
    """The settings of a step that changes values, each where it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: ReadPath = "data"
    into: WritePath | None = None

    _path: Path = PrivateAttr()
    _into: Path | None = PrivateAttr()

    def model_post_init(self, _: object) -> None:
        self._path = parse_path(self.path)
        self._into = None if self.into is None else parse_path(self.into)

    def changed(self, event: Event, change: Change, datatype: str | None = None) -> Event:
        """`datatype` is that of the result where it is all of the data. Raises Permanent (`path`), and as `change`."""
        if self._into is None:
            return event.with_data(
                changed(event.data, self._path.parts, change), None if self._path.parts else datatype
            )
        found = [change(value, place) for place, value in values_at(event.data, self._path.parts)]
        result: Json = list(found) if any(isinstance(part, Every) for part in self._path.parts) else found[0]
        return put(event, self._into, result, datatype)


def changed(
    value: Json, parts: tuple[Part, ...], change: Change, place: str = "data", *, if_there: bool = False
) -> Json:
    """A copy along the path. Raises Permanent (`path`) where the path leads to nothing, unless `if_there`; and where
    something of another kind is in the way."""
    if not parts:
        return change(value, place)
    part, rest = parts[0], parts[1:]
    if if_there and _is_absent(value, part):
        return value

    def inner(item: Json, its_place: str) -> Json:
        return changed(item, rest, change, its_place, if_there=if_there)

    if isinstance(part, str):
        held = _object_with(value, part, place)
        return {**held, part: inner(held[part], inside(place, part))}
    items = _list(value, place)
    if isinstance(part, Every):
        return [inner(item, f"{place}[{n}]") for n, item in enumerate(items)]
    _verify_index(items, part, place)
    return [*items[:part], inner(items[part], f"{place}[{part}]"), *items[part + 1 :]]


def _is_absent(value: Json, part: Part) -> bool:
    if isinstance(value, dict) and isinstance(part, str):
        return part not in value
    return value is None or (isinstance(value, list) and isinstance(part, int) and part >= len(value))


def values_at(value: Json, parts: tuple[Part, ...], place: str = "data") -> Iterator[tuple[str, Json]]:
    """Each place that the path names, and what is there. Raises Permanent (`path`) where it leads to nothing."""
    if not parts:
        yield place, value
        return
    part, rest = parts[0], parts[1:]
    if isinstance(part, str):
        yield from values_at(_object_with(value, part, place)[part], rest, inside(place, part))
        return
    items = _list(value, place)
    if isinstance(part, Every):
        for number, item in enumerate(items):
            yield from values_at(item, rest, f"{place}[{number}]")
        return
    _verify_index(items, part, place)
    yield from values_at(items[part], rest, f"{place}[{part}]")


def put(event: Event, path: Path, value: Json, datatype: str | None = None) -> Event:
    """Raises Permanent (`path`) where something else is in the way."""
    if path.root == "data":
        try:
            return event.with_data(with_value(event.data, path.parts, value), None if path.parts else datatype)
        except Unplaceable as error:
            raise Permanent("path", f"{path.text!r}: {error}") from error
    return with_attribute(event, path, value)


def inside(place: str, key: str) -> str:
    """A sender's key as a message may show it: quoted where it is no plain name, and cut short."""
    if _BARE.fullmatch(key):
        return f"{place}.{key}"
    return f'{place}["{attribute_text(key[:_SHOWN])}{"…" if len(key) > _SHOWN else ""}"]'


def _object_with(value: Json, key: str, place: str) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise Permanent("path", f"{place} is {kind_of(value)}, not an object")
    if key not in value:
        raise Permanent("path", f"{inside(place, key)} is not there")
    return value


def _list(value: Json, place: str) -> list[Json]:
    if not isinstance(value, list):
        raise Permanent("path", f"{place} is {kind_of(value)}, not a list")
    return value


def _verify_index(items: list[Json], index: int, place: str) -> None:
    if index >= len(items):
        raise Permanent("path", f"{place} has {len(items)} items; there is no [{index}]")
