"""A ledger's row as a Firestore document, and the queries over such documents.

row                        all of the row but its message and its attempts, as JSON
attempts                   the attempts that ended, as JSON, written when there is another
message                    bytes, by far the largest part, written when the delivery waits, and null in the end
event_id                   finds an event's deliveries
created, by_destination    when the row was made, the second behind its destination, as shards.py writes it
                           an endpoint's have no shard, and the key behind: `customers:acme:ep_…/<moment>/<key>`
ended                      when its last attempt ended
due                        the time of its retry, while it waits for one
by_state,                  as by_destination, only in the states that are looked for: waiting, held and failed;
by_destination_state       an endpoint's in any
expire_at                  once the row is finished
"""

import json
from dataclasses import replace
from typing import Final

from shared import ledger_rules as rules
from shared.cloud.earlier_words import STATES, current_reason
from shared.cloud.gcp.collections import EXPIRE_AT, LEDGER
from shared.cloud.gcp.firestore_values import NAME, Fields, Moment, Name, Value, Where, Write, beginning, query_document
from shared.cloud.gcp.shards import DIGITS, sharded
from shared.cloud.ledger_writes import attempts_text, with_attempts
from shared.cloud.shards import shard_of
from shared.delivery import REMEMBERED_SECONDS
from shared.jsontext import Json, JsonObject, texts_json
from shared.ledger import LedgerRow, Place
from shared.subscribers.names import endpoint_name

ROW: Final = ("row",)
WHOLE: Final = ("row", "attempts")
FOUND: Final = frozenset({rules.RETRY_SCHEDULED, rules.HELD, rules.DEAD_LETTERED})
"""The states that `by_state` and `by_destination_state` find."""
OLD_RETRY_AT: Final = "retry_at"
"""Where earlier versions kept the time of a retry, as a number."""
OLD_HELD: Final = "disabled"

DELIVERIES_AT_ONCE: Final = 1_000
"""An event has one a route and destination, which are some, and one an endpoint, which may be many."""

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
_SELDOM: Final = ("group", "merged", "slot_at", "undelivered_since")
_ADDED: Final[JsonObject] = {"unknown_count": 0, "group": "", "merged": 0, "slot_at": 0.0, "undelivered_since": 0}
"""What a document may lack: it is of an earlier version, or of a delivery that has the default."""
_CHANGING: Final = ("row", "due", "by_state", "by_destination_state", EXPIRE_AT, OLD_RETRY_AT)


def new_document(row: LedgerRow) -> Write:
    fields: dict[str, Value] = {
        "event_id": row.event_id,
        "created": sharded("", shard_of(row.key), microseconds(row.created_at)),
        "by_destination": _place(row.destination, row),
    }
    if row.message:
        fields["message"] = row.message
    return Write(LEDGER, row.key, _fields(row) | fields, is_new=True)


def changed_document(row: LedgerRow, before: LedgerRow | None = None, version: str = "") -> Write:
    """Return the write of what may change. `before` is None if only the row was read, and not its attempts.

    Its message is written where the row has another, or needs none any more.
    """
    fields, mask = _fields(row), [*_CHANGING]
    if before is not None and row.attempts != before.attempts:
        fields["attempts"] = attempts_text(row)
        fields["ended"] = sharded("", shard_of(row.key), microseconds(row.attempts[-1].ended_at))
        mask += "attempts", "ended"
    if row.state in rules.FINAL or (before is not None and row.message != before.message):
        fields["message"] = row.message or None
        mask.append("message")
    return Write(LEDGER, row.key, fields, mask=tuple(mask), version=version)


def upgraded_document(row: LedgerRow, version: str) -> Write:
    """Return the write that makes a document of an earlier version one of today's, unless it was changed since."""
    places = ("event_id", "created", "by_destination")
    fields = {**(new_document(row).fields or {})}
    changed = changed_document(row, row._replace(attempts=()), version)
    mask = (*(changed.mask or ()), *places)
    return replace(changed, fields={**(changed.fields or {}), **{name: fields[name] for name in places}}, mask=mask)


def removed_document(key: str) -> Write:
    return Write(LEDGER, key, None)


