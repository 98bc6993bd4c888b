"""One event or dead letter as text: the request, the routes, the deliveries and their attempts."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from deploy.history.digests import MAX_SEARCHED, DigestRecord
from deploy.history.documents import route_state, tries_of
from deploy.history.journal_view import DeadLetterRow, EventRecord, EventSummary, RequestRow
from deploy.history.replay import merged_count
from deploy.terminal.printing import count_of
from deploy.terminal.tables import BOLD, DIM, GREEN, RED, YELLOW, Screen, printable
from shared.delivery import ROUTE_ITSELF
from shared.journal import AttemptEntry, RouteDecision
from shared.jsontext import Json, JsonObject
from shared.ledger import LedgerRow
from shared.subscribers.names import endpoint_name
from shared.times import rfc3339

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
_ROUTE_STATES: Final = {
    "waiting": "waiting",
    "rerun": "no longer waiting, because the event was published again for this route",
    "dead_lettered": "dead_lettered",
}
_INDENT: Final = "  "
REPEATED: Final = (
    "They have the same id or the same signed bytes, so they are one event. If not, set `dedupe` on the source."
)
MAX_ENDPOINTS: Final = 20
"""The deliveries to endpoints that are listed of an event."""
MAX_MEMBERS: Final = 50
"""The events that are listed of a digest."""


def colour_of(status: str) -> str:
    return COLOURS.get(status, "")


def clock(seconds: float) -> str:
    """Return a time such as `2026-03-01T12:00:00Z`, which `--since` accepts."""
    return rfc3339(seconds)[:19] + "Z"


class EventContext(NamedTuple):
    """The facts about an event that its records do not have.

    others    the decisions of the routes that the journal does not list; None if they were not computed
    limit     how many of them are shown; None for all
    troubles  why nothing happens to the event now
    """

    others: Sequence[RouteDecision] | None = None
    limit: int | None = None
    troubles: Sequence[str] = ()


def event_text(
    record: EventRecord,
    document: JsonObject | None,
    rows: Sequence[LedgerRow],
    screen: Screen,
    around: EventContext = EventContext(),  # noqa: B008 a tuple
) -> Iterator[str]:
    """Yield the lines. `document` is the event with its data, which may come from a blob."""
    others = around.others
    yield from _summary(record.summary, screen)
    yield from (f"{_INDENT}{''.ljust(11)}  {screen.coloured(printable(text), RED)}" for text in around.troubles)
    requests = [line for each in record.requests for line in _request(each)]
    if sum(each.event_id is not None for each in record.requests) > 1:
        requests.append(REPEATED)
    yield from _section("Received", requests, screen)
    seen = "" if record.passes < 2 else f" (the last of {record.passes} passes through transform)"
    routes = [line for each in record.routes for line in _route(each)]
    if record.other_routes and others is None:
        routes.append(f"{count_of(record.other_routes, 'other route')} did not match: --routes prints why")
    yield from _section(f"Routes{seen}", routes, screen)
    lines = [line for each in (others or ())[: around.limit] for line in _route(each)]
    if others and around.limit is not None and (more := len(others) - around.limit) > 0:
        lines.append(f"and {count_of(more, 'other route')}: --routes prints why")
    yield from _section("Other routes, by the current configuration", lines, screen)
    waiting = [row for row in rows if row.destination == ROUTE_ITSELF]
    waits = [line for row in waiting for line in _waiting_route(row, record.attempts, screen)]
    yield from _section("Routes that waited for a step's system", waits, screen)
    own = [row for row in rows if row not in waiting and endpoint_name(row.destination) is None]
    deliveries = [line for row in own for line in _delivery(row, record.attempts, screen)]
    yield from _section("Deliveries", deliveries, screen)
    to_endpoints = [*_endpoints([row for row in rows if endpoint_name(row.destination)], record.attempts, screen)]
    yield from _section("Deliveries to endpoints", to_endpoints, screen)
    letters = [line for each in record.dead_letters for line in letter_lines(each, screen)]
    yield from _section("Dead letters", letters, screen)
    yield from _section("Event", _document(record.summary, document), screen)


def digest_text(digest: DigestRecord, screen: Screen) -> Iterator[str]:
    """Yield the lines about a digest or a burst, and the events that it stands for."""
    summary = digest.record.summary
    yield screen.coloured(f"Digest {printable(summary.id)}", BOLD)
    yield from _pairs(
        {
            "destination": digest.destination,
            "stands for": count_of(digest.count, "delivery", "deliveries"),
            "made": rfc3339(summary.received_at),
        }
    )
    yield f"{_INDENT}{'status'.ljust(11)}  {screen.coloured(summary.status, colour_of(summary.status))}"
    attempts = digest.record.attempts
    deliveries = [line for row in digest.rows for line in _delivery(row, attempts, screen)]
    yield from _section("Deliveries", deliveries, screen)
    letters = [line for each in digest.dead_letters for line in letter_lines(each, screen)]
    yield from _section("Dead letters", letters, screen)
    yield from _section("Events in it", [*_members(digest)], screen)
    content = json_lines(digest.document) if digest.document else ["not kept: it is delivered"]
    yield from _section("Event", content, screen)


def _members(digest: DigestRecord) -> Iterator[str]:
    yield from (f"{row.event_id}  by route {printable(row.route)!r}" for row in digest.members[:MAX_MEMBERS])
    if (more := len(digest.members) - MAX_MEMBERS) > 0:
        yield f"and {more:,} more: --json lists them"
    if (missing := digest.count - len(digest.members)) > 0:
        where = f"the newest {MAX_SEARCHED:,} merged deliveries to {printable(digest.destination)!r}"
        yield f"{count_of(missing, 'event')} not found: either not merged yet, or not among {where}"


def letter_text(letter: DeadLetterRow, message: Json, screen: Screen) -> Iterator[str]:
    yield screen.coloured(f"Dead letter {printable(letter.id)}", BOLD)
    yield from (f"{_INDENT}{line}" for line in letter_lines(letter, screen))
    if count := merged_count(letter.message):
        what = f"digest of {count_of(count, 'event')}: `hookchain events show {printable(letter.event_id)}` lists them"
        yield from _pairs({"stands for": what})
    yield from _section("Message", json_lines(message), screen)


def letter_lines(letter: DeadLetterRow, screen: Screen) -> Iterator[str]:
    state = screen.coloured(letter.state, colour_of(letter.state))
    yield f"{clock(letter.at)}  {state}  {letter.code}: {printable(letter.reason)}"
    yield from _pairs(
        {
            "id": letter.id,
            "event": letter.event_id,
            "route": letter.route,
            "destination": letter.destination,
            "topic": letter.topic,
        }
    )


def json_lines(value: Json) -> list[str]:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return [printable(line) for line in text.split("\n")]


def _summary(event: EventSummary, screen: Screen) -> Iterator[str]:
    yield screen.coloured(f"Event {printable(event.id)}", BOLD)
    yield from _pairs(
        {
            "type": event.type or "",
            "source": event.source,
            "subject": event.subject or "",
            "actor": event.actor or "",
            "received": rfc3339(event.received_at),
        }
    )
    yield f"{_INDENT}{'status'.ljust(11)}  {screen.coloured(event.status, colour_of(event.status))}"


def _section(title: str, lines: Sequence[str], screen: Screen) -> Iterator[str]:
    if lines:
        yield ""
        yield screen.coloured(title, BOLD)
        yield from (f"{_INDENT}{line}".rstrip() for line in lines)


def _pairs(values: dict[str, str]) -> Iterator[str]:
    yield from (f"{_INDENT}{name.ljust(11)}  {printable(value)}" for name, value in values.items() if value)


def _request(request: RequestRow) -> Iterator[str]:
    took = "" if request.duration_ms is None else f" after {request.duration_ms:g} ms"
    why = f"  {request.code}: {request.detail}" if request.code else ""
    yield printable(f"{rfc3339(request.at)}  {request.method} answered {request.status}{took}{why}")


def _route(route: RouteDecision) -> Iterator[str]:
    decision = f"{route.outcome}, code {route.code}" if route.code else route.outcome
    to = f" → {', '.join(route.destinations)}" if route.destinations else ""
    yield printable(f"{route.route or 'every route'}: {decision}: {route.reason}{to}")


def _waiting_route(row: LedgerRow, attempts: Sequence[AttemptEntry], screen: Screen) -> Iterator[str]:
    state, own = route_state(row), [attempt for attempt in attempts if attempt.delivery_id == row.key]
    at = f", try {tries_of(row, own) + 1} at {clock(row.retry_at)}" if row.retry_at is not None else ""
    yield f"{printable(row.route)}: {screen.coloured(_ROUTE_STATES[state], colour_of(state))}{at}"
    if row.reason and not (own and own[-1].reason == row.reason):
        yield f"{_INDENT}{printable(row.reason)}"
    for attempt in own:
        yield _INDENT + _attempt(attempt, screen)


def _delivery(row: LedgerRow, attempts: Sequence[AttemptEntry], screen: Screen) -> Iterator[str]:
    own = [attempt for attempt in attempts if attempt.delivery_id == row.key]
    again = f", replayed {row.generation} ×" if row.generation else ""
    yield f"to {printable(row.destination)} by route {printable(row.route)!r}: {_delivery_state(row, screen)}{again}"
    if row.reason and not (own and own[-1].reason == row.reason):
        yield f"{_INDENT}{printable(row.reason)}"
    for attempt in own:
        yield _INDENT + _attempt(attempt, screen)
    yield f"{_INDENT}{screen.coloured(f'delivery {row.key}', DIM)}"


def _endpoints(rows: Sequence[LedgerRow], attempts: Sequence[AttemptEntry], screen: Screen) -> Iterator[str]:
    """Yield how many there are in which state, where they are many, and first those that are not delivered."""
    if len(rows) > MAX_ENDPOINTS:
        counts = Counter(row.state for row in rows)
        listed = ", ".join(f"{count:,} {screen.coloured(state, colour_of(state))}" for state, count in counts.items())
        yield f"{count_of(len(rows), 'delivery', 'deliveries')}: {listed}"
    shown = sorted(rows, key=lambda row: row.state == "delivered")[:MAX_ENDPOINTS]
    for row in shown:
        yield from _delivery(row, attempts, screen)
    if len(rows) > len(shown):
        yield f"and {len(rows) - len(shown):,} more: --json lists them"


def _delivery_state(row: LedgerRow, screen: Screen) -> str:
    state = screen.coloured(row.state, colour_of(row.state))
    if row.state != "retry_scheduled" or row.retry_at is None:
        return state
    if row.group:
        return f"waits until {clock(row.retry_at)}"
    return f"{state}, attempt {row.attempt_number + 1} at {clock(row.planned_at or row.retry_at)}"


def _attempt(attempt: AttemptEntry, screen: Screen) -> str:
    outcome = screen.coloured(attempt.outcome, colour_of(attempt.outcome))
    took = f"{(attempt.ended_at - attempt.started_at) * 1000:.0f} ms"
    texts = [word for word in (attempt.reason, f"answer: {attempt.answer}" if attempt.answer else "") if word]
    return f"{attempt.attempt_number}. {rfc3339(attempt.started_at)}  {outcome} after {took}  " + printable(
        "; ".join(texts)
    )


def _document(event: EventSummary, document: JsonObject | None) -> list[str]:
    if document is not None:
        return json_lines(document)
    if event.routed_at is None:
        return ["transform has not finished with it: a step may still be waiting for another system"]
    return ["removed: its body was forgotten, or is past retention"]
