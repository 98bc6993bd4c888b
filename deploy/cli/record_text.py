"""One event, one digest or one dead letter as lines of text: what `events show` and `dead-letters show` print."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.history import digests, documents, stored_messages
from deploy.history.journal_view import DeadLetterRow, EventRecord, EventSummary, RequestRow
from deploy.terminal.output import BOLD, DIM, GREEN, RED, YELLOW, Screen, clock, count_of, printable
from shared import delivery, jsontext, times
from shared.journal import AttemptEntry, RouteDecision
from shared.ledger import LedgerRow
from shared.subscribers.names import endpoint_name

COLOURS: Final = {
    "delivered": GREEN,
    "merged": GREEN,
    "dead_lettered": RED,
    "failed": RED,
    "kept": RED,
    "retry_scheduled": YELLOW,
    "waiting": YELLOW,
    "unknown": YELLOW,
    "held": YELLOW,
}
"""By the status of an event, or the state of a delivery, a dead letter or a waiting route."""
_ROUTE_STATES: Final = {
    "waiting": "waiting",
    "rerun": "no longer waiting, because the event was published again for this route",
    "dead_lettered": "dead_lettered",
}
"""The texts by `documents.route_state`."""
_INDENT: Final = "  "
_NAME_WIDTH: Final = 11
"""The width of the names in front of the values."""
REPEATED: Final = (
    "These requests have the same id, the same signed bytes or, with `dedupe: body`, the same body, so they count as "
    "one event. If they are different events, change `id` or `dedupe` of the source."
)
MAX_ENDPOINTS: Final = 20
"""The deliveries to endpoints that are listed of an event."""
MAX_MEMBERS: Final = 50
"""The events that are listed of a digest."""


def colour_of(status: str) -> str:
    """Return the colour of a status or state; empty for one that needs no attention."""
    return COLOURS.get(status, "")


@dataclass(frozen=True, slots=True)
class UnlistedRoutes:
    """The decisions of the routes that the journal does not list, by the current configuration.

    `hidden` is the number of further decisions that --routes prints.
    """

    decisions: Sequence[RouteDecision]
    hidden: int = 0


@dataclass(frozen=True, slots=True)
class RecordText:
    """The text of a record for a screen. Each method that returns lines is for one kind of record, or a part of it."""

    screen: Screen

    def event(
        self,
        record: EventRecord,
        document: jsontext.JsonObject | None,
        rows: Sequence[LedgerRow],
        *,
        troubles: Iterable[str] = (),
        unlisted: UnlistedRoutes | None = None,
    ) -> Iterator[str]:
        """Yield the lines about an event.

        document  the event with its data, which may come from a blob; None if it is not stored
        rows      its deliveries, to destinations and to endpoints, and its routes that wait
        troubles  why nothing happens to the event now
        unlisted  None if the decisions were not computed
        """
        yield from self._summary(record.summary)
        yield from (f"{_INDENT}{''.ljust(_NAME_WIDTH)}  {self._coloured(printable(each), RED)}" for each in troubles)
        waiting = [row for row in rows if row.destination == delivery.ROUTE_ITSELF]
        to_endpoints = [row for row in rows if endpoint_name(row.destination)]
        others = [
            row for row in rows if row.destination != delivery.ROUTE_ITSELF and not endpoint_name(row.destination)
        ]
        passes = f" (the last of {record.passes} passes through transform)" if record.passes > 1 else ""
        yield from self._sections(
            {
                "Received": _received_lines(record),
                f"Routes{passes}": _route_lines(record, unlisted),
                "Other routes, by the current configuration": _unlisted_lines(unlisted) if unlisted else (),
                "Routes that waited for a step's system": self._waiting_routes(waiting, record.attempts),
                "Deliveries": self._deliveries(others, record.attempts),
                "Deliveries to endpoints": self._deliveries_to_endpoints(to_endpoints, record.attempts),
                "Dead letters": self._letters(record.dead_letters),
                "Event": _document_lines(record.summary, document),
            }
        )

    def digest(self, digest: digests.DigestRecord) -> Iterator[str]:
        """Yield the lines about a digest or a burst, and the events that it stands for."""
        summary = digest.record.summary
        yield self._coloured(f"Digest {printable(summary.id)}", BOLD)
        yield from _pairs(
            {
                "destination": digest.destination,
                "contains": count_of(digest.count, "delivery", "deliveries"),
                "created": times.rfc3339(summary.received_at),
            }
        )
        yield self._status(summary)
        yield from self._sections(
            {
                "Deliveries": self._deliveries(digest.rows, digest.record.attempts),
                "Dead letters": self._letters(digest.dead_letters),
                "Events in it": _member_lines(digest),
                "Event": _json_lines(digest.document) if digest.document else ["not kept: it is delivered"],
            }
        )

    def letter(self, letter: DeadLetterRow, message: jsontext.Json) -> Iterator[str]:
        """Yield the lines about a dead letter. `message` is what is printed of it: the event, or the whole message."""
        yield self._coloured(f"Dead letter {printable(letter.id)}", BOLD)
        yield from (f"{_INDENT}{line}" for line in self._letters([letter]))
        if count := stored_messages.merged_count(letter.message):
            show = f"`hookchain events show {printable(letter.event_id)}` lists them"
            yield from _pairs({"contains": f"digest of {count_of(count, 'event')}: {show}"})
        yield from self._sections({"Message": _json_lines(message)})

    # The parts of a record

    def _coloured(self, text: str, colour: str) -> str:
        return self.screen.coloured(text, colour)

    def _state(self, state: str) -> str:
        return self.screen.coloured(state, colour_of(state))

    def _sections(self, lines_by_title: Mapping[str, Iterable[str]]) -> Iterator[str]:
        """Yield the sections that have lines."""
        for title, lines in lines_by_title.items():
            indented = [f"{_INDENT}{line}".rstrip() for line in lines]
            if indented:
                yield from ("", self._coloured(title, BOLD), *indented)

    def _summary(self, event: EventSummary) -> Iterator[str]:
        yield self._coloured(f"Event {printable(event.id)}", BOLD)
        yield from _pairs(
            {
                "type": event.type or "",
                "source": event.source,
                "subject": event.subject or "",
                "actor": event.actor or "",
                "received": times.rfc3339(event.received_at),
            }
        )
        yield self._status(event)

    def _status(self, event: EventSummary) -> str:
        return f"{_INDENT}{'status'.ljust(_NAME_WIDTH)}  {self._state(event.status)}"

    def _letters(self, letters: Iterable[DeadLetterRow]) -> Iterator[str]:
        for letter in letters:
            yield f"{clock(letter.at)}  {self._state(letter.state)}  {letter.code}: {printable(letter.reason)}"
            yield from _pairs(
                {
                    "id": letter.id,
                    "event": letter.event_id,
                    "route": letter.route,
                    "destination": letter.destination,
                    "topic": letter.topic,
                }
            )

    def _waiting_routes(self, rows: Iterable[LedgerRow], attempts: Iterable[AttemptEntry]) -> Iterator[str]:
        """Yield the lines about routes that waited for a step's system. Their rows are like those of deliveries."""
        for row in rows:
            state = documents.route_state(row)
            own = _attempts_of(row, attempts)
            tries = documents.tries_of(row, own)
            next_try = "" if row.retry_at is None else f", try {tries + 1} at {clock(row.retry_at)}"
            yield f"{printable(row.route)}: {self._coloured(_ROUTE_STATES[state], colour_of(state))}{next_try}"
            yield from self._attempts(row, own)

    def _deliveries(self, rows: Iterable[LedgerRow], attempts: Iterable[AttemptEntry]) -> Iterator[str]:
        for row in rows:
            again = f", replayed {row.generation} ×" if row.generation else ""
            target = f"to {printable(row.destination)} by route {printable(row.route)!r}"
            yield f"{target}: {self._delivery_state(row)}{again}"
            yield from self._attempts(row, _attempts_of(row, attempts))
            yield f"{_INDENT}{self._coloured(f'delivery {row.key}', DIM)}"

    def _deliveries_to_endpoints(self, rows: Sequence[LedgerRow], attempts: Iterable[AttemptEntry]) -> Iterator[str]:
        """Yield MAX_ENDPOINTS deliveries at most, first those that are not delivered.

        If there are more, begin with the number of deliveries in each state.
        """
        if len(rows) > MAX_ENDPOINTS:
            counts = Counter(row.state for row in rows)
            states = ", ".join(f"{count:,} {self._state(state)}" for state, count in counts.items())
            yield f"{count_of(len(rows), 'delivery', 'deliveries')}: {states}"
        shown = sorted(rows, key=lambda row: row.state == "delivered")[:MAX_ENDPOINTS]
        yield from self._deliveries(shown, attempts)
        if len(rows) > len(shown):
            yield f"and {len(rows) - len(shown):,} more: --json lists them"

    def _delivery_state(self, row: LedgerRow) -> str:
        """Return the state, with the time of the next attempt, or of the end of the group in which it waits."""
        if row.state != "retry_scheduled" or row.retry_at is None:
            return self._state(row.state)
        if row.group:
            return f"waits until {clock(row.retry_at)}"
        # If the delivery is on the bus already, `retry_at` is when it would be published once more.
        next_attempt = f"attempt {row.attempt_number + 1} at {clock(row.planned_at or row.retry_at)}"
        return f"{self._state(row.state)}, {next_attempt}"

    def _attempts(self, row: LedgerRow, own: Sequence[AttemptEntry]) -> Iterator[str]:
        """Yield the reason for the state, unless the last attempt gives it, and the attempts."""
        if row.reason and not (own and own[-1].reason == row.reason):
            yield f"{_INDENT}{printable(row.reason)}"
        for attempt in own:
            milliseconds = (attempt.ended_at - attempt.started_at) * 1000
            outcome = f"{self._state(attempt.outcome)} after {milliseconds:.0f} ms"
            answer = f"answer: {attempt.answer}" if attempt.answer else ""
            texts = printable("; ".join(filter(None, (attempt.reason, answer))))
            yield f"{_INDENT}{attempt.attempt_number}. {times.rfc3339(attempt.started_at)}  {outcome}  {texts}"


