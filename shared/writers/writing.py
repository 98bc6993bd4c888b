"""The parts that all writers use: faults with their place, output that is bounded while it grows, scalars as text."""

import math
import re
from typing import Final, TypeAlias

from shared import errors, jsontext

# Patterns that are compiled at their first use, since transform's start imports this module.
_PLAIN_KEY: Final = r"[A-Za-z_][A-Za-z0-9_-]*"
_PREFIXED_KEY: Final = r"@?(?=[0-9_:-]*[A-Za-z])[A-Za-z0-9_-]+(?::[A-Za-z0-9_-]+)*"
SHOWN_CHARACTERS: Final = 64
"""The longest key of a sender's data that a message shows."""

Location: TypeAlias = "tuple[Location, str | int] | None"
"""Where a value is: the location of the list or object that it is in, and its position or key there.

None is the value as a whole. So `((None, "items"), 0)` is `items[0]`. A location is cheap to make for each value. Only
for a fault, `FormatFault.message` writes it as the text that is called `place` here.
"""


def is_field_name(key: str) -> bool:
    """Return whether a key is a short name of ASCII letters, digits, `_` and `-` that begins with no digit and no `-`.

    Short is at most SHOWN_CHARACTERS.
    """
    # Most keys are identifiers, which are found faster than by the pattern.
    return (
        len(key) <= SHOWN_CHARACTERS
        and key.isascii()
        and (key.isidentifier() or re.fullmatch(_PLAIN_KEY, key) is not None)
    )


def place_of_senders_key(place: str, key: str) -> str:
    """Return the place of a key for a message, which is logged too. The key is `*` if it could be any text.

    Only names of fields are shown, also with a prefix as in XML. An address, a number or a key with a space is not.
    """
    if is_field_name(key):
        return f"{place}.{key}"
    is_shown = len(key) <= SHOWN_CHARACTERS and re.fullmatch(_PREFIXED_KEY, key)
    return f'{place}["{key}"]' if is_shown else f"{place}.*"


class FormatFault(ValueError):
    """A value that a format cannot represent, or a document that is not of the format.

    `reason` is the end of a sentence about it: `is null, which …`.
    """

    def __init__(self, location: Location, reason: str) -> None:
        super().__init__(reason)
        self.location = location
        self.reason = reason

    def message(self, place: str) -> str:
        """Return the whole sentence. `place` is the path to the value as a whole."""
        parts: list[str | int] = []
        location = self.location
        while location is not None:
            location, part = location
            parts.append(part)
        for part in reversed(parts):
            place = f"{place}[{part}]" if isinstance(part, int) else place_of_senders_key(place, part)
        return f"{place} {self.reason}"


MAX_OUTPUT_CHARACTERS: Final = 4 * 1024 * 1024
"""The most characters of the output of a step."""


class Room:
    """The number of characters that are left for an output, which is made piece by piece from a shorter value."""

    def __init__(self) -> None:
        self._left = MAX_OUTPUT_CHARACTERS

    def take(self, characters: int) -> None:
        """Count this many characters. Raises Permanent (`output_too_large`)."""
        self.verify(characters)
        self._left -= characters

    def verify(self, characters: int) -> None:
        """Verify that this many characters are left, without counting them. Raises Permanent (`output_too_large`)."""
        if characters > self._left:
            raise errors.Permanent("output_too_large", f"its output is larger than {MAX_OUTPUT_CHARACTERS} characters")


class BoundedText(Room):
    """A text that is made piece by piece, within the bound of an output."""

    def __init__(self, first: str = "") -> None:
        super().__init__()
        self._pieces: list[str] = []
        self.add(first)

    def add(self, piece: str) -> None:
        """Add a piece. Raises Permanent (`output_too_large`) if the text would be too long."""
        self.take(len(piece))
        self._pieces.append(piece)

    def text(self) -> str:
        return "".join(self._pieces)


def scalar_text(value: jsontext.Json, location: Location) -> str:
    """Return the value as text, for formats that have nothing else; null is an empty text. Raises FormatFault."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        raise FormatFault(location, f"is {jsontext.kind_of(value)} where only text fits")
    if isinstance(value, bool):
        return "true" if value else "false"
    # The value is a number here, written as in JSON.
    return "" if value is None else repr(value)


def verify_json(value: jsontext.Json, location: Location = None) -> None:
    """Raise FormatFault for a key, a text or a number that JSON lacks, or that UTF-8 cannot encode.

    A step that the operator wrote in Python can return one. Values of types that JSON lacks are not looked for.
    """
    if isinstance(value, str):
        if not value.isascii():
            _verify_text(value, location)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):  # the type says so, but nothing checks it at run time
                raise FormatFault(location, f"has a key that is not text but {type(key).__name__}")
            if not key.isascii():
                _verify_text(key, location)
            verify_json(item, (location, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            verify_json(item, (location, number))
    elif isinstance(value, float) and not math.isfinite(value):
        raise FormatFault(location, "is a number that JSON lacks (infinity, or not a number)")


def _verify_text(text: str, location: Location) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise FormatFault(location, "holds half of a surrogate pair, which UTF-8 cannot encode") from None
