"""Documents in an event: text is a string, bytes are `{"type": …, "size": …, "base64": …}`, the rest is JSON."""

from base64 import b64decode
from typing import Final

from shared.formats.bytes_body import binary
from shared.jsontext import Json

JSON_TYPE: Final = "application/json"
_KEYS = frozenset({"type", "size", "base64"})


def bytes_of(value: Json) -> bytes | None:
    """None where the value is no document of bytes. One from a form has a file's `name` besides."""
    if not isinstance(value, dict) or not value.keys() >= _KEYS or not isinstance(value["base64"], str):
        return None
    try:
        return b64decode(value["base64"], validate=True)
    except ValueError:
        return None


def content_of(value: Json) -> bytes | None:
    """The content of text (in UTF-8) or bytes; None for any other value."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes_of(value)


def type_of(value: Json) -> str | None:
    """The content type that bytes say of themselves."""
    said = value.get("type") if isinstance(value, dict) else None
    return said if isinstance(said, str) else None


def document(content: bytes, type_name: str = "") -> Json:
    """Text where it is UTF-8 without NUL, else bytes."""
    if b"\0" not in content:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return binary(content, type_name)