def _attempts_of(row: LedgerRow, attempts: Iterable[AttemptEntry]) -> list[AttemptEntry]:
    return [attempt for attempt in attempts if attempt.delivery_id == row.key]


def _received_lines(record: EventRecord) -> Iterator[str]:
    yield from map(_request_line, record.requests)
    accepted_count = sum(each.event_id is not None for each in record.requests)
    if accepted_count > 1:
        yield REPEATED


def _request_line(request: RequestRow) -> str:
    took = "" if request.duration_ms is None else f" after {request.duration_ms:g} ms"
    why = ": ".join(filter(None, (request.code, request.detail)))
    line = f"{times.rfc3339(request.at)}  {request.method} answered {request.status}{took}  {why}"
    return printable(line.rstrip())


def _route_lines(record: EventRecord, unlisted: UnlistedRoutes | None) -> Iterator[str]:
    yield from map(_route_line, record.routes)
    if record.other_routes and unlisted is None:
        yield f"{count_of(record.other_routes, 'other route')} did not match: --routes prints why"


def _unlisted_lines(unlisted: UnlistedRoutes) -> Iterator[str]:
    yield from map(_route_line, unlisted.decisions)
    if unlisted.hidden:
        yield f"and {count_of(unlisted.hidden, 'other route')}: --routes prints why"


