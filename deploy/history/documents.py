"""Journal and ledger rows, and tenants with their endpoints, as JSON for the page and the commands. No secret is read.

Times are RFC 3339. No text here is safe to show as HTML: senders wrote it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deploy.history import chart, journal_view, replay, stored_messages
from shared import delivery, journal, ledger, ledger_rules, store_ports, times
from shared.jsontext import Json, JsonObject
from shared.subscribers.directory import TENANTS, Directory
from shared.subscribers.model import Endpoint, Tenant

_SUMMARY: Final = ("id", "source", "type", "subject", "actor", "received_at", "routed_at", "expected", "status")
_REQUEST: Final = ("seq", "at", "method", "status", "code", "source", "event_id", "detail", "bytes", "duration_ms")
_ATTEMPT: Final = ("delivery_id", "route", "destination", "attempt_number", "started_at")
_LETTER: Final = ("seq", "id", "code", "reason", "at", "topic", "event_id", "route", "destination", "state")
_COUNTS: Final = ("accepted", "rejected", "delivered", "not_delivered", "p50_ms", "p95_ms")


def fields(row: object, names: Sequence[str]) -> JsonObject:
    """Return these fields of a row. Those whose names end with `at` are times, which become RFC 3339."""
    document: JsonObject = {}
    for name in names:
        value = getattr(row, name)
        is_time = name == "at" or name.endswith("_at")
        document[name] = times.time_text(value) if is_time else value
    return document


def summary_document(event: journal_view.EventSummary) -> JsonObject:
    return fields(event, _SUMMARY)


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
    return fields(request, _REQUEST)


def delivery_document(row: ledger.LedgerRow) -> JsonObject:
    return {
        "id": row.key,
        **fields(row, ("event_id", "route", "destination", "state", "generation", "attempt_number", "unknown_count")),
        "group": row.group or None,
        "merged": row.merged,
        "retry_at": times.time_text(row.planned_at),
        **fields(row, ("reason", "answer", "created_at", "updated_at")),
    }


def waiting_route_document(row: ledger.LedgerRow, attempts: Sequence[journal.AttemptEntry]) -> JsonObject:
    """Return a route that waits or has waited. `attempts` are the attempts of its event, oldest first."""
    return {
        "id": row.key,
        "route": row.route,
        "state": route_state(row),
        "tries": tries_of(row, attempts),
        **fields(row, ("retry_at", "reason", "created_at", "updated_at")),
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
        **fields(attempt, _ATTEMPT),
        "duration_ms": round((attempt.ended_at - attempt.started_at) * 1000, 1),
        **fields(attempt, ("outcome", "reason", "answer")),
    }


def dead_letter_document(letter: journal_view.DeadLetterRow, whole: bool = False) -> JsonObject:
    document: JsonObject = {
        **fields(letter, _LETTER),
        "merged": stored_messages.merged_count(letter.message),
        "replayable": replay.is_replayable(letter),
    }
    return {**document, "message": stored_messages.message_json(letter.message)} if whole else document


def series_document(buckets: Sequence[chart.Bucket], bucket_seconds: float) -> JsonObject:
    """Return a list for each figure, oldest first."""
    return {
        "since": times.rfc3339(buckets[0].at),
        "bucket_seconds": bucket_seconds,
        **{name: [getattr(each, name) for each in buckets] for name in _COUNTS},
    }


@dataclass(frozen=True, slots=True)
class TenantPage:
    """A page of tenants, in the order of their ids. `next` is the cursor of the next page; None on the last page."""

    tenants: Sequence[Tenant]
    next: str | None

    def document(self) -> JsonObject:
        return {"tenants": [tenant_document(each) for each in self.tenants], "next": self.next}


async def read_tenants(documents: store_ports.Documents, limit: int, after: str = "") -> TenantPage:
    """Return the tenants whose ids come after `after`. Raises Temporary."""
    found = await Directory(documents).page(Tenant, TENANTS, limit + 1, after)
    return TenantPage(found[:limit], found[limit - 1].id if len(found) > limit else None)


async def read_endpoints(documents: store_ports.Documents, tenant: str) -> list[JsonObject] | None:
    """Return the tenant's endpoints, newest first; None for an unknown tenant. Raises Temporary."""
    directory = Directory(documents)
    if await directory.read(Tenant, TENANTS, tenant) is None:
        return None
    found = await directory.endpoints(tenant)
    return [endpoint_document(each) for each in sorted(found, key=lambda each: each.created_at, reverse=True)]


def tenant_document(tenant: Tenant) -> JsonObject:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "email": tenant.email,
        "created_at": times.time_text(tenant.created_at or None),
    }


def endpoint_document(endpoint: Endpoint) -> JsonObject:
    types: list[Json] = [*endpoint.types]
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "description": endpoint.description,
        "types": types,
        "filter": endpoint.filter,
        "rate": endpoint.rate,
        "auth": endpoint.auth.kind,
        "state": endpoint_state(endpoint),
        "disabled_by": endpoint.disabled_by,
        "reason": endpoint.disabled_reason or endpoint.filter_fault,
        "failing_since": times.time_text(endpoint.failing_since or None),
        "created_at": times.time_text(endpoint.created_at or None),
    }


def endpoint_state(endpoint: Endpoint) -> str:
    if not endpoint.is_enabled:
        return "disabled"
    if endpoint.failing_since is not None:
        return "failing"
    return "filter_fault" if endpoint.filter_fault else "enabled"
