"""Bounds of what a step returns: JSON, and no larger, deeper or more numerous than these limits."""

import math
from collections.abc import Iterable
from typing import Final

from shared.errors import Permanent
from shared.jsontext import Json
from shared.limits import DEFAULT
from shared.writers.writing import MAX_OUTPUT_CHARACTERS

MAX_EVENTS: Final = 1_000
MAX_ALL_EVENTS_CHARACTERS: Final = 16 * MAX_OUTPUT_CHARACTERS
"""Of all the events that one event becomes: data that they share is written once for each."""
MAX_OUTPUT_DEPTH: Final = 200
MOST_COUNTED: Final = 2
"""The most characters that verify_output counts for each byte of the data's JSON text."""
_ABSENT: Final = object()
_TOO_LARGE: Final[int] = 10**DEFAULT.max_number_digits


def verify_events(events: int, characters: int = 0) -> None:
    """Verify the number and the total characters of the events that one event becomes. Raises Permanent."""
    if events > MAX_EVENTS:
        raise Permanent("output_too_large", f"it makes more than {MAX_EVENTS} events of one")
    if characters > MAX_ALL_EVENTS_CHARACTERS:
        raise Permanent(
            "output_too_large",
            f"the events that it makes are larger together than {MAX_ALL_EVENTS_CHARACTERS} characters",
        )


def verify_output(data: Json) -> int:
    """Return the number of characters of the data as JSON. Raises Permanent (`output_too_large`) at the limit.

    Computed values can hold each other so often that the JSON could never be written. So it is counted, level by
    level, before anything is written. A value counts its text, and two characters for itself and a comma.
    """
    return _verify_level([[data]], MAX_OUTPUT_DEPTH + 1)


def _verify_level(level: list[Json], depth: int) -> int:
    """Return the number of characters in these containers. Raises Permanent at a limit, and below that depth.

    It runs for every value after every step, so it is one loop, and the checks for exact types come first.
    """
    room = MAX_OUTPUT_CHARACTERS
    for _ in range(depth):
        below: list[Json] = []
        for container in level:
            values: Iterable[Json]
            if isinstance(container, dict):
                keys = "".join(container)  # which raises TypeError for a key that is no text
                if not keys.isascii():
                    _verify_text(keys)
                room -= len(keys) + 2 * len(container)
                values = container.values()
            else:
                assert isinstance(container, list)
                room -= 2 * len(container)
                values = container
            for value in values:
                kind = type(value)
                if kind is str:
                    assert isinstance(value, str)
                    if not value.isascii():
                        _verify_text(value)
                    room -= len(value)
                elif kind is dict or kind is list:
                    below.append(value)
                elif value is not None and kind is not bool:
                    room -= _number_characters(value)
            if room < 0:
                raise Permanent("output_too_large", f"its output is larger than {MAX_OUTPUT_CHARACTERS} characters")
        if not below:
            return MAX_OUTPUT_CHARACTERS - room
        level = below
    raise Permanent("output_too_large", f"its output is nested deeper than {MAX_OUTPUT_DEPTH}")


def _verify_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        rule = "its output holds half a surrogate pair, which is no character"
        raise Permanent("invalid_output", rule) from None


def verify_change(data: Json, before: Json, characters: int) -> int:
    """Return an upper bound of the characters in data that was made of `before`. `characters` is that of `before`.

    What `before` has under the same key is among its characters, and its numbers and its depth were verified with it:
    only the rest is looked at, if that leads to no limit. Raises Permanent as verify_output does.
    """
    if isinstance(data, dict) and isinstance(before, dict):
        changed = {key: value for key, value in data.items() if before.get(key, _ABSENT) is not value}
        try:
            characters += _verify_level([changed], MAX_OUTPUT_DEPTH)
        except Permanent:
            characters = MAX_OUTPUT_CHARACTERS + 1
        if characters <= MAX_OUTPUT_CHARACTERS:
            return characters
    return verify_output(data)


def _number_characters(value: Json) -> int:
    if type(value) is float:
        if not math.isfinite(value):
            raise Permanent("invalid_output", "its output holds a number that JSON lacks (infinity, or not a number)")
        return 0
    if not isinstance(value, int):
        raise Permanent("invalid_output", f"its output holds what JSON lacks: {type(value).__name__}")
    if abs(value) >= _TOO_LARGE:  # a sum can be, and could never be written
        raise Permanent(
            "invalid_output", f"its output holds an integer of more than {DEFAULT.max_number_digits} digits"
        )
    return value.bit_length() // 4