def _route_line(route: RouteDecision) -> str:
    decision = f"{route.outcome}, code {route.code}" if route.code else route.outcome
    to = f" → {', '.join(route.destinations)}" if route.destinations else ""
    return printable(f"{route.route or 'every route'}: {decision}: {route.reason}{to}")


def _member_lines(digest: digests.DigestRecord) -> Iterator[str]:
    """Yield MAX_MEMBERS events at most, the number of the others, and the number of those that were not found."""
    yield from (f"{row.event_id}  by route {printable(row.route)!r}" for row in digest.members[:MAX_MEMBERS])
    if (more := len(digest.members) - MAX_MEMBERS) > 0:
        yield f"and {more:,} more: --json lists them"
    if (missing := digest.count - len(digest.members)) > 0:
        where = f"the newest {digests.MAX_SEARCHED:,} merged deliveries to {printable(digest.destination)!r}"
        yield f"{count_of(missing, 'event')} not found: either not merged yet, or not among {where}"


def _document_lines(event: EventSummary, document: jsontext.JsonObject | None) -> list[str]:
    """Return the event as JSON; without a document, the reason why there is none."""
    if document is not None:
        return _json_lines(document)
    if event.routed_at is None:
        return ["transform has not finished with it: a step may still be waiting for another system"]
    return ["removed: its body was forgotten, or is past retention"]


def _json_lines(value: jsontext.Json) -> list[str]:
    """Return the value as JSON, or a text as it is: a message that is not JSON is stored as a text."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return [printable(line) for line in text.split("\n")]


def _pairs(values: dict[str, str]) -> Iterator[str]:
    """Yield a line for each name that has a value."""
    yield from (f"{_INDENT}{name.ljust(_NAME_WIDTH)}  {printable(value)}" for name, value in values.items() if value)
