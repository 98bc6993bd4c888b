"""Journal and ledger rows as the JSON documents that the page and the commands return.

Times are RFC 3339. No text here is safe to show as HTML: senders wrote it.
"""

from collections.abc import Sequence

from deploy.history import journal_view, replay, stored_messages
from shared import delivery, journal, ledger, ledger_rules
from shared.jsontext import JsonObject
from shared.times import rfc3339


def summary_document(event: journal_view.EventSummary) -> JsonObject:
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "actor": event.actor,
        "received_at": rfc3339(event.received_at),
        "routed_at": _time(event.routed_at),
        "expected": event.expected,
        "status": event.status,
    }


def record_document(
    record: journal_view.EventRecord, document: JsonObject | None, rows: list[ledger.LedgerRow]
) -> JsonObject:
    """Return one event with everything recorded about it. `document` is its CloudEvent with its data."""
    return {
        **summary_document(record.summary),
        "event": document,
        "passes": record.passes,
        "requests": [request_document(request) for request in record.requests],
        "routes": journal.route_documents(record.routes),
        "other_routes": record.other_routes,
        "waiting_routes": [
            waiting_route_document(row, record.attempts) for row in rows if row.destination == delivery.ROUTE_ITSELF
        ],
        "deliveries": [delivery_document(row) for row in rows if row.destination != delivery.ROUTE_ITSELF],
        "attempts": [attempt_document(attempt) for attempt in record.attempts],
        "dead_letters": [dead_letter_document(letter) for letter in record.dead_letters],
    }


def request_document(request: journal_view.RequestRow) -> JsonObject:
    return {
        "seq": request.seq,
        "at": rfc3339(request.at),
        "method": request.method,
        "status": request.status,
        "code": request.code,
        "source": request.source,
        "event_id": request.event_id,
        "detail": request.detail,
        "bytes": request.bytes,
        "duration_ms": request.duration_ms,
    }


def delivery_document(row: ledger.LedgerRow) -> JsonObject:
    return {
        "id": row.key,
        "event_id": row.event_id,
        "route": row.route,
        "destination": row.destination,
        "state": row.state,
        "generation": row.generation,
        "attempt_number": row.attempt_number,
        "unknown_count": row.unknown_count,
        "group": row.group or None,
        "merged": row.merged,
        "retry_at": _time(row.planned_at),
        "reason": row.reason,
        "answer": row.answer,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def waiting_route_document(row: ledger.LedgerRow, attempts: Sequence[journal.AttemptEntry]) -> JsonObject:
    """Return a route that waits or has waited. `attempts` are those of its event, oldest first."""
    return {
        "id": row.key,
        "route": row.route,
        "state": route_state(row),
        "tries": tries_of(row, attempts),
        "retry_at": _time(row.retry_at),
        "reason": row.reason,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def route_state(row: ledger.LedgerRow) -> str:
    """Return `waiting`, `rerun` once its last wait is over, or `dead_lettered`."""
    if row.state == ledger_rules.DEAD_LETTERED:
        return row.state
    return "waiting" if row.state == ledger_rules.RETRY_SCHEDULED else "rerun"


def tries_of(row: ledger.LedgerRow, attempts: Sequence[journal.AttemptEntry]) -> int:
    """Return how often the system was asked in vain since the route ran first, or since its last replay."""
    return next((each.attempt_number for each in reversed(attempts) if each.delivery_id == row.key), 0)


def attempt_document(attempt: journal.AttemptEntry) -> JsonObject:
    return {
        "delivery_id": attempt.delivery_id,
        "route": attempt.route,
        "destination": attempt.destination,
        "attempt_number": attempt.attempt_number,
        "started_at": rfc3339(attempt.started_at),
        "duration_ms": round((attempt.ended_at - attempt.started_at) * 1000, 1),
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "answer": attempt.answer,
    }


def dead_letter_document(letter: journal_view.DeadLetterRow, whole: bool = False) -> JsonObject:
    document: JsonObject = {
        "seq": letter.seq,
        "id": letter.id,
        "code": letter.code,
        "reason": letter.reason,
        "at": rfc3339(letter.at),
        "topic": letter.topic,
        "event_id": letter.event_id,
        "route": letter.route,
        "destination": letter.destination,
        "state": letter.state,
        "merged": stored_messages.merged_count(letter.message),
        "replayable": replay.is_replayable(replay.as_dead_letter(letter)),
    }
    return {**document, "message": stored_messages.message_json(letter.message)} if whole else document


def series_document(buckets: Sequence[journal_view.Bucket], bucket_seconds: float) -> JsonObject:
    """Return a list for each figure, oldest first."""
    return {
        "since": rfc3339(buckets[0].at),
        "bucket_seconds": bucket_seconds,
        "accepted": [each.accepted for each in buckets],
        "rejected": [each.rejected for each in buckets],
        "delivered": [each.delivered for each in buckets],
        "not_delivered": [each.not_delivered for each in buckets],
        "p50_ms": [each.p50_ms for each in buckets],
        "p95_ms": [each.p95_ms for each in buckets],
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
