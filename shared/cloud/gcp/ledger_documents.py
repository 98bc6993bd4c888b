"""The document of a row of the ledger: how it is written and read, and the queries that find it.

The fields of a document are:

row                   the row without its message and its attempts, as JSON
attempts              the ended attempts, as JSON; written when one is added
message               the bus message, by far the largest field; written when the delivery waits, null in the end
event_id              the index for the deliveries of an event
created               the index of all rows by the time of their creation: `7/1764748800000000`
by_destination        the same for the rows of a destination: `crm/7/1764748800000000`
by_state              the same for the rows in one of the INDEXED_STATES: `held/7/1764748800000000`
by_destination_state  the same for those of a destination: `crm/held/7/1764748800000000`
ended                 the time at which the last attempt ended: `7/1764748801000000`
due                   the time of the next attempt, while the row waits for one: `7/1764748860000000`
expire_at             the time at which Firestore deletes a final row

The 7 is the row's shard (`firestore.sharded`), and the times are in microseconds. The rows of a subscriber's endpoint
have no shard in the indexes of their destination, and end with the key: `customers:acme:ep_…/1764748800000000/<key>`.
These rows are in `by_destination_state` in every state.
"""

import json
from typing import Final, NamedTuple

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
INDEXED_STATES: Final = frozenset({rules.RETRY_SCHEDULED, rules.HELD, rules.DEAD_LETTERED})
"""The states that `by_state` and `by_destination_state` find."""
OLD_RETRY_AT: Final = "retry_at"
"""The field in which earlier versions stored the time of a retry, as a number."""
OLD_HELD: Final = "disabled"
"""The state that earlier versions stored for a held delivery."""

DELIVERIES_AT_ONCE: Final = 1_000
"""The number of an event's rows that one query returns. Most events have a few, one for each route and destination. An
event for subscribers has one for each endpoint, which may be many."""

_STORED: Final = tuple(name for name in LedgerRow._fields if name not in {"message", "attempts", "replays"})
"""The fields of a row that are stored as they are. A field that a document lacks has its default in LedgerRow."""
_SELDOM_SET: Final = frozenset({"group", "merged", "slot_at", "undelivered_since", "needs_release"})
"""The fields of _STORED that are written only if they are set."""
_CHANGING: Final = ("row", "due", "by_state", "by_destination_state", EXPIRE_AT, OLD_RETRY_AT)
"""The fields that every write of a row sets or removes."""


def new_document(row: LedgerRow) -> Write:
    """Return the write of a new delivery's document. It is a conflict if the delivery has one."""
    fields = {**unchanging_fields(row), **_changing_fields(row)}
    if row.message:
        fields["message"] = row.message
    return Write(LEDGER, row.key, fields, is_new=True)


def changed_document(row: LedgerRow, before: LedgerRow, version: str = "") -> Write:
    """Return the write of a changed row, with its attempts and its message if they differ from `before`.

    `before` is the row as it was read with its attempts, or as a claim left it. With `version`, the write is a conflict
    if the document has another version.
    """
    fields: dict[str, Value] = {}
    if row.attempts != before.attempts:
        fields |= attempt_fields(row)
    if row.message != before.message:
        fields["message"] = row.message or None
    return document_write(row, fields, version)


def document_write(row: LedgerRow, other_fields: Fields, version: str = "") -> Write:
    """Return the write of the changing fields and of `other_fields`. The document keeps the rest.

    A final row loses its message, because it is not published again.
    """
    fields = {**_changing_fields(row), **other_fields}
    if row.state in rules.FINAL:
        fields["message"] = None
    # Firestore removes a field that is in the mask and has no value, and with it the index entry.
    mask = tuple(dict.fromkeys((*_CHANGING, *fields)))
    return Write(LEDGER, row.key, fields, mask=mask, version=version)


def unchanging_fields(row: LedgerRow) -> dict[str, Value]:
    return {
        "event_id": row.event_id,
        "created": firestore.sharded("", shards.shard_of(row.key), microseconds(row.created_at)),
        "by_destination": place_in_index(row.destination, row),
    }


def attempt_fields(row: LedgerRow) -> dict[str, Value]:
    """Return the fields of a row's attempts. The row must have at least one."""
    ended_at = microseconds(row.attempts[-1].ended_at)
    return {
        "attempts": ledger_writes.attempts_text(row),
        "ended": firestore.sharded("", shards.shard_of(row.key), ended_at),
    }


def _changing_fields(row: LedgerRow) -> dict[str, Value]:
    """Return those of the fields in _CHANGING that the row has in its state."""
    shard, created_at = shards.shard_of(row.key), microseconds(row.created_at)
    fields: dict[str, Value] = {"row": texts_json(_row_document(row)).decode()}
    if row.state == rules.RETRY_SCHEDULED and row.retry_at is not None:
        fields["due"] = firestore.sharded("", shard, microseconds(row.retry_at))
    if row.state in INDEXED_STATES:
        fields["by_state"] = firestore.sharded(f"{row.state}/", shard, created_at)
    if row.state in INDEXED_STATES or endpoint_name(row.destination):
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
    document: JsonObject = {}
    for name in _STORED:
        value = getattr(row, name)
        if value or name not in _SELDOM_SET:
            document[name] = value
    document["replays"] = list(row.replays)
    return document


def row_of(fields: Fields) -> LedgerRow:
    """Return the row without its message, and with its attempts where they were read."""
    document: Json = json.loads(str(fields["row"]))
    assert isinstance(document, dict)
    replays = document["replays"]
    assert isinstance(replays, list)
    values = {name: document[name] for name in _STORED if name in document}
    stored_state = str(values["state"])
    if stored_state in earlier_words.STATES:  # an earlier version wrote it
        values["state"] = earlier_words.STATES[stored_state]
        values["reason"] = earlier_words.current_reason(stored_state, str(values["reason"]))
    row = LedgerRow(**values, message=b"", replays=tuple(map(str, replays)))  # type: ignore[arg-type] # ours
    attempts = fields.get("attempts")
    return ledger_writes.with_attempts(row, attempts) if isinstance(attempts, str) else row


def microseconds(seconds: float) -> int:
    """Return a time in the unit of the indexes."""
    return round(seconds * 1_000_000)


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
    where = [Where("event_id", "EQUAL", event_id)]
    if after:
        where.append(Where(NAME, "GREATER_THAN", after))
    return query_document(LEDGER, where, order_by=NAME, limit=DELIVERIES_AT_ONCE, select=WHOLE)


class Index(NamedTuple):
    """The field, and the beginning of its values, by which rows are listed. `is_exact` if it finds only wanted rows."""

    field: str
    prefix: str
    is_exact: bool


def index_of(destination: str | None, state: str | None) -> Index:
    """Return the index that finds the rows of the destination and in the state, where these are given."""
    if state in INDEXED_STATES:
        if destination is None:
            return Index("by_state", f"{state}/", is_exact=True)
        return Index("by_destination_state", f"{destination}/{state}/", is_exact=True)
    is_exact = state is None
    if destination is None:
        return Index("created", "", is_exact)
    return Index("by_destination", f"{destination}/", is_exact)


def old_due_query(now: float, limit: int) -> JsonObject:
    """Return the query for due rows that an earlier version wrote."""
    where = [
        Where(OLD_RETRY_AT, "GREATER_THAN_OR_EQUAL", 0.0),
        Where(OLD_RETRY_AT, "LESS_THAN_OR_EQUAL", float(now)),
    ]
    return query_document(LEDGER, where, order_by=OLD_RETRY_AT, limit=limit, select=ROW)
