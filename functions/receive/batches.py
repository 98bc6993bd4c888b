"""A body that tells of several things: one event for each."""

from collections.abc import Iterator
from typing import Final

from functions.receive.locations import value_at
from shared.errors import Rejected
from shared.jsontext import Json

MAX_ITEMS: Final = 5_000


def items_of(path: tuple[str, ...], body: Json) -> list[Json] | None:
    """The items at a path such as `events`, `*` or `entry`, `*`, `changes`, `*`; what follows the last `*` leads from
    the element to its item, where that is there. None where the body is no such batch: then it is one event.

    Raises Rejected (`items`).
    """
    first = path.index("*")
    found = value_at(path[:first], body)
    if not isinstance(found, list):
        return None
    items: list[Json] = []
    for item in _items(path[first:], found):
        items.append(item)
        if len(items) > MAX_ITEMS:
            raise Rejected("items", f"the body has more than {MAX_ITEMS} items")
    return items


def _items(path: tuple[str, ...], value: Json) -> Iterator[Json]:
    """`path` begins with `*` where there is one left."""
    if "*" not in path:
        inner = value_at(path, value)
        yield value if inner is None else inner
        return
    at = path.index("*")
    elements = value_at(path[:at], value)
    if not isinstance(elements, list):
        yield value
        return
    for element in elements:
        yield from _items(path[at + 1 :], element)
