"""Browser forms (https://url.spec.whatwg.org/#application/x-www-form-urlencoded) as JSON: an object of strings.

The values of a repeated field are a list. Only `&` separates fields, and a `%` that begins no escape stays. The text is
in the charset that the content type names, else in that of the field `_charset_`, which browsers fill in, else in
UTF-8.
"""

import re
from binascii import a2b_qp
from typing import Final

from shared import errors, jsontext
from shared.formats.parse import MediaType
from shared.formats.text_body import codec_of, decoded
from shared.limits import Limits, gather

_FIELD: Final = re.compile(rb"[^&]++")
_NO_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CHARSET: Final = re.compile(rb"(?:^|&)_charset_=([^&]++)")
_STRETCH: Final = re.compile(rb"(?:[^%]++|%[0-9A-Fa-f]{2}|%){1,16384}+")
"""A part of a text that does not end within an escape. In a whole text with very many escapes, `sub` would hold each
piece between them as an object."""


def parse(body: bytes, media: MediaType, limits: Limits) -> jsontext.Json:
    """Parse a form. Raises Rejected: `too_many_fields`, `too_many_values`, `unsupported_encoding`, `malformed_body`."""
    codec = codec_of(media.charset or _named_charset(body) or "utf-8")
    form: jsontext.JsonObject = {}
    for number, field in enumerate(_FIELD.finditer(body), start=1):
        if number > limits.max_fields:
            raise errors.Rejected("too_many_fields", f"the form has more than {limits.max_fields} fields")
        name, _, value = field[0].partition(b"=")
        gather(form, _text(name, codec), _text(value, codec), limits)
    return form


def _named_charset(body: bytes) -> str:
    """Return the charset in the field `_charset_`, in lower case; empty if there is none."""
    charset = _CHARSET.search(body) if b"_charset_=" in body else None
    return unescaped(charset[1]).decode("latin-1").lower() if charset else ""


def _text(encoded: bytes, codec: str) -> str:
    return decoded(unescaped(encoded.replace(b"+", b" ")), codec)


def unescaped(encoded: bytes) -> bytes:
    """Decode percent-escapes. A `%` that begins no escape stays.

    The text is first written as quoted-printable, which is the same with `=` in place of `%`, because Python decodes
    that in C. Of a hostile 5 MiB, urllib.parse takes up to 400 MB and a second.
    """
    if b"%" not in encoded:
        return encoded
    unescaped_bytes = bytearray()
    for stretch in _STRETCH.finditer(encoded):
        escaped = _NO_ESCAPE.sub(b"%25", stretch[0])
        quoted_printable = escaped.replace(b"=", b"=3D").replace(b"%", b"=")
        unescaped_bytes += a2b_qp(quoted_printable)
    return bytes(unescaped_bytes)