def _fields(row: LedgerRow) -> dict[str, Value]:
    """Return the changing fields. One that is left out has no index entries."""
    shard, made = shard_of(row.key), microseconds(row.created_at)
    # A float may be written in another way than json.dumps writes it: it reads the same.
    fields: dict[str, Value] = {"row": texts_json(_row_document(row)).decode()}
    if row.state == rules.RETRY_SCHEDULED and row.retry_at is not None:
        fields["due"] = sharded("", shard, microseconds(row.retry_at))
    if row.state in FOUND:
        fields["by_state"] = sharded(f"{row.state}/", shard, made)
    if row.state in FOUND or endpoint_name(row.destination):
        fields["by_destination_state"] = _place(f"{row.destination}/{row.state}", row)
    if row.state in rules.FINAL:
        fields[EXPIRE_AT] = Moment(row.updated_at + REMEMBERED_SECONDS)
    return fields


def _place(start: str, row: LedgerRow) -> str:
    """Return the text by which an index lists the row. An endpoint's rows are few enough to need no shards."""
    made = microseconds(row.created_at)
    if endpoint_name(row.destination) is None:
        return sharded(f"{start}/", shard_of(row.key), made)
    return _endpoint_place(start, made, row.key)


def _endpoint_place(start: str, made: int, key: str) -> str:
    return f"{start}/{made:0{DIGITS}d}/{key}"


def endpoint_query(destination: str, state: str | None, limit: int, before: Place | None) -> JsonObject:
    """Return the query for an endpoint's rows, newest first, and after that place if there is one."""
    field = "by_destination" if state is None else "by_destination_state"
    start = destination if state is None else f"{destination}/{state}"
    low, high = beginning(field, f"{start}/")
    if before is not None:
        at, key = before
        high = Where(field, "LESS_THAN", _endpoint_place(start, microseconds(at), key))
    return query_document(LEDGER, [low, high], order_by=field, descending=True, limit=limit, select=ROW)


def _row_document(row: LedgerRow) -> JsonObject:
    document: JsonObject = {name: getattr(row, name) for name in _WRITTEN}
    document["replays"] = list(row.replays)
    return document | {name: value for name in _SELDOM if (value := getattr(row, name))}


def row_of(fields: Fields) -> LedgerRow:
    """Return the row without its message, and with its attempts where they were read."""
    document: Json = json.loads(str(fields["row"]))
    assert isinstance(document, dict)
    replays = document.pop("replays")
    assert isinstance(replays, list)
    document = _ADDED | document
    known = {name: document[name] for name in (*_WRITTEN, *_SELDOM)}
    stored = str(known["state"])
    if stored in STATES:  # an earlier version wrote it
        known |= {"state": STATES[stored], "reason": current_reason(stored, str(known["reason"]))}
    row = LedgerRow(**known, message=b"", replays=tuple(map(str, replays)))  # type: ignore[arg-type] # ours
    attempts = fields.get("attempts")
    return with_attempts(row, attempts) if isinstance(attempts, str) else row


def microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def old_due_query(now: float, limit: int) -> JsonObject:
    """Return the query for due rows that an earlier version wrote."""
    where = [Where(OLD_RETRY_AT, "GREATER_THAN_OR_EQUAL", 0.0), Where(OLD_RETRY_AT, "LESS_THAN_OR_EQUAL", float(now))]
    return query_document(LEDGER, where, order_by=OLD_RETRY_AT, limit=limit, select=ROW)


def held_query(destination: str, limit: int, state: str = rules.HELD) -> JsonObject:
    """Return the query for what is held for a destination, in any order. `state` may be an earlier version's word."""
    field = "by_destination_state"
    where = beginning(field, f"{destination}/{state}/")
    return query_document(LEDGER, where, order_by=field, limit=limit, select=ROW)


def event_query(event_id: str, after: Name | None = None) -> JsonObject:
    """Return the query for an event's deliveries by their names, after that one if it is given."""
    where = [Where("event_id", "EQUAL", event_id), *([Where(NAME, "GREATER_THAN", after)] if after else [])]
    return query_document(LEDGER, where, order_by=NAME, limit=DELIVERIES_AT_ONCE, select=WHOLE)


def index_of(destination: str | None, state: str | None) -> tuple[str, str]:
    """Return the field that finds such rows, newest first, and its prefix. It may find others too."""
    if state in FOUND:
        return ("by_state", f"{state}/") if destination is None else ("by_destination_state", f"{destination}/{state}/")
    return ("created", "") if destination is None else ("by_destination", f"{destination}/")
