"""Bodies of no structure: text is a string, other bytes are `{"type": …, "size": bytes, "base64": …}`."""

from shared.base64_text import base64_text
from shared.formats.charset import decode_text
from shared.formats.media_type import MediaType
from shared.jsontext import Json, JsonObject
from shared.limits import Limits

_UNKNOWN_TYPE = "application/octet-stream"


def parse(body: bytes, media: MediaType, _: Limits) -> Json:
    return binary(body, media.name)


def parse_text(body: bytes, media: MediaType, _: Limits) -> Json:
    return decode_text(body, media.charset)


def binary(content: bytes, type_name: str) -> JsonObject:
    return {
        "type": type_name or _UNKNOWN_TYPE,
        "size": len(content),
        "base64": base64_text(content),
    }
