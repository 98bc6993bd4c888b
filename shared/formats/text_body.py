"""Text, as a string. Where the sender names no charset that fits, what is not UTF-8 becomes U+FFFD."""

from shared.formats.charset import decode_text
from shared.formats.media_type import MediaType
from shared.jsontext import Json
from shared.limits import Limits


def parse(body: bytes, media: MediaType, _: Limits) -> Json:
    return decode_text(body, media.charset, "replace")
