"""Changes at the places that a path names, where nothing may be there."""

from collections.abc import Callable
from typing import Final, TypeAlias

from functions.transform.expressions import kind_of
from functions.transform.paths import Every, Part, Path, Unplaceable
from shared.errors import Permanent
from shared.event import Event
from shared.jsontext import Json


class Missing:
    """Nothing is there: neither null nor any other value."""


MISSING: Final = Missing()
Place: TypeAlias = "Json | Missing"
Change: TypeAlias = Callable[[Place, str], Place]
"""Takes what is there, and the place's name; answers what shall be there."""


def updated(value: Json, parts: tuple[Part, ...], change: Change, place: str = "data") -> Json:
    """The value with what `change` answers for each place that the path names, and for that place's name.

    What it answers MISSING for stays away, with the objects that would have to be made for it. Raises Unplaceable
    where something else is in the way, and what `change` raises.
    """
    found = _updated(value, parts, change, place)
    return None if isinstance(found, Missing) else found


def _updated(value: Place, parts: tuple[Part, ...], change: Change, place: str) -> Place:
    if not parts:
        return change(value, place)
    part, rest = parts[0], parts[1:]
    if isinstance(part, str):
        return _updated_key(value, part, rest, change, place)
    if value is None or isinstance(value, Missing):
        return value
    if not isinstance(value, list):
        raise Unplaceable(f"{place} is {kind_of(value)}, not a list")
    items = list(value)
    for number in range(len(value)) if isinstance(part, Every) else (part,) if part < len(value) else ():
        found = _updated(value[number], rest, change, f"{place}[{number}]")
        items[number] = None if isinstance(found, Missing) else found
    return value if all(a is b for a, b in zip(value, items, strict=True)) else items


def _updated_key(value: Place, key: str, rest: tuple[Part, ...], change: Change, place: str) -> Place:
    held: Json = {} if value is None or isinstance(value, Missing) else value
    if not isinstance(held, dict):
        raise Unplaceable(f"{place} is {kind_of(held)}, not an object")
    before = held.get(key, MISSING)
    after = _updated(before, rest, change, f"{place}.{key}")
    return value if after is before or isinstance(after, Missing) else {**held, key: after}


def update(event: Event, path: Path, change: Change) -> Event:
    """The event with the places in its data changed. Raises Permanent (`path`)."""
    try:
        return event.with_data(updated(event.data, path.parts, change))
    except Unplaceable as error:
        raise Permanent("path", f"{path.text!r}: {error}") from error


def value_at(value: Json, parts: tuple[Part, ...]) -> Json:
    """What is at the one place, null where nothing is; at `[*]`, the list itself."""
    for part in parts:
        if isinstance(part, str):
            value = value.get(part) if isinstance(value, dict) else None
        elif isinstance(part, int):
            value = value[part] if isinstance(value, list) and part < len(value) else None
    return value
