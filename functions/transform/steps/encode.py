"""Encodings: encode and decode text and bytes."""

from typing import Annotated, ClassVar, Literal

from functions.transform.codings import DECODERS, ENCODERS, CodingError, coding_or_charset
from functions.transform.documents import content_of, text_or_bytes
from functions.transform.fields import PathSettings
from functions.transform.step import Example, Step, StepContext
from shared.config.rules import verified_by
from shared.errors import Permanent, Rejected
from shared.event import Event
from shared.formats.bytes_body import binary
from shared.formats.charset import codec_of, decode_text
from shared.formats.parse import parse_as
from shared.jsontext import Json, kind_of, to_json

_TYPES = {"gzip": "application/gzip"}


class Encode(PathSettings, Step):
    """Encode text or bytes; any other value is encoded as its JSON.

    to  base64, base64url, hex, binary (digits), percent, html, gzip; json: JSON in a string; or a charset, such as
        windows-1252. gzip and charsets make bytes
    """

    summary: ClassVar[str] = (
        "Write text or bytes as base64, hex, binary digits, percent, HTML, gzip, JSON or in a charset."
    )
    example: ClassVar[Example] = Example(
        settings={"to": "base64", "path": "data.name", "into": "data.token"},
        before={"name": "Ada"},
        after={"name": "Ada", "token": "QWRh"},
    )

    to: Annotated[str, verified_by(coding_or_charset)]

    def apply(self, event: Event, _: StepContext) -> Event:
        return self.change(event, self._encode)

    def _encode(self, value: Json, place: str) -> Json:
        if self.to == "json":
            return to_json(value)
        content = content_of(value)
        if content is None:
            content = to_json(value).encode()
        encoder = ENCODERS.get(self.to)
        try:
            encoded = encoder(content) if encoder else _to_charset(content, self.to)
        except CodingError as fault:
            raise Permanent("encoding_failed", f"{place} {fault}") from None
        if isinstance(encoded, str):
            return encoded
        return binary(encoded, _TYPES.get(self.to, f"text/plain; charset={self.to}"))


def _to_charset(content: bytes, charset: str) -> bytes:
    try:
        return content.decode("utf-8").encode(codec_of(charset))
    except UnicodeDecodeError:
        raise CodingError("is bytes that are not UTF-8 text") from None
    except UnicodeEncodeError:
        raise CodingError(f"has a character that {charset} lacks") from None


class Decode(PathSettings, Step):
    """Decode text or bytes. Content that no encoder writes fails the step.

    from  base64, base64url, hex, binary (digits), percent, html, gzip; json: JSON in a string; or the charset of
          bytes, such as windows-1252
    as    text or bytes (default: text if the result is UTF-8, else bytes)
    """

    summary: ClassVar[str] = "Read base64, hex, binary digits, percent, HTML, gzip, JSON in a string, or a charset."
    example: ClassVar[Example] = Example(
        settings={"from": "json", "path": "data.payload"},
        before={"payload": '{"plan": "pro"}'},
        after={"payload": {"plan": "pro"}},
    )

    from_: Annotated[str, verified_by(coding_or_charset)]
    as_: Literal["text", "bytes"] | None = None

    def apply(self, event: Event, _: StepContext) -> Event:
        return self.change(event, self._decode)

    def _decode(self, value: Json, place: str) -> Json:
        content = content_of(value)
        try:
            if content is None:
                raise CodingError(f"is {kind_of(value)}; only text and bytes can be decoded")
            return self._decode_content(content)
        except CodingError as fault:
            raise Permanent("decoding_failed", f"{place} {fault}") from None

    def _decode_content(self, content: bytes) -> Json:
        if self.from_ == "json":
            return _from_json(content)
        decoder = DECODERS.get(self.from_)
        if decoder is None:
            return _from_charset(content, self.from_)
        decoded = decoder(content)
        if self.as_ == "bytes":
            return binary(decoded, "")
        return _from_charset(decoded, "utf-8") if self.as_ == "text" else text_or_bytes(decoded)


def _from_json(content: bytes) -> Json:
    try:
        return parse_as("json", content, None).data
    except Rejected as error:
        raise CodingError(f"cannot be read: {error.detail}") from None


def _from_charset(content: bytes, charset: str) -> str:
    try:
        return decode_text(content, charset)
    except Rejected:
        raise CodingError(f"is not {charset} text") from None
