"""Printing that every command shares."""

import json

from shared.jsontext import JsonObject


def print_json(document: JsonObject) -> None:
    """Print ASCII only: what a sender wrote must not move a terminal's cursor."""
    print(json.dumps(document, indent=2))


def count_of(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def duration_text(seconds: float) -> str:
    """Return `40 s`, `3 min`, `5 h` or `12 d`: the largest unit of which there are at least two."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
