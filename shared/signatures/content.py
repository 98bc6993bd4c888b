"""The bytes that a signature covers, from a template such as `{timestamp}.{body}` that is compiled once."""

import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final, TypeAlias

from shared.errors import Rejected
from shared.jsontext import Json
from shared.signatures.places import Place, parse_place
from shared.signatures.reading import Reading

_HOLES: Final = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Named:
    """The values that a template may name besides places, each as it was received."""

    reading: Reading
    timestamp: str = ""
    id: str = ""
    url: str = ""
    secret: bytes = field(default=b"", repr=False)
    missing_is_empty: bool = False


_NAMED: Final[Mapping[str, Callable[[Named], bytes]]] = MappingProxyType(
    {
        "body": lambda named: named.reading.request.body,
        "body.sha256": lambda named: hashlib.sha256(named.reading.request.body).hexdigest().encode(),
        "body.crc32": lambda named: b"%d" % zlib.crc32(named.reading.request.body),
        "timestamp": lambda named: wire(named.timestamp),
        "id": lambda named: wire(named.id),
        "url": lambda named: wire(named.url),
        "method": lambda named: wire(named.reading.request.method.upper()),
        "secret": lambda named: named.secret,
        "form": lambda named: sorted_form(named.reading),
    }
)

Part: TypeAlias = "bytes | str | Place"
Content: TypeAlias = tuple[Part, ...]
"""Literal bytes, keys of _NAMED, and places."""

BODY: Final[Content] = ("body",)
"""The body alone. parse_content returns this very object for it, so `is` tells."""


@lru_cache(maxsize=256)
def parse_content(template: str) -> Content:
    """Parse a template that the configuration's model has checked."""
    parts: list[Part] = []
    for number, text in enumerate(_HOLES.split(template)):
        if number % 2:
            parts.append(text if text in _NAMED else parse_place(text))
        elif text:
            parts.append(text.encode())
    content = tuple(parts)
    return BODY if content == BODY else content


def signed_content(content: Content, named: Named) -> bytes:
    """Return the signed bytes. Raises Rejected (`signature_mismatch`) where a place that was signed holds nothing."""
    if content is BODY:
        return named.reading.request.body
    return b"".join([_part(part, named) for part in content])


def _part(part: Part, named: Named) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        return _NAMED[part](named)
    text = named.reading.text(part)
    if text is None and not named.missing_is_empty:
        raise Rejected("signature_mismatch", f"the signature is over {part}, which the request does not have")
    return wire(text or "") if part.kind == "header" else (text or "").encode("utf-8", "replace")


def wire(text: str) -> bytes:
    """Return a header's or URL's text as the bytes that came: servers decode them as Latin-1."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def sorted_form(reading: Reading) -> bytes:
    """Return each name, in order of its bytes, before each of its values, sorted and without repeats.

    Raises Rejected (`signature_mismatch`) for a body that is no form: it would be unsigned.
    """
    if reading.request.body and not reading.is_form:
        raise Rejected("signature_mismatch", "the signature is over a form's fields, and the body is no form")
    fields = reading.form()
    if reading.request.body and not fields:
        raise Rejected("signature_mismatch", "the signature is over a form's fields, and the form cannot be read")
    named = [name + value for name in sorted(fields) for value in sorted(set(_texts(fields[name])))]
    return "".join(named).encode("utf-8", "replace")


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
