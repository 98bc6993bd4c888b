"""A ledger's row as a Firestore document, and the queries over such documents.

row                        all of the row but its message, as JSON
message                    bytes, by far the largest part, written only when it is another
retry_at                   a number while the row waits for its retry, else null: `due` looks for it
by_destination, by_state,  `crm/0001790000000000`: what is equal, and then when the row was made, in one text, so
by_destination_state       that one field's own index finds the newest of them
expire_at                  once the row is finished
"""

import json
from collections.abc import Sequence
from typing import Final

from shared import ledger_rules as rules
from shared.cloud.gcp.collections import EXPIRE_AT, LEDGER
from shared.cloud.gcp.firestore_values import Fields, Moment, Value, Where, Write, beginning, query_document
from shared.jsontext import Json, JsonObject, to_json
from shared.ledger import LedgerRow

ROW: Final = ("row",)

# An event has at most some hundreds of deliveries: one a route and destination.
MAX_DELIVERIES: Final = 1_000

_WRITTEN: Final = (
    "key",
    "event_id",
    "route",
    "destination",
    "state",
    "fence",
    "generation",
    "attempt_number",
    "retry_at",
    "reason",
    "answer",
    "created_at",
    "updated_at",
    "payload_hash",
    "lease_until",
    "crashes",
    "unknown_count",
)
_EARLIER_STATES: Final = {"done": rules.DELIVERED, "failed": rules.DEAD_LETTERED, "retry_at": rules.RETRY_SCHEDULED,
                          "disabled": rules.HELD}  # fmt: skip
"""The words for the states that an earlier version wrote. A delivery that it held is not found by `release`."""
_ADDED: Final[JsonObject] = {"unknown_count": 0}
"""What a document of an earlier version lacks."""


def new_document(row: LedgerRow) -> Write:
    return Write(LEDGER, row.key, _fields(row) | {"message": row.message}, is_new=True)


def changed_document(row: LedgerRow, with_message: bool) -> Write:
    fields = _fields(row) | ({"message": row.message} if with_message else {})
    return Write(LEDGER, row.key, fields, mask=tuple(fields))


def removed_document(key: str) -> Write:
    return Write(LEDGER, key, None)


def _fields(row: LedgerRow) -> dict[str, Value]:
    made = _microseconds(row.created_at)
    return {
        "row": to_json(_row_document(row)),
        "event_id": row.event_id,
        "created": made,
        "retry_at": row.retry_at if row.state == rules.RETRY_SCHEDULED else None,
        "by_destination": f"{row.destination}/{made:016d}",
        "by_state": f"{row.state}/{made:016d}",
        "by_destination_state": f"{row.destination}/{row.state}/{made:016d}",
        EXPIRE_AT: Moment(row.updated_at + rules.KEEP_SECONDS) if row.state in rules.FINAL else None,
    }


def _row_document(row: LedgerRow) -> JsonObject:
    document: JsonObject = {name: getattr(row, name) for name in _WRITTEN}
    return {**document, "replays": list(row.replays)}


def row_of(fields: Fields, message: bytes = b"") -> LedgerRow:
    document: Json = json.loads(str(fields["row"]))
    assert isinstance(document, dict)
    replays = document.pop("replays")
    assert isinstance(replays, list)
    document = _ADDED | document
    known = {name: document[name] for name in _WRITTEN}
    known["state"] = _EARLIER_STATES.get(str(known["state"]), known["state"])
    return LedgerRow(**known, message=message, replays=tuple(map(str, replays)))  # type: ignore[arg-type] # ours


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def due_query(now: float, limit: int, since: float) -> JsonObject:
    """Return the query with a lower bound, so that Firestore skips the index entries of rows that were moved lately."""
    where = [
        Where("retry_at", "GREATER_THAN_OR_EQUAL", float(since)),
        Where("retry_at", "LESS_THAN_OR_EQUAL", float(now)),
    ]
    return query_document(LEDGER, where, order_by="retry_at", limit=limit, select=ROW)


def old_query(before: float, limit: int) -> JsonObject:
    where = [Where("created", "LESS_THAN", _microseconds(before))]
    return query_document(LEDGER, where, order_by="created", limit=limit, select=ROW)


def rows_query(limit: int, event_id: str | None, destination: str | None, state: str | None) -> JsonObject:
    """Return the query, newest first; one event's rows come in any order."""
    if event_id is not None:
        return query_document(LEDGER, [Where("event_id", "EQUAL", event_id)], limit=MAX_DELIVERIES, select=ROW)
    named = [(name, value) for name, value in (("destination", destination), ("state", state)) if value is not None]
    if not named:
        return query_document(LEDGER, order_by="created", descending=True, limit=limit, select=ROW)
    key = "_".join(["by", *(name for name, _ in named)])
    prefix = "".join(f"{value}/" for _, value in named)
    return query_document(LEDGER, beginning(key, prefix), order_by=key, descending=True, limit=limit, select=ROW)


def newest_of(
    rows: Sequence[LedgerRow], limit: int, event_id: str | None, destination: str | None, state: str | None
) -> list[LedgerRow]:
    """Filter and sort what the query of one event's rows found."""
    kept = [
        row
        for row in rows
        if event_id in (None, row.event_id) and destination in (None, row.destination) and state in (None, row.state)
    ]
    return sorted(kept, key=lambda row: row.created_at, reverse=True)[:limit]
