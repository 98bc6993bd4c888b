"""A document through a chain by itself, without a route: for the command line, and for other functions over HTTP."""

import hashlib
from base64 import b64encode
from dataclasses import dataclass, replace

from functions.transform.chain import Chain
from functions.transform.documents import JSON_TYPE, bytes_of, type_of
from functions.transform.step import Services
from functions.transform.walk import Course
from shared.event import Event, event_id
from shared.formats.parse import parse_as, parse_body
from shared.jsontext import Json, to_json
from shared.times import rfc3339

TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Document:
    content: bytes
    content_type: str


def event_of(content: bytes, content_type: str | None, format_name: str | None, source: str, now: float) -> Event:
    """As receive would make it. `format_name` says what it is, whatever the content type does.

    Its id is made of the content, so that what comes again is the same. Raises Rejected.
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
        return replace(event, rawbase64=b64encode(content).decode("ascii"))


async def run_alone(chain: Chain, event: Event, services: Services | None) -> Course:
    """Raises Temporary."""
    if not chain.asks:
        return chain.run(event)
    assert services is not None
    return await chain.ask(event, services)


def document_of(events: list[Event]) -> Document:
    """The data as it is: a text or bytes with their own type, anything else as JSON; of several events a list."""
    if len(events) != 1:
        return Document(to_json([event.data for event in events]).encode(), JSON_TYPE)
    [event] = events
    return _document(event.data, event.datatype)


def _document(data: Json, datatype: str | None) -> Document:
    if isinstance(data, str) and datatype != JSON_TYPE:
        return Document(data.encode("utf-8", "replace"), datatype or TEXT)
    content = bytes_of(data)
    if content is not None:
        return Document(content, type_of(data) or "application/octet-stream")
    return Document(to_json(data).encode(), JSON_TYPE)
