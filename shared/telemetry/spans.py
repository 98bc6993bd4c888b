"""Spans of OpenTelemetry: their names, ids and OTLP form. Pure, and imported only if telemetry is on.

An event has a trace of its own, whose id is the event's id. A sender's `traceparent` is a link, because anybody can
send one. Work that begins more than TRACE_SECONDS after the event was received has a trace of its own too, with a link
to the event's: a trace that lasts for days can be shown by no tool.

A span holds nothing that a log line may not hold: no body, no header, no text of a receiver.

https://opentelemetry.io/docs/specs/otlp/
https://github.com/open-telemetry/semantic-conventions/tree/v1.44.0/docs
"""

import hashlib
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from shared import times
from shared.errors import HookchainError
from shared.event import TRACEPARENT, Event
from shared.jsontext import Json, JsonObject, texts_json

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions that the names below follow."""

SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE_ID: Final = "service.instance.id"
CLOUD_PROVIDER: Final = "cloud.provider"
CLOUD_REGION: Final = "cloud.region"
FAAS_TRIGGER: Final = "faas.trigger"
HTTP_METHOD: Final = "http.request.method"
HTTP_ROUTE: Final = "http.route"
HTTP_STATUS: Final = "http.response.status_code"
URL_PATH: Final = "url.path"
URL_SCHEME: Final = "url.scheme"
EVENT_ID: Final = "cloudevents.event_id"
EVENT_SOURCE: Final = "cloudevents.event_source"
EVENT_TYPE: Final = "cloudevents.event_type"
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_COUNT: Final = "messaging.batch.message_count"
ERROR_TYPE: Final = "error.type"

ROUTE: Final = "hookchain.route"
STEP: Final = "hookchain.step"
DESTINATION: Final = "hookchain.destination"
OUTCOME: Final = "hookchain.outcome"
ATTEMPT_NUMBER: Final = "hookchain.attempt_number"
COUNT: Final = "hookchain.count"

INTERNAL: Final = 1
SERVER: Final = 2
CLIENT: Final = 3
PRODUCER: Final = 4
CONSUMER: Final = 5

TRACE_SECONDS: Final = 3_600.0
"""The time after an event was received in which work on it is in the event's own trace."""
TRACE_ATTRIBUTE: Final = "traceparent"
"""The attribute of a message with the ids of the span that published it."""
RECEIVED: Final = "hookchain-received"
"""The attribute of a message in which receive's times travel. receive exports nothing itself, because a sender waits
for its answer."""
_TRACE_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{32}")
_RECEIVED_TEXT: Final = re.compile(r"([0-9]{1,12}\.[0-9]{6}) ([0-9]{1,12}\.[0-9]{6}) ([A-Z]*) ([1-5][0-9]{2})")
"""The text of RECEIVED: two times, the method, and the status. See `received_attribute`."""
_STATUS_ERROR: Final = 2
"""STATUS_CODE_ERROR of OTLP."""

Value: TypeAlias = str | int | float | bool
SpanIds: TypeAlias = tuple[str, str]
"""The ids that refer to a span: that of its trace, and its own."""


class Place(NamedTuple):
    """The trace that a span is in, its parent there, which may be empty, and its links to other spans."""

    trace_id: str
    parent_id: str = ""
    links: tuple[SpanIds, ...] = ()


# As plain as a dataclass can be: to make the class otherwise takes 1 ms more of a function's start.
@dataclass(eq=False, repr=False)
class Span:
    """A span of one of the functions. Times are Unix seconds.

    service  the function: the resource has the name `hookchain-<service>`
    error    our code of what failed; empty if nothing did. The detail is in a log line of the same trace: it may
             have the name of a field from the sender's body
    """

    service: str
    name: str
    kind: int
    place: Place
    span_id: str
    started_at: float
    ended_at: float
    attributes: Mapping[str, Value | None]
    error: str = ""

    @property
    def ids(self) -> SpanIds:
        return self.place.trace_id, self.span_id

    def inner_place(self) -> Place:
        """Return the place of a span in this one."""
        return Place(*self.ids)


