"""Documents in an event: text is a string, bytes are `{"type": …, "size": …, "base64": …}`, all else is JSON."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from shared.base64_text import base64_text, decode_base64
from shared.event import Event, event_id
from shared.formats.parse import parse_as, parse_body
from shared.formats.text_body import binary
from shared.jsontext import Json, to_json
from shared.times import rfc3339

JSON_TYPE: Final = "application/json"
TEXT_TYPE: Final = "text/plain; charset=utf-8"
_BYTES_KEYS: Final = frozenset({"type", "size", "base64"})


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes of a document, and the content type that they have."""

    content: bytes
    content_type: str


def bytes_of(value: Json) -> bytes | None:
    """Return the content of bytes; None for any other value. A file from a form has a `name` besides."""
    if not isinstance(value, dict) or not value.keys() >= _BYTES_KEYS or not isinstance(value["base64"], str):
        return None
    try:
        return decode_base64(value["base64"])
    except ValueError:
        return None


def content_of(value: Json) -> bytes | None:
    """Return the content of text (in UTF-8) or bytes; None for any other value."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    return bytes_of(value)


def type_of(value: Json) -> str | None:
    """Return the content type that bytes state."""
    stated = value.get("type") if isinstance(value, dict) else None
    return stated if isinstance(stated, str) else None


def text_or_bytes(content: bytes) -> Json:
    """Return text if the content is UTF-8 without NUL, else bytes."""
    if b"\0" not in content:
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return binary(content, "")


def event_from(content: bytes, content_type: str | None, format_name: str | None, source: str, now: float) -> Event:
    """Return the event that receive would make of a document.

    `format_name` takes precedence over the content type. The id is a hash of the content, so that the same document
    is the same event. Raises Rejected.
    """
    parsed = parse_as(format_name, content, content_type) if format_name else parse_body(content, content_type)
    digest = hashlib.sha256(content).hexdigest()
    event = Event(
        id=event_id(source, digest),
        source=f"/sources/{source}",
        type="received",
        receivedat=rfc3339(now),
        payloadhash=digest,
        data=parsed.data,
        rawtype=content_type,
        datatype=JSON_TYPE if isinstance(parsed.data, str) and parsed.format != "text" else None,
    )
    try:
        return replace(event, rawbody=content.decode("utf-8"))
    except UnicodeDecodeError:
        return replace(event, rawbase64=base64_text(content))


def document_from(events: Sequence[Event]) -> Document:
    """Return the data of an event as a document: text or bytes under their own type, all else, and the list of the
    data of several events, as JSON."""
    if len(events) != 1:
        return Document(to_json([event.data for event in events]).encode(), JSON_TYPE)
    [event] = events
    if isinstance(event.data, str) and event.datatype != JSON_TYPE:
        return Document(event.data.encode("utf-8", "replace"), event.datatype or TEXT_TYPE)
    content = bytes_of(event.data)
    if content is not None:
        return Document(content, type_of(event.data) or "application/octet-stream")
    return Document(to_json(event.data).encode(), JSON_TYPE)
