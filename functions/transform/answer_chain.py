"""`POST /chains/<name>`: a document goes through a named chain, so that other functions can call it as a converter.

The function is private, so only callers that the platform lets in come here. The document becomes an event
(`event_from`), runs through the chain, and is read from the events at its end (`document_from`). `?body=text` or
`?body=bytes` takes the document without parsing it. A CloudEvent, as the step `call` posts it, is the event itself.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qs, unquote

from functions.transform import chain, documents, step
from shared import errors, limits, times
from shared.event import MAX_HOPS, NO_TYPE, Event, event_id, from_cloudevent
from shared.formats import content_encoding, parse
from shared.http import ReadBody, Reply, Request, problem
from shared.jsontext import Json, JsonObject, base64_text, to_json

TEXT_TYPE: Final = "text/plain; charset=utf-8"
CLOUDEVENT: Final = "application/cloudevents+json"
UNPARSED_FORMATS: Final = ("text", "bytes")


async def answer_chain(
    chains: chain.NamedChains, services: step.Services | None, head: Request, read_body: ReadBody, now: float
) -> tuple[Reply, JsonObject]:
    """Return the reply, and the fields of its log line. `services` may be None if no chain asks."""
    name = unquote(head.path.removeprefix(chain.CHAINS_PATH))
    if name not in chains:
        return problem(404, "unknown_chain", "There is no chain of this name."), {"chain": None}
    log_fields: JsonObject = {"chain": name}
    if head.method != "POST":
        return problem(405, "method_not_allowed", "A chain takes a POST.", ("allow", "POST")), log_fields
    try:
        encoded = await read_body(limits.DEFAULT.max_decoded_bytes)
        body = content_encoding.decode_content(encoded, head.header("content-encoding"))
        event = _event(name, head, body, now)
        result = await chain.Chain(_route_name(name), chains[name], chains).run(event, services)
    except errors.Rejected as error:
        log_fields["code"] = error.code
        return problem(error.status, error.code, error.detail), log_fields
    except errors.Permanent as error:
        log_fields["code"] = error.code
        return problem(422, error.code, error.detail), log_fields
    except errors.Temporary as error:
        detail = _without_route(error.detail, name)
        log_fields |= {"code": error.code, "detail": detail}
        return problem(503, error.code, detail, ("retry-after", "5")), log_fields
    if result.faults:
        log_fields["code"] = result.faults[0].code
    return _reply(result, name), log_fields


def _route_name(name: str) -> str:
    """Return what a chain that is called by HTTP has in place of a route's name."""
    return f"{chain.CHAINS_PATH}{name}"


def _without_route(detail: str, name: str) -> str:
    """Return the detail of a step's fault without the route, which the caller knows."""
    return detail.removeprefix(f"route {_route_name(name)!r}: ")


def _event(name: str, head: Request, body: bytes, now: float) -> Event:
    """Return the event that a request brings. Raises Rejected and Permanent."""
    content_type = head.header("content-type")
    if (content_type or "").partition(";")[0].strip().lower() == CLOUDEVENT:
        event = from_cloudevent(_json(body))
    else:
        event = event_from(body, content_type, _requested_format(head), name, now)
    if max(event.hops, _hops(head)) > MAX_HOPS:
        raise errors.Permanent("too_many_hops", f"more than {MAX_HOPS} hops are a loop")
    return event


def _requested_format(head: Request) -> str | None:
    """Return the format that `?body=` asks for; None if the content type decides. Raises Rejected."""
    requested = parse_qs(head.query).get("body", [""])[-1]
    if requested and requested not in UNPARSED_FORMATS:
        raise errors.Rejected("malformed_body", "`?body=` must be text or bytes, or be left out")
    return requested or None


def _hops(head: Request) -> int:
    """Return the number in the header, by which a chain that calls itself ends; 0 for anything else."""
    text = head.header("hookchain-hops") or ""
    return int(text) if text.isdecimal() and len(text) < 9 else 0


def _json(body: bytes) -> Json:
    try:
        document: Json = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise errors.Rejected("malformed_body", "the CloudEvent is not JSON") from error
    return document


def _reply(result: chain.ChainResult, name: str) -> Reply:
    """Return the document; a problem if a step failed, or ended the event on purpose."""
    if result.faults:
        return problem(422, result.faults[0].code, _without_route(result.faults[0].detail, name))
    if not result.events:
        return problem(422, "filtered", "; ".join(result.stops))
    try:
        document = document_from(result.events)
    except UnicodeEncodeError:  # a CloudEvent can bring one
        return problem(422, "invalid_output", "The document holds half a surrogate pair, which is no character.")
    return Reply(200, document.content, (("content-type", document.content_type),))


@dataclass(frozen=True, slots=True)
class Document:
    """The bytes of a document, and the content type that they have."""

    content: bytes
    content_type: str


def event_from(content: bytes, content_type: str | None, format_name: str | None, source: str, now: float) -> Event:
    """Return the event that receive would make of a document.

    `format_name` takes precedence over the content type. The id is a hash of the content, so that the same document
    is the same event. Raises Rejected.
    """
    parsed = (
        parse.parse_as(format_name, content, content_type) if format_name else parse.parse_body(content, content_type)
    )
    digest = hashlib.sha256(content).hexdigest()
    event = Event(
        id=event_id(source, digest),
        source=f"/sources/{source}",
        type=NO_TYPE,
        receivedat=times.rfc3339(now),
        payloadhash=digest,
        data=parsed.data,
        rawtype=content_type,
        datatype=documents.JSON_TYPE if isinstance(parsed.data, str) and parsed.format != "text" else None,
    )
    try:
        return replace(event, rawbody=content.decode("utf-8"))
    except UnicodeDecodeError:
        return replace(event, rawbase64=base64_text(content))


def document_from(events: Sequence[Event]) -> Document:
    """Return the data of an event as a document: text or bytes under their own type, any other data as JSON. Several
    events become a list in JSON."""
    if len(events) != 1:
        return Document(to_json([event.data for event in events]).encode(), documents.JSON_TYPE)
    [event] = events
    if isinstance(event.data, str) and event.datatype != documents.JSON_TYPE:
        return Document(event.data.encode("utf-8", "replace"), event.datatype or TEXT_TYPE)
    content = documents.bytes_of(event.data)
    if content is not None:
        return Document(content, documents.type_of(event.data) or "application/octet-stream")
    return Document(to_json(event.data).encode(), documents.JSON_TYPE)
