"""Bodies of no structure: text is a string, other bytes are `{"type": …, "size": bytes, "base64": …}`."""

from base64 import b64decode, b64encode
from typing import Final

from shared.formats.charset import decode_text
from shared.formats.media_type import MediaType
from shared.jsontext import Json, JsonObject
from shared.limits import Limits

_UNKNOWN_TYPE = "application/octet-stream"
_KEYS: Final = frozenset({"type", "size", "base64"})


def parse(body: bytes, media: MediaType, _: Limits) -> Json:
    return binary(body, media.name)


def parse_text(body: bytes, media: MediaType, _: Limits) -> Json:
    """Decode a text. Without a charset that fits, what is not UTF-8 becomes U+FFFD."""
    return decode_text(body, media.charset, "replace")


def binary(content: bytes, type_name: str) -> JsonObject:
    return {
        "type": type_name or _UNKNOWN_TYPE,
        "size": len(content),
        "base64": b64encode(content).decode("ascii"),
    }


def bytes_in(value: Json) -> tuple[bytes, str] | None:
    """Return the bytes and their type; None for a value that is not what `binary` returns."""
    if not isinstance(value, dict) or not value.keys() >= _KEYS or not isinstance(encoded := value["base64"], str):
        return None
    try:
        return b64decode(encoded, validate=True), str(value["type"])
    except ValueError:  # an object of the sender's that happens to have these keys
        return None
