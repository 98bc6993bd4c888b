"""What a format cannot say, and where in the value it stands."""

import math
from typing import TypeAlias

from functions.transform.fields import inside
from shared.jsontext import Json

Trail: TypeAlias = "tuple[Trail, str | int] | None"
"""The way to a value, last part first: it is put into words only where something is wrong."""


class Unwritable(ValueError):
    """`reason` goes on from the place: `is null, which a property list lacks`."""

    def __init__(self, trail: Trail, reason: str) -> None:
        super().__init__(reason)
        self.trail = trail
        self.reason = reason

    def words(self, place: str) -> str:
        return f"{place_of(self.trail, place)} {self.reason}"


def place_of(trail: Trail, place: str) -> str:
    parts: list[str | int] = []
    while trail is not None:
        trail, part = trail
        parts.append(part)
    for part in reversed(parts):
        place = f"{place}[{part}]" if isinstance(part, int) else inside(place, part)
    return place


def verify_json(value: Json, trail: Trail = None) -> None:
    """That the value is JSON: a step of the operator's own may have made it. Raises Unwritable."""
    if isinstance(value, str):
        if not value.isascii():
            _verify_text(value, trail)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):  # the type says so, and is not asked at run time
                raise Unwritable(trail, f"has a key that is no text but {type(key).__name__}")
            if not key.isascii():
                _verify_text(key, trail)
            verify_json(item, (trail, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            verify_json(item, (trail, number))
    elif isinstance(value, float) and not math.isfinite(value):
        raise Unwritable(trail, "is a number that JSON lacks (infinity, or not a number)")


def _verify_text(text: str, trail: Trail) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Unwritable(trail, "holds half of a surrogate pair, which no UTF-8 can say") from None
