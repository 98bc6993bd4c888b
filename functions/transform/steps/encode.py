"""Encode: text and bytes written as other text and bytes."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator

from functions.transform.codings import ENCODERS, NotCoded, coding_or_charset
from functions.transform.documents import content_of
from functions.transform.fields import Placed
from functions.transform.step import Example, Step, StepContext
from shared.errors import Permanent
from shared.event import Event
from shared.formats.bytes_body import binary
from shared.formats.charset import codec_of
from shared.jsontext import Json, to_json

_TYPES = {"gzip": "application/gzip"}


class Encode(Placed, Step):
    """What is at `path` (default: all of `data`), written as `to` says; what is no text and no bytes, as its JSON.

    to    base64, base64url, hex, binary (digits), percent, html, gzip; json: JSON in a string; or a charset, such as
          windows-1252. gzip and charsets make bytes
    into  where the result goes; default: the same place
    """

    summary: ClassVar[str] = (
        "Write text or bytes as base64, hex, binary digits, percent, HTML, gzip, JSON or a charset."
    )
    example: ClassVar[Example] = Example(
        settings={"to": "base64", "path": "data.name", "into": "data.token"},
        before={"name": "Ada"},
        after={"name": "Ada", "token": "QWRh"},
    )

    to: Annotated[str, AfterValidator(coding_or_charset)]

    def apply(self, event: Event, _: StepContext) -> Event:
        return self.changed(event, self._encoded)

    def _encoded(self, value: Json, place: str) -> Json:
        if self.to == "json":
            return to_json(value)
        content = content_of(value)
        if content is None:
            content = to_json(value).encode()
        encoder = ENCODERS.get(self.to)
        try:
            encoded = encoder(content) if encoder else _in_charset(content, self.to)
        except NotCoded as fault:
            raise Permanent("encode", f"{place} {fault}") from None
        if isinstance(encoded, str):
            return encoded
        return binary(encoded, _TYPES.get(self.to, f"text/plain; charset={self.to}"))


def _in_charset(content: bytes, charset: str) -> bytes:
    try:
        return content.decode("utf-8").encode(codec_of(charset))
    except UnicodeDecodeError:
        raise NotCoded("is bytes that are no UTF-8 text") from None
    except UnicodeEncodeError:
        raise NotCoded(f"has a character that {charset} lacks") from None
