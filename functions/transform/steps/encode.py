"""The steps `encode` and `decode`: write text or bytes in a coding, such as base64 or gzip, or in a charset; and back.

An encoder takes bytes and returns text or bytes; a decoder takes bytes and returns bytes. Both may raise CodingError. A
decoder rejects content that no encoder writes, such as base64 with white space in it, so that damaged content is not
taken for other content.
"""

import binascii
import html
import re
import zlib
from base64 import b64decode
from collections.abc import Callable
from functools import lru_cache
from html.entities import html5
from typing import Annotated, ClassVar, Final, Literal
from urllib.parse import quote_from_bytes

from functions.transform import documents, paths, step
from shared import did_you_mean, errors, limits
from shared.config.rules import verified_by
from shared.event import Event
from shared.formats import content_encoding, form_body, parse
from shared.formats.text_body import binary, codec_of, decode_text
from shared.jsontext import Json, base64_bytes, base64_text, base64url, decode_base64, kind_of, to_json
from shared.writers.writing import MAX_OUTPUT_CHARACTERS

_BASE64URL: Final = re.compile(rb"[A-Za-z0-9_-]*={0,2}")
_OCTETS: Final = re.compile(r"(?:[01]{8}(?: (?=[01]))?)*+")
"""Bytes as digits, such as `01000001 01100100`, with or without the space. It is possessive (`*+`), so that it never
backtracks."""
_DIGITS: Final = tuple(f"{byte:08b}" for byte in range(256))
"""The digits of each byte, because formatting each byte of a large content takes much longer."""
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_GRAPHIC: Final = bytes(range(0x21, 0x7F))
"""The characters of ASCII that are neither white space nor control characters."""
_REFERENCE: Final = re.compile(r"&(?:#[0-9]{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{0,40};)?")
"""A reference to a character, such as `&amp;`, `&#38;` or `&#x26;`; or an `&` that begins none, which is rejected."""
_DECODED: Final = limits.Limits(max_decoded_bytes=MAX_OUTPUT_CHARACTERS)


class CodingError(ValueError):
    """Content that cannot be encoded or decoded.

    The text, such as "is not hex", follows the path of the content in a message. It does not quote the content.
    """


def coding_or_charset(name: str) -> str:
    """Return the name of a coding or a charset. Raises ValueError for any other name."""
    if name != "json" and name not in ENCODERS:
        try:
            codec_of(name)
        except errors.Rejected:
            names = ", ".join([*ENCODERS, "json"])
            near = did_you_mean.nearest(name, [*ENCODERS, "json", "utf-8", "iso-8859-1", "windows-1252"])
            hint = f"; did you mean {near!r}?" if near else ""
            rule = f"{name!r} must be one of {names}, or the name of a charset in lower case"
            raise ValueError(f"{rule}{hint}") from None
    return name


def _to_binary(content: bytes) -> str:
    return " ".join([_DIGITS[byte] for byte in content])


