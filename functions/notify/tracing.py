"""The spans of notify: attempts, digests and sweeps. Imported only if telemetry is on."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from functions.notify.notifier import Work
from shared import ports
from shared.delivery import Delivery, Failed, Outcome, delivery_from
from shared.journal import AttemptEntry
from shared.jsontext import JsonObject, from_json, objects_at
from shared.push import Push
from shared.telemetry import spans
from shared.telemetry.spans import Span

FUNCTION: Final = "notify"
MAX_LINKS: Final = 32
"""Of a digest: the events that it lists first."""
_NOT_HTTP: Final = frozenset({"email", "sql"})
"""The kinds whose responses do not begin with a status of HTTP."""


@dataclass(slots=True)
class _Scope:
    """The ids of the span that published the message of the current task, and those for its log lines."""

    parent: tuple[str, str] | None
    ids: tuple[str, str] | None


_current: ContextVar[_Scope | None] = ContextVar("delivering", default=None)


class NotifySpans:
    """Records the spans of notify. `add` takes a span that has ended."""

    def __init__(self, add: Callable[[Span], None], system: str, clock: ports.Clock) -> None:
        self._add = add
        self._system = system
        self._clock = clock

    def begin(self, push: Push, delivery: Delivery) -> None:
        """Begin a message in the current task."""
        parent = spans.ids_of(push.attributes.get(spans.TRACE_ATTRIBUTE))
        _current.set(_Scope(parent, parent or spans.event_ids(delivery.event.id)))

    def note_attempt(self, work: Work, kind: str, entry: AttemptEntry, outcome: Outcome) -> None:
        """Record an attempt that has ended."""
        scope = _current.get()
        event = work.delivery.event
        code = outcome.code if isinstance(outcome, Failed) else ""
        span = spans.attempt_span(
            entry,
            spans.received_at(event, entry.started_at),
            parent=scope.parent if scope else None,
            code=code,
            http=kind not in _NOT_HTTP,
        )
        self._add(span)
        if scope is not None:
            scope.ids = span.trace_id, span.span_id

    def note_digest(self, message: bytes, started_at: float) -> None:
        """Record a digest that was published, the first span of its event's trace. It has links to its events."""
        delivery = delivery_from(from_json(message))
        trace_id, span_id = spans.event_ids(delivery.event.id)
        listed = objects_at(delivery.event.data, "events")[:MAX_LINKS]
        self._add(
            Span(
                FUNCTION,
                f"digest {delivery.destination}",
                spans.PRODUCER,
                trace_id,
                span_id,
                "",
                started_at,
                self._clock.now(),
                {
                    **spans.publishing_attributes(self._system, ports.DELIVERIES, 1),
                    spans.EVENT_ID: delivery.event.id,
                    spans.DESTINATION: delivery.destination,
                    spans.COUNT: delivery.merged,
                },
                links=tuple(spans.event_ids(str(each.get("id"))) for each in listed),
            )
        )

    async def sweep(self, sweep: Awaitable[int]) -> int:
        """Return the number of deliveries that the sweep published. Record it, unless it had nothing to do."""
        started_at = self._clock.now()
        count, fault = 0, ("", "")
        try:
            count = await sweep
        except Exception as error:
            fault = spans.fault_of(error)
            raise
        finally:
            if count or fault[0]:
                self._add(
                    Span(
                        FUNCTION,
                        "sweep",
                        spans.INTERNAL,
                        spans.new_trace_id(),
                        spans.new_span_id(),
                        "",
                        started_at,
                        self._clock.now(),
                        {spans.FAAS_TRIGGER: "timer", spans.COUNT: count},
                        *fault,
                    )
                )
        return count

    def ids(self, _: JsonObject) -> tuple[str, str] | None:
        """Return the trace and span ids for a log line of the current task."""
        scope = _current.get()
        return scope.ids if scope else None
