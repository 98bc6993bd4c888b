"""Reading a request's JSON as protobuf's JSON mapping does: camelCase or snake_case names, null as absent."""

import json
import re
from collections.abc import Set as AbstractSet
from typing import Final

from deploy.dev.pubsub.durations import seconds_from
from deploy.dev.pubsub.errors import ApiError, invalid
from shared.jsontext import Json, JsonObject, to_json

_SNAKE: Final = re.compile(r"_([a-z])")


def camel(name: str) -> str:
    return _SNAKE.sub(lambda found: found[1].upper(), name)


def parse_object(body: bytes) -> JsonObject:
    """An empty body is an empty message."""
    try:
        document: Json = json.loads(body, parse_constant=_no_constant) if body.strip() else {}
        if b"\\u" in body:
            to_json(document).encode()  # half of a surrogate pair is no text that could be given back
    except (ValueError, RecursionError) as error:
        raise invalid("Invalid JSON payload received. The body is not JSON.") from error
    if not isinstance(document, dict):
        raise invalid("Invalid JSON payload received. The body is not an object.")
    return document


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


class Fields:
    """The members of one message. Reading one of another type than asked for raises INVALID_ARGUMENT."""

    def __init__(self, value: Json, path: str, known: AbstractSet[str]) -> None:
        if not isinstance(value, dict):
            raise invalid(f"Invalid value at '{path}': an object is expected.")
        self._members = {camel(name): member for name, member in value.items() if member is not None}
        self._path = path
        for name in self._members.keys() - known:
            raise invalid(f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field.")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def asks_for(self, name: str) -> bool:
        """Clients spell out what they do not want, too: false and empty are no wish."""
        return self._members.get(name) not in (None, False, "", [], {})

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def text(self, name: str, default: str = "") -> str:
        value = self._members.get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def flag(self, name: str) -> bool:
        value = self._members.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def whole(self, name: str, default: int = 0) -> int:
        """protobuf's JSON takes whole numbers as text too."""
        value = self._members.get(name, default)
        if isinstance(value, str) and value.isdecimal() and len(value) <= 18:
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "a whole number")
        return value

    def seconds(self, name: str, default: float, least: float, most: float) -> float:
        if name not in self._members:
            return default
        value = seconds_from(self.text(name), self.path(name))
        if not least <= value <= most:
            raise invalid(f"Invalid value at '{self.path(name)}': from {least:.0f} to {most:.0f} seconds.")
        return value

    def message(self, name: str) -> JsonObject | None:
        value = self._members.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return value

    def messages(self, name: str) -> list[Json]:
        value = self._members.get(name, [])
        if not isinstance(value, list):
            raise self._wrong(name, "an array")
        return value

    def texts(self, name: str) -> dict[str, str]:
        value = self._members.get(name, {})
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        texts = {key: text for key, text in value.items() if isinstance(text, str)}
        if len(texts) != len(value):
            raise self._wrong(name, "an object of strings")
        return texts

    def _wrong(self, name: str, expected: str) -> ApiError:
        return invalid(f"Invalid value at '{self.path(name)}': {expected} is expected.")
