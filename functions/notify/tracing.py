"""The spans of notify: attempts, digests and sweeps. Imported only if telemetry is on.

A span says what was done, from when to when, and with which error. Its ids are its trace's id and its own. Each span
but the first names its parent, so that a tool can show the spans of a trace as a tree:

    POST /shop                receive
      publish events          receive
        process events        transform
          publish deliveries  transform; the message names this span, as the parent of what notify does
            deliver crm       notify: an attempt, which `note_attempt` records

A digest is one delivery about many events. It begins a trace of its own, with links to the events. A sweep, which
publishes the deliveries that are due, has a trace of its own too.
"""

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
"""The most links of a digest's span. A digest of more events has links to the first ones that it lists."""
_STATUS: Final = re.compile(r"[1-5][0-9]{2}\b")
_NOT_HTTP: Final = frozenset({"email", "sql"})
"""The kinds whose responses do not begin with a status of HTTP."""


@dataclass(slots=True)
class _Message:
    """The message that the current task handles: one delivery, from the bus.

    publisher  the ids of the span that published the message; None if the message does not name them
    log_ids    the ids for the log lines of the task: at first the publisher's or the event's, and after an attempt the
               attempt's, because the later lines are about it
    """

    publisher: spans.SpanIds | None
    log_ids: spans.SpanIds


_current_message: ContextVar[_Message | None] = ContextVar("current_message", default=None)


class NotifySpans:
    """Records the spans of notify. `add` takes a span that has ended. `system` is the bus, such as `gcp_pubsub`."""

    def __init__(self, add: Callable[[spans.Span], None], system: str, clock: ports.Clock) -> None:
        self._add = add
        self._system = system
        self._clock = clock

    def begin(self, push: Push, delivery: Delivery) -> None:
        """Begin a message in the current task."""
        publisher = spans.ids_of_traceparent(push.attributes.get(spans.TRACE_ATTRIBUTE))
        _current_message.set(_Message(publisher, log_ids=publisher or spans.ids_of_event(delivery.event)))

    def note_attempt(self, event: Event, kind: str, entry: journal.AttemptEntry, outcome: Outcome) -> None:
        """Record an attempt that has ended, by a destination of this kind."""
        message = _current_message.get()
        status = None if kind in _NOT_HTTP else _STATUS.match(entry.answer)
        span = spans.Span(
            service=FUNCTION,
            # The name of a subscriber's endpoint is left out, because a tool groups spans by their names.
            name=f"deliver {entry.destination.partition(SEPARATOR)[0]}",
            kind=spans.CLIENT,
            place=spans.place_of(event, entry.started_at, message.publisher if message else None),
            span_id=spans.new_span_id(),
            started_at=entry.started_at,
            ended_at=entry.ended_at,
            attributes={
                spans.EVENT_ID: entry.event_id,
                spans.MESSAGING_MESSAGE_ID: entry.delivery_id,
                spans.ROUTE: entry.route,
                spans.DESTINATION: entry.destination,
                spans.ATTEMPT_NUMBER: entry.attempt_number,
                spans.OUTCOME: entry.outcome,
                spans.HTTP_STATUS: int(status[0]) if status else None,
            },
            error=_error_code(outcome, entry),
        )
        self._add(span)
        if message is not None:
            message.log_ids = span.ids

    def note_digest(self, message: bytes, started_at: float) -> None:
        """Record the publishing of a digest. `message` is the digest, a delivery whose event lists the others."""
        delivery = delivery_from(jsontext.from_json(message))
        listed_events = jsontext.objects_at(delivery.event.data, "events")[:MAX_LINKS]
        links = [spans.event_ids(str(each.get("id")), str(each.get("receivedat"))) for each in listed_events]
        # These ids are made from the digest's event, so the attempt to deliver it, whose message names no publisher,
        # finds the same ids and has this span as its parent (`spans.place_of`).
        trace_id, span_id = spans.ids_of_event(delivery.event)
        self._add(
            spans.Span(
                service=FUNCTION,
                name=f"digest {delivery.destination}",
                kind=spans.PRODUCER,
                place=spans.Place(trace_id, links=tuple(links)),
                span_id=span_id,
                started_at=started_at,
                ended_at=self._clock.now(),
                attributes={
                    **spans.publishing_attributes(self._system, ports.DELIVERIES, 1),
                    spans.EVENT_ID: delivery.event.id,
                    spans.DESTINATION: delivery.destination,
                    spans.COUNT: delivery.merged,
                },
            )
        )

    async def sweep(self, sweep: Awaitable[int]) -> int:
        """Return the number of deliveries that the sweep published. Record it, unless it had nothing to do."""
        started_at = self._clock.now()
        count = 0
        error_code = ""
        try:
            count = await sweep
        except Exception as error:
            error_code = spans.code_of(error)
            raise
        finally:
            if count or error_code:
                span = spans.Span(
                    service=FUNCTION,
                    name="sweep",
                    kind=spans.INTERNAL,
                    place=spans.Place(spans.new_trace_id()),
                    span_id=spans.new_span_id(),
                    started_at=started_at,
                    ended_at=self._clock.now(),
                    attributes={spans.FAAS_TRIGGER: "timer", spans.COUNT: count},
                    error=error_code,
                )
                self._add(span)
        return count

    def ids(self, _: jsontext.JsonObject) -> spans.SpanIds | None:
        """Return the ids for a log line of the current task. The line itself does not matter."""
        message = _current_message.get()
        return message.log_ids if message else None


def _error_code(outcome: Outcome, entry: journal.AttemptEntry) -> str:
    """Return the code of what failed; empty after a success."""
    if isinstance(outcome, Delivered):
        return ""
    return outcome.code if isinstance(outcome, Failed) else entry.outcome
