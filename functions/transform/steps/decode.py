"""Decode: what an encoder wrote, read back."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from functions.transform.codings import DECODERS, NotCoded, coding_or_charset
from functions.transform.documents import content_of, document
from functions.transform.expressions import kind_of
from functions.transform.fields import Placed
from functions.transform.step import Example, Step, StepContext
from shared.errors import Permanent, Rejected
from shared.event import Event
from shared.formats.bytes_body import binary
from shared.formats.charset import decode_text
from shared.formats.parse import parse_as
from shared.jsontext import Json


class Decode(Placed, Step):
    """The text or bytes at `path` (default: all of `data`), read as `from` says. What no encoder writes is refused.

    from  base64, base64url, hex, binary (digits), percent, html, gzip; json: JSON in a string; or a charset, such as
          windows-1252, of bytes
    as    text or bytes; default: text where it is UTF-8, else bytes
    into  where the result goes; default: the same place
    """

    summary: ClassVar[str] = "Read base64, hex, binary digits, percent, HTML, gzip, JSON in a string, or a charset."
    example: ClassVar[Example] = Example(
        settings={"from": "json", "path": "data.payload"},
        before={"payload": '{"plan": "pro"}'},
        after={"payload": {"plan": "pro"}},
    )

    from_: Annotated[str, AfterValidator(coding_or_charset), Field(alias="from")]
    as_: Literal["text", "bytes"] | None = Field(default=None, alias="as")

    def apply(self, event: Event, _: StepContext) -> Event:
        return self.changed(event, self._decoded)

    def _decoded(self, value: Json, place: str) -> Json:
        content = content_of(value)
        try:
            if content is None:
                raise NotCoded(f"is {kind_of(value)}; only text and bytes can be decoded")
            return self._read(content)
        except NotCoded as fault:
            raise Permanent("decode", f"{place} {fault}") from None

    def _read(self, content: bytes) -> Json:
        if self.from_ == "json":
            return _parsed(content)
        decoder = DECODERS.get(self.from_)
        if decoder is None:
            return _from_charset(content, self.from_)
        decoded = decoder(content)
        if self.as_ == "bytes":
            return binary(decoded, "")
        return _from_charset(decoded, "utf-8") if self.as_ == "text" else document(decoded)


def _parsed(content: bytes) -> Json:
    try:
        return parse_as("json", content, None).data
    except Rejected as error:
        raise NotCoded(f"cannot be read: {error.detail}") from None


def _from_charset(content: bytes, charset: str) -> str:
    try:
        return decode_text(content, charset)
    except Rejected:
        raise NotCoded(f"is no {charset} text") from None
