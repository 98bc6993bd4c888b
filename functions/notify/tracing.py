"""The spans of notify: attempts, digests and sweeps. Imported only if telemetry is on."""

import re
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from shared import journal, jsontext, ports
from shared.delivery import Delivered, Delivery, Failed, Outcome, delivery_from
from shared.event import Event
from shared.push import Push
from shared.subscribers.names import SEPARATOR
from shared.telemetry import spans

FUNCTION: Final = "notify"
MAX_LINKS: Final = 32
"""Of a digest: the events that it lists first."""
_STATUS: Final = re.compile(r"[1-5][0-9]{2}\b")
_NOT_HTTP: Final = frozenset({"email", "sql"})
"""The kinds whose responses do not begin with a status of HTTP."""


@dataclass(slots=True)
class _Scope:
    """The ids of the span that published the message of the current task, and those for its log lines."""

    parent: tuple[str, str] | None
    ids: tuple[str, str]


_current: ContextVar[_Scope | None] = ContextVar("delivering", default=None)


class NotifySpans:
    """Records the spans of notify. `add` takes a span that has ended."""

    def __init__(self, add: Callable[[spans.Span], None], system: str, clock: ports.Clock) -> None:
        self._add = add
        self._system = system
        self._clock = clock

    def begin(self, push: Push, delivery: Delivery) -> None:
        """Begin a message in the current task."""
        parent = spans.ids_of_traceparent(push.attributes.get(spans.TRACE_ATTRIBUTE))
        _current.set(_Scope(parent, parent or spans.ids_of_event(delivery.event)))

    def note_attempt(self, event: Event, kind: str, entry: journal.AttemptEntry, outcome: Outcome) -> None:
        """Record an attempt that has ended, by a destination of this kind."""
        scope = _current.get()
        started_at, event_id = entry.started_at, entry.event_id
        place = spans.place_of(event, started_at, scope.parent if scope else None)
        status = None if kind in _NOT_HTTP else _STATUS.match(entry.answer)
        attributes: dict[str, spans.Value | None] = {
            spans.EVENT_ID: event_id,
            spans.MESSAGING_MESSAGE_ID: entry.delivery_id,
            spans.ROUTE: entry.route,
            spans.DESTINATION: entry.destination,
            spans.ATTEMPT_NUMBER: entry.attempt_number,
            spans.OUTCOME: entry.outcome,
            spans.HTTP_STATUS: int(status[0]) if status else None,
        }
        error = "" if isinstance(outcome, Delivered) else entry.outcome
        if isinstance(outcome, Failed):
            error = outcome.code
        name, span_id = f"deliver {entry.destination.partition(SEPARATOR)[0]}", spans.new_span_id()
        span = spans.Span(FUNCTION, name, spans.CLIENT, place, span_id, started_at, entry.ended_at, attributes, error)
        self._add(span)
        if scope is not None:
            scope.ids = span.ids

    def note_digest(self, message: bytes, started_at: float) -> None:
        """Record a digest that was published, the first span of its event's trace. It has links to its events."""
        delivery = delivery_from(jsontext.from_json(message))
        trace_id, span_id = spans.ids_of_event(delivery.event)
        listed = jsontext.objects_at(delivery.event.data, "events")[:MAX_LINKS]
        links = [spans.event_ids(str(each.get("id")), str(each.get("receivedat"))) for each in listed]
        place = spans.Place(trace_id, links=tuple(links))
        attributes = {
            **spans.publishing_attributes(self._system, ports.DELIVERIES, 1),
            spans.EVENT_ID: delivery.event.id,
            spans.DESTINATION: delivery.destination,
            spans.COUNT: delivery.merged,
        }
        name, now = f"digest {delivery.destination}", self._clock.now()
        self._add(spans.Span(FUNCTION, name, spans.PRODUCER, place, span_id, started_at, now, attributes))

    async def sweep(self, sweep: Awaitable[int]) -> int:
        """Return the number of deliveries that the sweep published. Record it, unless it had nothing to do."""
        started_at = self._clock.now()
        count = 0
        code = ""
        try:
            count = await sweep
        except Exception as error:
            code = spans.code_of(error)
            raise
        finally:
            if count or code:
                place, now = spans.Place(spans.new_trace_id()), self._clock.now()
                attributes: dict[str, spans.Value | None] = {spans.FAAS_TRIGGER: "timer", spans.COUNT: count}
                span_id = spans.new_span_id()
                self._add(
                    spans.Span(FUNCTION, "sweep", spans.INTERNAL, place, span_id, started_at, now, attributes, code)
                )
        return count

    def ids(self, _: jsontext.JsonObject) -> tuple[str, str] | None:
        """Return the trace and span ids for a log line of the current task."""
        scope = _current.get()
        return scope.ids if scope else None
