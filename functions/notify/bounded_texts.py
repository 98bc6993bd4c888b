"""Texts and bodies as a receiver takes them: cut to its limits, and always UTF-8."""

from typing import Final

from shared.jsontext import Json, to_json

MARK: Final = "…"
"""The end of a text that was cut."""


def cut(text: str, characters: int) -> str:
    """Return the text; a longer one ends with a mark."""
    return text if len(text) <= characters else text[: characters - len(MARK)].rstrip() + MARK


def cut_encoded(text: str, size: int, encoding: str = "utf-8") -> str:
    """Return the text, cut so that it has at most `size` bytes in that encoding."""
    encoded = text.encode(encoding, "replace")
    if len(encoded) <= size:
        return encoded.decode(encoding)
    return encoded[: size - len(MARK.encode(encoding))].decode(encoding, "ignore").rstrip() + MARK


def json_body(value: Json) -> bytes:
    """Return the JSON in UTF-8. Half a surrogate pair, which an event may hold, becomes a question mark."""
    return to_json(value).encode("utf-8", "replace")
