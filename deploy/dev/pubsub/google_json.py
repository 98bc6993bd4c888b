"""Google's JSON: requests parsed by protobuf's mapping (camelCase or snake_case, null as absent), and errors.

https://cloud.google.com/apis/design/errors
"""

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from shared.jsontext import Json, JsonObject, to_json

HTTP_CODES: Mapping[str, int] = MappingProxyType(
    {
        "INVALID_ARGUMENT": 400,
        "FAILED_PRECONDITION": 400,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "RESOURCE_EXHAUSTED": 429,
        "INTERNAL": 500,
        "UNIMPLEMENTED": 501,
        "UNAVAILABLE": 503,
    }
)


class ApiError(Exception):
    """An error that a request is answered with. `status` is a key of HTTP_CODES."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message

    @property
    def http_code(self) -> int:
        return HTTP_CODES[self.status]

    def document(self) -> JsonObject:
        return {"error": {"code": self.http_code, "message": self.message, "status": self.status}}


def invalid(message: str) -> ApiError:
    return ApiError("INVALID_ARGUMENT", message)


def not_found(name: str) -> ApiError:
    return ApiError("NOT_FOUND", f"Resource not found (resource={name.rpartition('/')[2]}).")


def already_exists(name: str) -> ApiError:
    return ApiError("ALREADY_EXISTS", f"Resource already exists in the project (resource={name.rpartition('/')[2]}).")


def not_emulated(what: str) -> ApiError:
    return ApiError("UNIMPLEMENTED", f"UNIMPLEMENTED: this emulator does not have {what}; Google Cloud has it.")


_DURATION: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)s")


def seconds_from(text: str, path: str) -> float:
    """Parse a duration such as `3.5s`. Raises ApiError."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise invalid(f"Invalid value at '{path}': a duration is seconds with an 's', like \"3.5s\".")
    return float(found[1])


def duration_text(seconds: float) -> str:
    """Return `600s` or `0.500s`: whole seconds, else milliseconds."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds:.3f}s"


_SNAKE: Final = re.compile(r"_([a-z])")


@lru_cache(maxsize=256)
def camel(name: str) -> str:
    return _SNAKE.sub(lambda found: found[1].upper(), name)


def parse_object(body: bytes) -> JsonObject:
    """Parse a request's body; an empty one is an empty message. Raises ApiError."""
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
    """The members of one message. Reading one as another type than it has raises INVALID_ARGUMENT."""

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
        """Return whether a member is set. Clients send false and empty values for what they do not want."""
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
        """Return an integer; protobuf's JSON mapping accepts it as a string too."""
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
