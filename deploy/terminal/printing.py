"""Printing that every command shares."""

import json

from shared.jsontext import JsonObject


def print_json(document: JsonObject) -> None:
    """Print ASCII only: what a sender wrote must not move a terminal's cursor."""
    print(json.dumps(document, indent=2))


def count_of(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"
