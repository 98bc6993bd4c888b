"""Bodies without a structure, and the decoding of text by its charset or byte order mark.

A text is a string. Other bytes are `{"type": …, "size": bytes, "base64": …}`.
"""

import codecs
from typing import Final

from shared import errors, jsontext, limits
from shared.formats.parse import MediaType

# The only names that Python is asked for. Its registry also has codecs that are no charsets, and for any name that it
# does not know, it tries to import a module and remembers the outcome.
_KNOWN: Final = frozenset(
    {"utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be", "latin1"}
    | {f"iso-8859-{part}" for part in range(1, 17) if part != 12}
    | {f"windows-{page}" for page in range(1250, 1259)}
    | {"shift_jis", "euc-jp", "iso-2022-jp", "gb2312", "gbk", "gb18030", "big5", "euc-kr", "koi8-r", "koi8-u"}
)
# Read as UTF-8, of which ASCII is a part, because senders that say ASCII often send more.
_ASCII: Final = frozenset({"us-ascii", "ascii"})
# UTF-32's byte order mark comes first, because it begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def codec_of(charset: str) -> str:
    """Return Python's codec for a charset in lower case. Raises Rejected for an unknown one."""
    if charset in _ASCII:
        return "utf-8"
    if charset not in _KNOWN:
        raise errors.Rejected("unsupported_encoding", "the charset is unknown; send UTF-8")
    return charset


def marked_codec(body: bytes) -> str:
    """Return the codec that the byte order mark shows; UTF-8 without one."""
    return next((codec for mark, codec in _MARKS if body.startswith(mark)), "utf-8")


def decode_text(body: bytes, charset: str | None) -> str:
    """Decode a text, without its byte order mark. Raises Rejected (`unsupported_encoding`, `malformed_body`)."""
    codec = codec_of(charset) if charset else marked_codec(body)
    text = decoded(body, codec)
    # These two codecs remove the mark themselves. A mark that is left at the start is a second one and belongs to the
    # text.
    return text if codec in {"utf-16", "utf-32"} else text.removeprefix("\ufeff")


def decoded(encoded: bytes, codec: str) -> str:
    """Decode all bytes, without replacing any. Raises Rejected (`malformed_body`) if some are not in the charset."""
    try:
        return encoded.decode(codec)
    except UnicodeError:  # from None: the cause would carry the body into a traceback
        rule = "the sender must name the charset that it sends, in the content type or in `_charset_`"
        raise errors.Rejected("malformed_body", f"the body is not {codec} text: {rule}") from None


_UNKNOWN_TYPE = "application/octet-stream"
_BINARY_KEYS: Final = frozenset({"type", "size", "base64"})


def parse_bytes(body: bytes, media: MediaType, _: limits.Limits) -> jsontext.Json:
    return binary(body, media.name)


def parse(body: bytes, media: MediaType, _: limits.Limits) -> jsontext.Json:
    return decode_text(body, media.charset)


def binary(content: bytes, type_name: str) -> jsontext.JsonObject:
    """Return the object that stands for bytes in the data of an event."""
    return {
        "type": type_name or _UNKNOWN_TYPE,
        "size": len(content),
        "base64": jsontext.base64_text(content),
    }


def bytes_in(value: jsontext.Json) -> tuple[bytes, str] | None:
    """Return the bytes that `binary` wrote, which may have a `name` too, and their type; None for any other value."""
    if not isinstance(value, dict) or not value.keys() >= _BINARY_KEYS or not isinstance(value["base64"], str):
        return None
    try:
        return jsontext.decode_base64(value["base64"]), str(value["type"])
    except ValueError:  # an object of the sender's that happens to have these keys
        return None
