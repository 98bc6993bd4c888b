"""What a step may put out: bounded, and JSON."""

import math
from typing import Final

from shared.errors import Permanent
from shared.jsontext import Json

MAX_OUTPUT_CHARACTERS: Final = 4 * 1024 * 1024
MAX_OUTPUT_DEPTH: Final = 200
_CHARACTERS_A_VALUE: Final = 2
"""A value costs at least itself and a comma."""


def verify_output(data: Json) -> None:
    """Raises Permanent (`output`) as soon as the JSON would pass the limit.

    A few computed values can hold each other so often that the whole could never be written; so it is counted before
    anything is written.
    """
    room = MAX_OUTPUT_CHARACTERS
    waiting: list[tuple[Json, int]] = [(data, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_OUTPUT_DEPTH:
            raise Permanent("output", f"its output is nested deeper than {MAX_OUTPUT_DEPTH}")
        room -= _own_characters(value)
        if room < 0:
            raise Permanent("output", f"its output is larger than {MAX_OUTPUT_CHARACTERS} characters")
        if isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)
        elif isinstance(value, dict):
            waiting.extend((item, depth + 1) for item in value.values())


def _own_characters(value: Json) -> int:
    """Without what it holds."""
    if isinstance(value, str):
        return len(value) + _CHARACTERS_A_VALUE
    if isinstance(value, dict):
        return sum(map(len, value)) + len(value) * _CHARACTERS_A_VALUE
    if isinstance(value, float) and not math.isfinite(value):
        raise Permanent("output", "its output holds a number that JSON lacks (infinity, or not a number)")
    if isinstance(value, int):
        return value.bit_length() // 4 + _CHARACTERS_A_VALUE
    return _CHARACTERS_A_VALUE
