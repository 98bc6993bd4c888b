"""A body, or a part of one, that is no text: `{"type": …, "size": bytes, "base64": …}`."""

from base64 import b64encode

from shared.formats.media_type import MediaType
from shared.jsontext import Json, JsonObject
from shared.limits import Limits

_UNKNOWN_TYPE = "application/octet-stream"


def parse(body: bytes, media: MediaType, _: Limits) -> Json:
    return binary(body, media.name)


def binary(content: bytes, type_name: str) -> JsonObject:
    return {
        "type": type_name or _UNKNOWN_TYPE,
        "size": len(content),
        "base64": b64encode(content).decode("ascii"),
    }
