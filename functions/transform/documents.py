"""A document in an event: text, bytes or any other JSON. Bytes are written as `{"type": …, "size": …, "base64": …}`."""

from typing import Final

from shared.formats.text_body import binary, bytes_in
from shared.jsontext import Json

JSON_TYPE: Final = "application/json"


def bytes_of(value: Json) -> bytes | None:
    """Return the content of bytes in an event, which may have a `name` too; None for any other value."""
    found = bytes_in(value)
    return found[0] if found else None


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
