"""Multipart bodies (RFC 2046, RFC 7578) as JSON: an object with a value for each name, or a list if parts share a name.

A part with a file name is `{"name": …, "type": …, "size": bytes, "base64": …}`. So is a part that is neither of a text
type nor UTF-8. Any other part is a string. A file name is as it was sent, so it may have a path. Names and texts are in
the charset of their part, else in the charset that the part `_charset_` names (RFC 7578, 4.6), else in UTF-8.

This is own code and not python-multipart (0.0.34), which silently drops the last part of a body without its final
boundary, takes 44 µs instead of 14 for a form of five fields, and takes longer to import.
"""

import re
from binascii import Error, a2b_base64, a2b_qp
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from shared.errors import Rejected
from shared.formats.parse import MediaType, media_type
from shared.formats.text_body import binary, codec_of, decoded
from shared.jsontext import Json, JsonObject
from shared.limits import Limits, gather

_MAX_HEADER_BYTES: Final = 8_192
"""The most bytes of the headers of a part."""
_MAX_TEXT_AROUND_BYTES: Final = 8_192
"""The most bytes of the text before the first part, and of the text after the last part. Both texts are dropped."""
_BOUNDARY: Final = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")  # RFC 2046, 5.1.1
_FOLD: Final = re.compile(r"\r\n[ \t]++")
"""The break of a header that goes on in the next line."""
_CHARSET_FIELD: Final = re.compile(rb"(?i);[ \t]*name=\"_charset_\"")
"""The name of the part whose content is the charset of the others, in the headers of that part."""
_TRANSFER_DECODERS: Final[dict[str, Callable[[bytes], bytes]]] = {"base64": a2b_base64, "quoted-printable": a2b_qp}


def parse(body: bytes, media: MediaType, limits: Limits) -> Json:
    """Parse a multipart body. A part without a name is called "".

    Raises Rejected: `too_many_parts` for too many, `malformed_body` for a body that is not a complete multipart body.
    """
    values: JsonObject = {}
    parts = _parts(body, _delimiter(media), limits)
    # Few forms have the part `_charset_`. To look for its name first is faster than to search the headers of each part.
    charset = _named_charset(parts) if b'"_charset_"' in body else "utf-8"
    for head, content in parts:
        headers = _headers(head, charset)
        name, value = _named_value(headers, content, charset)
        gather(values, name, value, limits)
    return values


def _delimiter(media: MediaType) -> bytes:
    """Return what stands between two parts: a line break, two hyphens and the boundary. Raises Rejected."""
    boundary = media.parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise _malformed("a multipart body's content type names a boundary of 1 to 70 plain characters")
    return b"\r\n--" + boundary.encode("ascii")


def _parts(body: bytes, delimiter: bytes, limits: Limits) -> list[tuple[bytes, bytes]]:
    """Split the body into parts: the headers of each, and its content. A little text around the parts is dropped."""
    # The first delimiter may be at the very beginning, without a line break before it. The pieces are the text before
    # the parts, at most `max_parts` parts, and one more, which is either the end or a part too many.
    pieces = (b"\r\n" + body).split(delimiter, limits.max_parts + 1)
    parts: list[tuple[bytes, bytes]] = []
    for number, piece in enumerate(pieces[1:], start=1):
        is_after_last_part = piece.startswith(b"--")
        if is_after_last_part:
            bytes_before = len(pieces[0])
            bytes_after = sum(map(len, pieces[number:]))
            if max(bytes_before, bytes_after) > _MAX_TEXT_AROUND_BYTES:
                limit = f"at most {_MAX_TEXT_AROUND_BYTES} bytes before its first part, and after its last one"
                raise _malformed(f"the multipart body must have {limit}")
            return parts
        if len(parts) == limits.max_parts:
            raise Rejected("too_many_parts", f"the multipart body has more than {limits.max_parts} parts")
        padding, line_break, part = piece.partition(b"\r\n")
        if padding.strip(b" \t") or not line_break:
            raise _malformed("a boundary in the multipart body is not on a line of its own, which ends in CR LF")
        # The line break before the headers stands for a part that begins with its empty line: it has no headers.
        head, blank_line, content = (b"\r\n" + part).partition(b"\r\n\r\n")
        if not blank_line or len(head) > _MAX_HEADER_BYTES:
            limit = f"with an empty line, after at most {_MAX_HEADER_BYTES} bytes"
            raise _malformed(f"the multipart body must end the headers of a part {limit}")
        parts.append((head, content))
    if len(pieces) == 1:
        fault = "does not hold the boundary that its content type names, or its lines do not end in CR LF"
        raise _malformed(f"the multipart body {fault}")
    raise _malformed("the multipart body ends without its last boundary")


def _malformed(fault: str) -> Rejected:
    return Rejected("malformed_body", fault)


def _named_charset(parts: list[tuple[bytes, bytes]]) -> str:
    """Return the codec of the first part that is called `_charset_`. Raises Rejected for an unknown one."""
    charset_parts = (content for head, content in parts if _CHARSET_FIELD.search(head))
    charset = next(charset_parts, b"").decode("latin-1").lower()
    return codec_of(charset or "utf-8")


def _headers(head: bytes, charset: str) -> dict[str, str]:
    """Return the headers by their names in lower case. Of several lines with one name, the last one counts."""
    lines = _FOLD.sub(" ", decoded(head, charset)).split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _named_value(headers: dict[str, str], raw_content: bytes, charset: str) -> tuple[str, Json]:
    """Return the name of a part, and its content: a string, or an object for a file or other bytes. Raises Rejected."""
    disposition = media_type(headers.get("content-disposition", "")).parameters
    media = media_type(headers.get("content-type", ""))
    content = _transfer_decoded(raw_content, headers.get("content-transfer-encoding", ""))
    file_name = _file_name(disposition)
    name = disposition.get("name", "")
    has_text_type = not media.name or media.name.startswith("text/")
    if file_name is None and (has_text_type or _is_utf8(content)):
        codec = codec_of(media.charset) if media.charset else charset
        return name, decoded(content, codec)
    return name, {"name": file_name or "", **binary(content, media.name)}


def _file_name(disposition: Mapping[str, str]) -> str | None:
    """Return the file name; None if the part is not a file."""
    # A sender may state a name with letters beyond ASCII twice: as `filename*`, percent-encoded as RFC 5987 says, and
    # as `filename` for readers that do not know the other. The former is complete.
    extended = disposition.get("filename*", "")
    if extended.lower().startswith("utf-8''"):
        return decoded(unquote_to_bytes(extended[len("utf-8''") :]), "utf-8")
    return disposition.get("filename")


def _transfer_decoded(content: bytes, encoding: str) -> bytes:
    decode = _TRANSFER_DECODERS.get(encoding.lower())
    try:
        return decode(content) if decode else content
    except Error:
        raise _malformed("a part of the multipart body is not in its Content-Transfer-Encoding") from None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
