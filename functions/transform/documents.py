"""A document in an event: text, bytes or any other JSON. Bytes are written as `{"type": …, "size": …, "base64": …}`."""

from typing import Final

from shared import base64_text
from shared.formats.text_body import binary
from shared.jsontext import Json

JSON_TYPE: Final = "application/json"
_BYTES_KEYS: Final = frozenset({"type", "size", "base64"})


def bytes_of(value: Json) -> bytes | None:
    """Return the content of bytes in an event, which may have a `name` too; None for any other value."""
    if not isinstance(value, dict) or not value.keys() >= _BYTES_KEYS or not isinstance(value["base64"], str):
        return None
    try:
        return base64_text.decode_base64(value["base64"])
    except ValueError:
        return None


def content_of(value: Json) -> bytes | None:
    """Return the content of text (in UTF-8) or bytes; None for any other value."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes_of(value)


def type_of(value: Json) -> str | None:
    """Return the content type in bytes of an event; None if they do not state one."""
    stated = value.get("type") if isinstance(value, dict) else None
    return stated if isinstance(stated, str) else None


def text_or_bytes(content: bytes) -> Json:
    """Return text if the content is UTF-8 without NUL, else bytes."""
    if b"\0" not in content:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return binary(content, "")
