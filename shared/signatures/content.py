"""The bytes that a signature covers, from a template such as `{timestamp}.{body}` that is compiled once."""

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

from shared.jsontext import Json, canonical
from shared.signatures.auth_scheme import mismatch
from shared.signatures.locations import Location, RequestFields, parse_location, without

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
# The escapes that HubSpot decodes before it signs a URL. Its documentation can be read in these two ways. Both are
# tried, and the URL as it is.
_ESCAPES: Final = (
    "%3A %2F %3F %40 %21 %24 %27 %28 %29 %2A %2C %3B",
    "%3A %2F %40 %26 %3D %2B %24 %60 %22 %2C %3B %3E %3C %3F",
)
_HOLES: Final = re.compile(r"\{([^{}]*)\}")


class Values(NamedTuple):
    """The values that a template may name, each as it was received.

    With `missing_is_empty`, a location without a text in the request is an empty text instead of an error.
    """

    fields: RequestFields
    timestamp: str = ""
    id: str = ""
    url: str = ""
    secret: bytes = b""
    missing_is_empty: bool = False


_NAMED: Final[Mapping[str, Callable[[Values], bytes]]] = {
    "body": lambda values: values.fields.request.body,
    "body.sha256": lambda values: hashlib.sha256(values.fields.request.body).hexdigest().encode(),
    "body.crc32": lambda values: b"%d" % zlib.crc32(values.fields.request.body),
    "timestamp": lambda values: wire(values.timestamp),
    "id": lambda values: wire(values.id),
    "url": lambda values: wire(values.url),
    "method": lambda values: wire(values.fields.request.method.upper()),
    "secret": lambda values: values.secret,
    "form": lambda values: sorted_form(values.fields),
}

Part: TypeAlias = "bytes | str | Location"
Content: TypeAlias = tuple[Part, ...]
"""A compiled template: literal bytes, keys of _NAMED, and locations, in their order."""

BODY: Final[Content] = ("body",)
"""The template of the body alone. parse_content returns this very object for it, so it can be compared with `is`."""


@lru_cache(maxsize=256)
def parse_content(template: str) -> Content:
    """Parse a template that the configuration's model has checked."""
    parts: list[Part] = []
    # The pattern has one group, so `split` returns literal texts and names in turn, beginning with a literal.
    for index, text in enumerate(_HOLES.split(template)):
        is_name = index % 2 == 1
        if is_name:
            parts.append(text if text in _NAMED else parse_location(text))
        elif text:
            parts.append(text.encode())
    content = tuple(parts)
    return BODY if content == BODY else content


def filled_template(content: Content, values: Values) -> bytes:
    """Return the signed bytes. Raises Rejected (`signature_mismatch`) if the request lacks the text at a location."""
    if content is BODY:
        return values.fields.request.body
    filled: list[bytes] = []
    for part in content:
        if isinstance(part, bytes):
            filled.append(part)
        elif isinstance(part, str):
            filled.append(_NAMED[part](values))
        else:
            text = values.fields.text(part)
            if text is None:
                if not values.missing_is_empty:
                    raise mismatch(f"the signature is over {part}, which the request does not have")
                text = ""
            filled.append(wire(text) if part.kind == "header" else text.encode("utf-8", "replace"))
    return b"".join(filled)


def lasting_content(
    content: Content, fields: RequestFields, timestamp: Location | None, id_at: Location | None, is_time_in_body: bool
) -> bytes:
    """Return the part of the signed bytes that is the same each time the sender signs it: all but time and secret.

    Of the URL, only the query is kept. Its host and path are those of the source, and can be spelled in several ways.
    """
    message_id = (fields.text(id_at) or "") if id_at else ""
    values = Values(fields, id=message_id, missing_is_empty=True)
    parts: list[bytes] = []
    for part in content:
        if part == "url":
            parts.append(wire(unquote(fields.url.partition("?")[2])))
        elif part in {"body", "body.sha256"} and timestamp and is_time_in_body:
            parts.append(canonical(without(fields.data, timestamp.path)))
        elif part not in {"timestamp", "secret", timestamp}:
            parts.append(filled_template((part,), values))
    return b"".join(parts)


def wire(text: str) -> bytes:
    """Return the text of a header or URL as the bytes that were sent, which servers decode as Latin-1."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:  # a text that no server has decoded, such as the configured `public_url`
        return text.encode("utf-8", "replace")


def sorted_form(fields: RequestFields) -> bytes:
    """Return the fields of a form as Twilio signs them: sorted names, each before each of its values.

    The values of a name are sorted, and a repeated value counts once. Raises Rejected (`signature_mismatch`) for a body
    that is not a form, because no byte of it would be signed.
    """
    if fields.request.body and not fields.is_form:
        raise mismatch("the signature is over a form's fields, and the body is not a form")
    form = fields.form
    if fields.request.body and not form:
        raise mismatch("the signature is over a form's fields, and the form cannot be read")
    pairs = [name + value for name in sorted(form) for value in sorted(set(_texts(form[name])))]
    return "".join(pairs).encode("utf-8", "replace")


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def spellings(url: str, which: str) -> tuple[str, ...]:
    """Return the spellings of the URL that its sender may have signed.

    `which` is `exact` for the URL alone, `ports` for the URL with and without its port, and `unescaped` for the URL
    with and without some of its escapes.
    """
    if which == "ports":
        return tuple(dict.fromkeys((url, _with_other_port(url))))
    if which == "unescaped":
        return tuple(dict.fromkeys((url, *(_unescaped(url, escapes) for escapes in _ESCAPES))))
    return (url,)


def _with_other_port(url: str) -> str:
    """Remove the URL's port, or add the default port of its scheme."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return url
    host = parts.netloc.rpartition("@")[2]
    user = parts.netloc[: len(parts.netloc) - len(host)]
    if port is not None:
        return url.replace(parts.netloc, user + host[: host.rindex(":")], 1)
    if parts.scheme not in _DEFAULT_PORT:
        return url
    return url.replace(parts.netloc, f"{user}{host}:{_DEFAULT_PORT[parts.scheme]}", 1)


def _unescaped(url: str, escapes: str) -> str:
    """Decode these escapes in the URL, and leave all others."""
    decoded_escapes = frozenset(escapes.split())

    def decode(escape: re.Match[str]) -> str:
        text = escape[0]
        return chr(int(text[1:], 16)) if text.upper() in decoded_escapes else text

    return re.sub("%[0-9A-Fa-f]{2}", decode, url)
