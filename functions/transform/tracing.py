"""The spans of transform, and those of receive, whose times come with the message. Imported only if telemetry is on.

entry begins and ends the span of a message. In between, Transformer notes its event and the steps of its routes, and a
RecordingBus notes what is published. The journal keeps the spans as they are when its entry is written.
"""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from functions.transform.chain import StepRecord
from functions.transform.route_runs import Decision, RouteResult
from functions.transform.step import Stop
from shared import errors, logs, ports, times
from shared.event import Event
from shared.jsontext import JsonObject
from shared.push import Push
from shared.telemetry import spans

FUNCTION: Final = "transform"


class Processing:
    """A message that is being processed.

    span   of the message; None until its event is read
    ended  the spans in it that have ended, and those of receive
    """

    def __init__(self, push: Push, started_at: float) -> None:
        self.push = push
        self.started_at = started_at
        self.span: spans.Span | None = None
        self.ended: list[spans.Span] = []


_current: ContextVar[Processing | None] = ContextVar("processing", default=None)


class TransformSpans:
    """Records the spans of transform, for the message of the current task.

    add         takes a span that has ended
    system      the bus, by its name in the semantic conventions
    scheme      of the URLs of receive
    type_words  as in entry.Service
    """

    def __init__(
        self,
        add: Callable[[spans.Span], None],
        system: str,
        scheme: str,
        clock: ports.Clock,
        type_words: Mapping[str, int],
    ) -> None:
        self._add = add
        self._system = system
        self._scheme = scheme
        self._clock = clock
        self._type_words = type_words

    def begin(self, push: Push) -> None:
        _current.set(Processing(push, self._clock.now()))

    def note_event(self, event: Event) -> None:
        """Note which event the message has."""
        processing = _current.get()
        if processing is None:
            return
        push, started_at = processing.push, processing.started_at
        event_type = logs.loggable_type(event.type, self._type_words.get(event.source_name) or 1)
        received = push.attributes.get(spans.RECEIVED)
        parent = None
        if received is not None:
            parent = (spans.trace_id_of(event.id), spans.published_id(event))
            # The clock of the bus may be ahead of ours.
            sent_at = min(_sent_at(push) or started_at, started_at)
            processing.ended += spans.receive_spans(event, event_type, received, sent_at, self._system, self._scheme)
        place = spans.place_of(event, started_at, parent)
        attributes = {
            spans.FAAS_TRIGGER: "pubsub",  # the word of the semantic conventions for any bus
            spans.MESSAGING_SYSTEM: self._system,
            spans.MESSAGING_OPERATION_NAME: "process",
            spans.MESSAGING_OPERATION_TYPE: "process",
            spans.MESSAGING_DESTINATION: ports.EVENTS,
            spans.MESSAGING_MESSAGE_ID: push.message_id or None,
            spans.ROUTE: push.attributes.get("route"),  # which runs again, after it has waited
            **spans.event_attributes(event, event_type),
        }
        span_id, name = spans.new_span_id(), "process events"
        processing.span = spans.Span(FUNCTION, name, spans.CONSUMER, place, span_id, started_at, started_at, attributes)

    def note_steps(self, results: Sequence[RouteResult]) -> None:
        """Note the steps that the routes have taken."""
        processing = _current.get()
        if processing is None or processing.span is None:
            return
        for result in results:
            processing.ended += [_step_span(processing.span, result.decision.route, each) for each in result.records]

    def kept(self) -> tuple[JsonObject, ...]:
        """Return the spans as the journal keeps them. That of the message ends now, until `end` sets its end again."""
        processing = _current.get()
        if processing is None or processing.span is None:
            return ()
        processing.span.ended_at = self._clock.now()
        return tuple([spans.kept_document(span) for span in (*processing.ended, processing.span)])

    def end(self, decision: Decision | None, *, is_duplicate: bool, error: Exception | None) -> None:
        """Record the spans of the message. One that holds no event has none.

        `decision` is None after an error. The code of the first route that failed stands for all of them.
        """
        processing = _current.get()
        if processing is None or processing.span is None:
            return
        span = processing.span
        span.ended_at = self._clock.now()
        span.error = spans.code_of(error)
        if decision is not None:
            outcome = "duplicate" if is_duplicate else decision.outcome
            span.attributes = {**span.attributes, spans.OUTCOME: outcome}
            if decision.failed:
                span.error = decision.failed[0].code
        for each in (*processing.ended, span):
            self._add(each)

    def ids(self, _: JsonObject) -> tuple[str, str] | None:
        """Return the trace and span ids for a log line of the current task."""
        processing = _current.get()
        return processing.span.ids if processing and processing.span else None

    def recording(self, bus: ports.Bus) -> ports.Bus:
        return RecordingBus(bus, self._system, self._clock)


def _sent_at(push: Push) -> float | None:
    """Return when the bus had the message: Pub/Sub writes RFC 3339, SQS milliseconds. None if it does not say it."""
    try:
        return int(push.sent) / 1_000 if push.sent.isdecimal() else times.unix_seconds(push.sent)
    except ValueError:
        return None


def _step_span(process: spans.Span, route: str, record: StepRecord) -> spans.Span:
    attributes: dict[str, spans.Value | None] = {spans.ROUTE: route, spans.STEP: record.step.label}
    if isinstance(record.result, Stop):
        attributes[spans.OUTCOME] = "filtered"
    code = spans.code_of(record.result if isinstance(record.result, errors.HookchainError) else None)
    name, place, span_id = f"step {record.step.name}", process.inner_place(), spans.new_span_id()
    started_at, ended_at = record.started_at, record.ended_at
    return spans.Span(FUNCTION, name, spans.INTERNAL, place, span_id, started_at, ended_at, attributes, code)


class RecordingBus:
    """The bus of transform. Each call is a span, whose ids go with its messages."""

    def __init__(self, bus: ports.Bus, system: str, clock: ports.Clock) -> None:
        self._bus = bus
        self._system = system
        self._clock = clock

    @property
    def max_delay_seconds(self) -> float:
        return self._bus.max_delay_seconds

    async def publish(self, topic: str, messages: Sequence[ports.BusMessage]) -> None:
        processing = _current.get()
        if processing is None or processing.span is None:
            await self._bus.publish(topic, messages)
            return
        place, span_id, started_at = processing.span.inner_place(), spans.new_span_id(), self._clock.now()
        attributes = spans.publishing_attributes(self._system, topic, len(messages))
        name = f"publish {topic}"
        span = spans.Span(FUNCTION, name, spans.PRODUCER, place, span_id, started_at, started_at, attributes)
        context = {spans.TRACE_ATTRIBUTE: f"00-{place.trace_id}-{span_id}-01"}
        with_context = [replace(each, attributes={**each.attributes, **context}) for each in messages]
        try:
            await self._bus.publish(topic, with_context)
        except errors.Temporary as error:
            span.error = spans.code_of(error)
            raise
        finally:
            span.ended_at = self._clock.now()
            processing.ended.append(span)
