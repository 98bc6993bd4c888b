"""What a step may put out: bounded, and JSON."""

import math
from typing import Final

from shared.errors import Permanent
from shared.jsontext import Json

MAX_OUTPUT_CHARACTERS: Final = 4 * 1024 * 1024
MAX_OUTPUT_DEPTH: Final = 200


def verify_output(data: Json) -> None:
    """Raises Permanent (`output`) as soon as the JSON would pass the limit.

    A few computed values can hold each other so often that the whole could never be written; so it is counted, level
    by level, before anything is written. A value counts its text, and two characters for itself and a comma.
    """
    room = MAX_OUTPUT_CHARACTERS
    level = [data]
    for _ in range(MAX_OUTPUT_DEPTH):
        room -= 2 * len(level) + sum(map(_text_characters, level))
        level = _next_level(level, room)
        if room < 0:
            raise Permanent("output", f"its output is larger than {MAX_OUTPUT_CHARACTERS} characters")
        if not level:
            return
    raise Permanent("output", f"its output is nested deeper than {MAX_OUTPUT_DEPTH}")


def _text_characters(value: Json) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(len, value))
    if isinstance(value, float) and not math.isfinite(value):
        raise Permanent("output", "its output holds a number that JSON lacks (infinity, or not a number)")
    return value.bit_length() // 4 if isinstance(value, int) else 0


def _next_level(level: list[Json], room: int) -> list[Json]:
    """No more of it than there is room for, and one container."""
    below: list[Json] = []
    for value in level:
        if isinstance(value, dict):
            below += value.values()
        elif isinstance(value, list):
            below += value
        if len(below) > room:
            break
    return below