def new_trace_id() -> str:
    return secrets.token_hex(16)


def new_span_id() -> str:
    return secrets.token_hex(8)


def code_of(error: Exception | None) -> str:
    """Return the code of an error, as a log line has it; empty if there is none."""
    if error is None:
        return ""
    return error.code if isinstance(error, HookchainError) else "internal_error"


def event_ids(event_id: str, received_at: str) -> SpanIds:
    """Return the ids of the event's own trace, and of receive's span for the request that came at that time.

    A sender that repeats a request adds a span to the trace. What a step split off, `<id>-<n>`, is in the trace of the
    event as receive made it.
    """
    trace_id = trace_id_of(event_id)
    return trace_id, _hashed(f"{trace_id} {received_at}", 16)


def trace_id_of(event_id: str) -> str:
    """Return the id of the event's own trace: its id, or a hash of an id that cannot be that of a trace."""
    origin = event_id.partition("-")[0]
    return origin if _TRACE_ID.fullmatch(origin) else _hashed(origin, 32)


def _hashed(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def ids_of_event(event: Event) -> SpanIds:
    return event_ids(event.id, event.receivedat)


def ids_of_line(line: JsonObject) -> tuple[str, str | None] | None:
    """Return the id of the trace for receive's log line about an event. The line does not tell its span."""
    event_id = line.get("event_id")
    return (trace_id_of(event_id), None) if isinstance(event_id, str) else None


def ids_of_traceparent(traceparent: str | None) -> SpanIds | None:
    """Return the ids in a `traceparent`; None for any other text. Ids of zeros alone are not valid."""
    if not traceparent or not TRACEPARENT.fullmatch(traceparent):
        return None
    _, trace_id, span_id, _ = traceparent.split("-")
    return (trace_id, span_id) if trace_id.strip("0") and span_id.strip("0") else None


def received_at(event: Event, now: float) -> float:
    """Return when the event was received; `now` if it does not say that as receive writes it."""
    try:
        return times.unix_seconds(event.receivedat)
    except ValueError:
        return now


def place_of(event: Event, now: float, parent: SpanIds | None = None) -> Place:
    """Return the place of work that begins now. `parent` has the ids of its cause, if the message says them."""
    own = ids_of_event(event)
    if parent is not None:
        trace_id, span_id = parent
        links = () if trace_id == own[0] else (own,)
        return Place(trace_id, span_id, links)
    if now - received_at(event, now) > TRACE_SECONDS:
        return Place(new_trace_id(), links=(own,))
    return Place(*own)


def received_attribute(started_at: float, published_at: float, method: str, status: int) -> dict[str, str]:
    """Return the attribute. `method` is empty where a bus brought the event. Times are Unix seconds."""
    return {RECEIVED: f"{started_at:.6f} {published_at:.6f} {method} {status}"}


def receive_spans(event: Event, event_type: str, text: str, arrived_at: float, system: str, scheme: str) -> list[Span]:
    """Return the spans of receive and of its publishing, by the text of the attribute; none if it is malformed.

    event_type  as a log line may have it
    arrived_at  when the bus had the message
    system      the bus, as MESSAGING_SYSTEM
    scheme      that of the request's URL
    """
    match = _RECEIVED_TEXT.fullmatch(text)
    if match is None:
        return []
    started_at, published_at, method, status = float(match[1]), float(match[2]), match[3], int(match[4])
    ended_at = max(published_at, arrived_at)
    trace_id, span_id = ids_of_event(event)
    sender = ids_of_traceparent(event.traceparent)
    links = () if sender is None or sender[0] == trace_id else (sender,)
    place = Place(trace_id, "", links)
    path = f"/{event.source_name}"
    attributes = event_attributes(event, event_type)
    publishing = {**publishing_attributes(system, "events", 1), **attributes}
    if method:
        request = {HTTP_METHOD: method, HTTP_ROUTE: path, URL_PATH: path, URL_SCHEME: scheme, HTTP_STATUS: status}
        attributes |= {FAAS_TRIGGER: "http", **request}
        receive = Span("receive", f"{method} {path}", SERVER, place, span_id, started_at, ended_at, attributes)
    else:
        attributes[FAAS_TRIGGER] = "pubsub"
        receive = Span("receive", f"receive {path}", CONSUMER, place, span_id, started_at, ended_at, attributes)
    place, span_id = receive.inner_place(), published_id(event)
    publish = Span("receive", "publish events", PRODUCER, place, span_id, published_at, ended_at, publishing)
    return [receive, publish]


def event_attributes(event: Event, event_type: str) -> dict[str, Value | None]:
    """Return the attributes of the event. `event_type` is as a log line may have it."""
    return {EVENT_ID: event.id, EVENT_SOURCE: event.source, EVENT_TYPE: event_type}


def published_id(event: Event) -> str:
    """Return the id of the span in which receive published the event."""
    return _hashed(f"{trace_id_of(event.id)} {event.receivedat} published", 16)


def publishing_attributes(system: str, topic: str, count: int) -> dict[str, Value | None]:
    return {
        MESSAGING_SYSTEM: system,
        MESSAGING_OPERATION_NAME: "publish",
        MESSAGING_OPERATION_TYPE: "send",
        MESSAGING_DESTINATION: topic,
        MESSAGING_COUNT: count if count > 1 else None,
    }


def kept_document(span: Span) -> JsonObject:
    """Return what the journal keeps of a span. The name of a step is its route and its label."""
    step = span.attributes.get(STEP)
    milliseconds = round((span.ended_at - span.started_at) * 1_000, 3)
    code = {"code": span.error} if span.error else {}
    return {
        "service": span.service,
        "name": f"{span.attributes[ROUTE]}: {step}" if step else span.name,
        "id": span.span_id,
        "parent": span.place.parent_id,
        "at": span.started_at,
        "ms": milliseconds,
        **code,
    }


def spans_json(spans: Iterable[Span], resources: Mapping[str, JsonObject]) -> bytes:
    """Return an ExportTraceServiceRequest in JSON. `resources` are the attributes of each service's resource."""
    by_service: dict[str, list[Json]] = {}
    for span in spans:
        by_service.setdefault(span.service, []).append(_document(span))
    listed: list[Json] = [
        {
            "resource": {"attributes": attributes_json(resources[service])},
            "scopeSpans": [{"scope": {"name": "hookchain"}, "spans": documents}],
            "schemaUrl": SCHEMA_URL,
        }
        for service, documents in by_service.items()
    ]
    return texts_json({"resourceSpans": listed})


def _document(span: Span) -> JsonObject:
    attributes = {**span.attributes, ERROR_TYPE: span.error} if span.error else span.attributes
    document: JsonObject = {
        "traceId": span.place.trace_id,
        "spanId": span.span_id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": nanoseconds(span.started_at),
        # A clock may have been set back, and two functions may have clocks that differ.
        "endTimeUnixNano": nanoseconds(max(span.started_at, span.ended_at)),
        "attributes": attributes_json(attributes),
        "flags": 1,
    }
    if span.place.parent_id:
        document["parentSpanId"] = span.place.parent_id
    if span.error:
        document["status"] = {"code": _STATUS_ERROR, "message": span.error}
    if span.place.links:
        document["links"] = [{"traceId": trace_id, "spanId": span_id} for trace_id, span_id in span.place.links]
    return document


def nanoseconds(seconds: float) -> str:
    """Return the time in OTLP's JSON, which has integers of 64 bits as text."""
    return str(int(seconds * 1_000_000) * 1_000)


def attributes_json(attributes: Mapping[str, Value | None] | JsonObject) -> list[Json]:
    """Return the attributes that have a value."""
    return [{"key": name, "value": _value(value)} for name, value in attributes.items() if value is not None]


def _value(value: Json) -> JsonObject:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": str(value)}
