"""The document of a row of the ledger: how it is written and read, and the queries that find it.

The fields of a document are:

row                        the row without its message and its attempts, as JSON
attempts                   the ended attempts, as JSON; written when one is added
message                    the bus message, by far the largest field; written when the delivery waits, null in the end
event_id                   the index for the deliveries of an event
created, by_destination    the indexes by the time at which the row was created: for all rows, and for the rows of each
                           destination. Both are in shards (`sharded`). An endpoint's value has no shard, and ends with
                           the key: `customers:acme:ep_…/<moment>/<key>`
ended                      the time at which its last attempt ended
due                        the time of its next attempt, while it waits for one
by_state,                  the same as by_destination, for the rows of one state: only for rows that wait, are held or
by_destination_state       failed, but for an endpoint's rows in every state
expire_at                  the time at which Firestore deletes a final row
"""

import json
from dataclasses import replace
from typing import Final

from shared import ledger_rules as rules, ledger_writes
from shared.cloud import earlier_words, shards
from shared.cloud.gcp import firestore, firestore_values
from shared.cloud.gcp.collections import EXPIRE_AT, LEDGER
from shared.cloud.gcp.firestore_values import NAME, Fields, Name, Value, Where, Write, begins_with, query_document
from shared.delivery import REMEMBERED_SECONDS
from shared.jsontext import Json, JsonObject, texts_json
from shared.ledger import LedgerRow, Place
from shared.subscribers.names import endpoint_name

ROW: Final = ("row",)
"""The fields that are read of a row whose attempts are not needed."""
WHOLE: Final = ("row", "attempts")
"""The fields that are read of a row before it is changed. The message is read only where it is needed: it is large."""
FOUND: Final = frozenset({rules.RETRY_SCHEDULED, rules.HELD, rules.DEAD_LETTERED})
"""The states that `by_state` and `by_destination_state` find."""
STATE_INDEXES: Final = frozenset({"by_state", "by_destination_state"})
"""The fields by which rows are found by their state. Any other field finds rows in every state."""
OLD_RETRY_AT: Final = "retry_at"
"""The field in which earlier versions stored the time of a retry, as a number."""
OLD_HELD: Final = "disabled"
"""The state that earlier versions stored for a held delivery."""

DELIVERIES_AT_ONCE: Final = 1_000
"""The number of an event's rows that one query returns. Most events have a few, one for each route and destination. An
event for subscribers has one for each endpoint, which may be many."""

_DEFAULTS: Final[JsonObject] = {
    "unknown_count": 0,
    "group": "",
    "merged": 0,
    "slot_at": 0.0,
    "undelivered_since": 0,
    "needs_release": False,
}
"""The values of the fields that a document may lack: an earlier version did not write them, or they are seldom set."""
_SELDOM_SET: Final = ("group", "merged", "slot_at", "undelivered_since", "needs_release")
"""The fields of _DEFAULTS that are written only if they have another value."""
_ALWAYS_WRITTEN: Final = tuple(
    name for name in LedgerRow._fields if name not in {"message", "replays", "attempts", *_SELDOM_SET}
)
"""The fields that are always written as they are."""
_CHANGING: Final = ("row", "due", "by_state", "by_destination_state", EXPIRE_AT, OLD_RETRY_AT)
"""The fields that each change of a row writes. A field that the new content lacks is removed, and so is its index
entry."""


def new_document(row: LedgerRow) -> Write:
    """Return the write of a new delivery's document. It is a conflict if the delivery has one."""
    fields: dict[str, Value] = {
        "event_id": row.event_id,
        "created": firestore.sharded("", shards.shard_of(row.key), microseconds(row.created_at)),
        "by_destination": place_in_index(row.destination, row),
    }
    if row.message:
        fields["message"] = row.message
    return Write(LEDGER, row.key, _changing_fields(row) | fields, is_new=True)


def changed_document(row: LedgerRow, before: LedgerRow | None = None, version: str = "") -> Write:
    """Return the write of what may change. With `version`, it is a conflict if the document has another version.

    `before` is the row as it was read with its attempts, or as a claim left it: attempts and the message are written if
    they differ from it. It is None if only the field `row` was read: they are then left as they are. A final row loses
    its message in any case.
    """
    fields = _changing_fields(row)
    mask = [*_CHANGING]
    if before is not None and row.attempts != before.attempts:
        fields["attempts"] = ledger_writes.attempts_text(row)
        fields["ended"] = firestore.sharded("", shards.shard_of(row.key), microseconds(row.attempts[-1].ended_at))
        mask += ["attempts", "ended"]
    if row.state in rules.FINAL or (before is not None and row.message != before.message):
        fields["message"] = row.message or None
        mask.append("message")
    return Write(LEDGER, row.key, fields, mask=tuple(mask), version=version)


def upgraded_document(row: LedgerRow, version: str) -> Write:
    """Return the write that makes a document of an earlier version one of today's, unless it was changed since."""
    new_fields = new_document(row).fields or {}
    unchanging = {name: new_fields[name] for name in ("event_id", "created", "by_destination")}
    # Compared with a row that has no attempts, any attempts have changed, and are written.
    changed = changed_document(row, row._replace(attempts=()), version)
    return replace(changed, fields={**(changed.fields or {}), **unchanging}, mask=(*(changed.mask or ()), *unchanging))