def _to_html(content: bytes) -> str:
    try:
        return html.escape(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise CodingError("is bytes that are not UTF-8 text") from None


def _to_gzip(content: bytes) -> bytes:
    """Return gzip without a time in it, so that the same content is the same bytes."""
    packer = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


ENCODERS: Final[dict[str, Callable[[bytes], "str | bytes"]]] = {
    "base64": base64_text,
    "base64url": base64url,
    "hex": lambda content: content.hex(),
    "binary": _to_binary,
    "percent": lambda content: quote_from_bytes(content, safe=""),
    "html": _to_html,
    "gzip": _to_gzip,
}


def _from_base64(content: bytes) -> bytes:
    try:
        decoded = decode_base64(content)
    except binascii.Error:
        raise CodingError("is not base64: letters, digits, + and /, padded with =, with nothing between") from None
    if base64_bytes(decoded) != content:  # as for `QWRhZB==`, which a decoder reads like `QWRhZA==`
        raise CodingError("is not base64 that an encoder writes: its last bits are not zero")
    return decoded


def _from_base64url(content: bytes) -> bytes:
    """Decode base64url with or without its padding."""
    bare = content.rstrip(b"=")
    padded = bare + b"=" * (-len(bare) % 4)
    has_right_padding = content in (bare, padded)
    has_possible_length = len(bare) % 4 != 1  # four characters are three bytes, and one character is not even one
    if not (_BASE64URL.fullmatch(content) and has_right_padding and has_possible_length):
        raise CodingError("is not base64url: letters, digits, - and _, with nothing between")
    decoded = b64decode(padded, altchars=b"-_")
    if base64url(decoded).encode() != bare:
        raise CodingError("is not base64url that an encoder writes: its last bits are not zero")
    return decoded


def _from_hex(content: bytes) -> bytes:
    try:
        return binascii.unhexlify(content)
    except binascii.Error:
        raise CodingError("is not hex: pairs of 0-9 and a-f, with nothing between them") from None


def _from_binary(content: bytes) -> bytes:
    digits = content.decode("ascii", "replace")
    if not _OCTETS.fullmatch(digits):
        raise CodingError("is not binary digits: eight 0s and 1s for each byte, with one space or none between bytes")
    bits = digits.replace(" ", "")
    return int(bits or "0", 2).to_bytes(len(bits) // 8, "big")


def _from_percent(content: bytes) -> bytes:
    if content.translate(None, _GRAPHIC) or _BAD_ESCAPE.search(content):
        raise CodingError("is not percent-encoded: ASCII, and two hex digits after each %")
    return form_body.unescaped(content)


def _from_html(content: bytes) -> bytes:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise CodingError("is not UTF-8 text") from None
    return _REFERENCE.sub(lambda found: _character(found[0]), text).encode("utf-8")


@lru_cache(maxsize=1_024)
def _character(reference: str) -> str:
    """Return the character of a reference such as `&amp;`. Raises CodingError for what is none, such as a bare `&`."""
    name = reference[1:]  # with its semicolon, as the names in `html5` have it
    is_known = name.startswith("#") or name in html5
    character = html.unescape(reference) if is_known else ""
    if not character or "\ufffd" in character:
        raise CodingError("has an & that does not begin an HTML character reference")
    return character


def _from_gzip(content: bytes) -> bytes:
    try:
        return content_encoding.decode_content(content, "gzip", _DECODED)
    except errors.Rejected as error:
        if error.code == "decoded_body_too_large":
            raise CodingError(f"is gzip of more than {MAX_OUTPUT_CHARACTERS} bytes") from None
        raise CodingError("is not gzip, or damaged") from None


DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "base64": _from_base64,
    "base64url": _from_base64url,
    "hex": _from_hex,
    "binary": _from_binary,
    "percent": _from_percent,
    "html": _from_html,
    "gzip": _from_gzip,
}
_MAY_END_IN_LINE_BREAK: Final = frozenset({"base64", "base64url", "hex", "binary", "percent"})
"""The codings whose content may be followed by a line break, as at the end of a text file."""


class Encode(paths.PathSettings, step.Step):
    """Encode text or bytes; any other value is encoded as its JSON.

    to  base64, base64url, hex, binary (digits), percent, html, gzip; json: JSON in a string; or a charset, such as
        windows-1252. gzip and charsets make bytes
    """

    summary: ClassVar[str] = (
        "Write text or bytes as base64, hex, binary digits, percent, HTML, gzip, JSON or in a charset."
    )
    example: ClassVar[step.Example] = step.Example(
        settings={"to": "base64", "path": "data.name", "into": "data.token"},
        before={"name": "Ada"},
        after={"name": "Ada", "token": "QWRh"},
    )

    to: Annotated[str, verified_by(coding_or_charset)]

    def apply(self, event: Event, _: step.StepContext) -> Event:
        return self.change(event, self._encode)

    def _encode(self, value: Json, place: str) -> Json:
        if self.to == "json":
            return to_json(value)
        content = documents.content_of(value)
        if content is None:
            content = to_json(value).encode()
        encoder = ENCODERS.get(self.to)
        try:
            encoded = encoder(content) if encoder else _to_charset(content, self.to)
        except CodingError as fault:
            raise errors.Permanent("encoding_failed", f"{place} {fault}") from None
        if isinstance(encoded, str):
            return encoded
        return binary(encoded, "application/gzip" if self.to == "gzip" else f"text/plain; charset={self.to}")


def _to_charset(content: bytes, charset: str) -> bytes:
    try:
        return content.decode("utf-8").encode(codec_of(charset))
    except UnicodeDecodeError:
        raise CodingError("is bytes that are not UTF-8 text") from None
    except UnicodeEncodeError:
        raise CodingError(f"has a character that {charset} lacks") from None


class Decode(paths.PathSettings, step.Step):
    """Decode text or bytes. Content that no encoder writes fails the step, but a line break at the end may follow.

    from  base64, base64url, hex, binary (digits), percent, html, gzip; json: JSON in a string; or the charset of
          bytes, such as windows-1252
    as    text or bytes (default: text if the result is UTF-8, else bytes)
    """

    summary: ClassVar[str] = "Read base64, hex, binary digits, percent, HTML, gzip, JSON in a string, or a charset."
    example: ClassVar[step.Example] = step.Example(
        settings={"from": "json", "path": "data.payload"},
        before={"payload": '{"plan": "pro"}'},
        after={"payload": {"plan": "pro"}},
    )

    from_: Annotated[str, verified_by(coding_or_charset)]
    as_: Literal["text", "bytes"] | None = None

    def apply(self, event: Event, _: step.StepContext) -> Event:
        return self.change(event, self._decode)

    def _decode(self, value: Json, place: str) -> Json:
        content = documents.content_of(value)
        try:
            if content is None:
                raise CodingError(f"is {kind_of(value)}; only text and bytes can be decoded")
            return self._decode_content(content)
        except CodingError as fault:
            raise errors.Permanent("decoding_failed", f"{place} {fault}") from None

    def _decode_content(self, content: bytes) -> Json:
        if self.from_ == "json":
            return _from_json(content)
        decoder = DECODERS.get(self.from_)
        if decoder is None:
            return _from_charset(content, self.from_)
        if self.from_ in _MAY_END_IN_LINE_BREAK:
            content = content.removesuffix(b"\n").removesuffix(b"\r")
        decoded = decoder(content)
        if self.as_ == "bytes":
            return binary(decoded, "")
        if self.as_ == "text":
            return _from_charset(decoded, "utf-8")
        return documents.text_or_bytes(decoded)


def _from_json(content: bytes) -> Json:
    try:
        return parse.parse_as("json", content, None).data
    except errors.Rejected as error:
        raise CodingError(f"cannot be read: {error.detail}") from None


def _from_charset(content: bytes, charset: str) -> str:
    try:
        return decode_text(content, charset)
    except errors.Rejected:
        raise CodingError(f"is not {charset} text") from None
