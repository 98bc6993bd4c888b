"""Where two JSON values differ."""

from functions.transform.writers.writing import Trail
from shared.jsontext import Json


class Differs(Exception):
    def __init__(self, trail: Trail) -> None:
        super().__init__()
        self.trail = trail


def verify_equal(one: Json, other: Json, trail: Trail = None) -> None:
    """Kinds count: 1 is no `true`, though Python says so. Raises Differs, at the first place that does."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key, item in one.items():
            verify_equal(item, other[key], (trail, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (item, its) in enumerate(zip(one, other, strict=True)):
            verify_equal(item, its, (trail, number))
    elif isinstance(one, bool) is not isinstance(other, bool) or one != other:
        raise Differs(trail)
