"""Newline-delimited JSON, and RFC 7464's sequences: a list of what each line holds."""

import re
from typing import Final

from shared.errors import Rejected
from shared.formats.json_body import decoder_for, load, utf8_json, verify_shape
from shared.formats.media_type import MediaType
from shared.jsontext import Json
from shared.limits import Limits

# A line that holds more than spaces and RFC 7464's record separator.
_LINE: Final = re.compile(rb"^[ \t\r\x1e]*+([^\n]++)", re.MULTILINE)


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    text = utf8_json(body, media)
    count = sum(1 for _ in _LINE.finditer(text))
    verify_shape(text, limits, texts=1 + count, inside=1)
    decoder = decoder_for(text, limits)
    values: list[Json] = []
    for number, line in enumerate(_LINE.finditer(text), start=1):
        try:
            values.append(load(line[1], decoder))
        except Rejected as error:
            raise Rejected(error.code, f"JSON text {number} of {count}: {error.detail}") from None
    return values