def _changing_fields(row: LedgerRow) -> dict[str, Value]:
    """Return those of the fields in _CHANGING that the row has in its state. The others are to be removed."""
    shard, created_at = shards.shard_of(row.key), microseconds(row.created_at)
    fields: dict[str, Value] = {"row": texts_json(_row_document(row)).decode()}
    if row.state == rules.RETRY_SCHEDULED and row.retry_at is not None:
        fields["due"] = firestore.sharded("", shard, microseconds(row.retry_at))
    if row.state in FOUND:
        fields["by_state"] = firestore.sharded(f"{row.state}/", shard, created_at)
    if row.state in FOUND or endpoint_name(row.destination):
        fields["by_destination_state"] = place_in_index(f"{row.destination}/{row.state}", row)
    if row.state in rules.FINAL:
        fields[EXPIRE_AT] = firestore_values.Moment(row.updated_at + REMEMBERED_SECONDS)
    return fields


def place_in_index(prefix: str, row: LedgerRow) -> str:
    """Return the text by which `by_destination` or `by_destination_state` lists the row.

    `prefix` is the destination, or `<destination>/<state>`. An endpoint's rows are few enough to need no shards.
    """
    created_at = microseconds(row.created_at)
    if endpoint_name(row.destination) is None:
        return firestore.sharded(f"{prefix}/", shards.shard_of(row.key), created_at)
    return _endpoint_place(prefix, created_at, row.key)


def _endpoint_place(prefix: str, created_at: int, key: str) -> str:
    """Return the text that sorts an endpoint's rows by their creation (in microseconds), then by their keys."""
    return f"{prefix}/{created_at:0{firestore.DIGITS}d}/{key}"


def endpoint_query(destination: str, state: str | None, limit: int, before: Place | None) -> JsonObject:
    """Return the query for an endpoint's rows, newest first, and after that place if there is one."""
    field = "by_destination" if state is None else "by_destination_state"
    prefix = destination if state is None else f"{destination}/{state}"
    low, high = begins_with(field, f"{prefix}/")
    if before is not None:
        at, key = before
        high = Where(field, "LESS_THAN", _endpoint_place(prefix, microseconds(at), key))
    return query_document(LEDGER, [low, high], order_by=field, descending=True, limit=limit, select=ROW)


def _row_document(row: LedgerRow) -> JsonObject:
    """Return the content of the field `row`, which `row_of` reads."""
    document: JsonObject = {name: getattr(row, name) for name in _ALWAYS_WRITTEN}
    document["replays"] = list(row.replays)
    return document | {name: value for name in _SELDOM_SET if (value := getattr(row, name))}


def row_of(fields: Fields) -> LedgerRow:
    """Return the row without its message, and with its attempts where they were read."""
    document: Json = json.loads(str(fields["row"]))
    assert isinstance(document, dict)
    replays = document.pop("replays")
    assert isinstance(replays, list)
    document = _DEFAULTS | document
    values = {name: document[name] for name in (*_ALWAYS_WRITTEN, *_SELDOM_SET)}
    stored_state = str(values["state"])
    if stored_state in earlier_words.STATES:  # an earlier version wrote it
        values |= {
            "state": earlier_words.STATES[stored_state],
            "reason": earlier_words.current_reason(stored_state, str(values["reason"])),
        }
    row = LedgerRow(**values, message=b"", replays=tuple(map(str, replays)))  # type: ignore[arg-type] # ours
    attempts = fields.get("attempts")
    return ledger_writes.with_attempts(row, attempts) if isinstance(attempts, str) else row


def microseconds(seconds: float) -> int:
    """Return a time in the unit of the indexes."""
    return round(seconds * 1_000_000)


def old_due_query(now: float, limit: int) -> JsonObject:
    """Return the query for due rows that an earlier version wrote."""
    where = [
        Where(OLD_RETRY_AT, "GREATER_THAN_OR_EQUAL", 0.0),
        Where(OLD_RETRY_AT, "LESS_THAN_OR_EQUAL", float(now)),
    ]
    return query_document(LEDGER, where, order_by=OLD_RETRY_AT, limit=limit, select=ROW)


def held_query(destination: str, limit: int, state: str = rules.HELD, start: str = "") -> JsonObject:
    """Return the query for the deliveries that are held for a destination, in the order of their places from `start`
    on. `state` may be an earlier version's word."""
    field = "by_destination_state"
    low, high = begins_with(field, f"{destination}/{state}/")
    if start:
        low = Where(field, "GREATER_THAN_OR_EQUAL", start)
    return query_document(LEDGER, [low, high], order_by=field, limit=limit, select=ROW)


def event_query(event_id: str, after: Name | None = None) -> JsonObject:
    """Return the query for an event's deliveries by their names, beginning after the given name if there is one."""
    where = [Where("event_id", "EQUAL", event_id), *([Where(NAME, "GREATER_THAN", after)] if after else [])]
    return query_document(LEDGER, where, order_by=NAME, limit=DELIVERIES_AT_ONCE, select=WHOLE)


def index_of(destination: str | None, state: str | None) -> tuple[str, str]:
    """Return the field that finds the wanted rows, newest first, and its prefix. It may find others too."""
    if state in FOUND:
        return ("by_state", f"{state}/") if destination is None else ("by_destination_state", f"{destination}/{state}/")
    return ("created", "") if destination is None else ("by_destination", f"{destination}/")
