"""The queries of the journal's readers, each over one field's own index."""

from collections.abc import Sequence
from typing import Final

from deploy.history.journal_rows import EventQuery
from shared.cloud.gcp.collections import ATTEMPTS, DEAD_LETTERS, EVENTS, LEDGER
from shared.cloud.gcp.firestore_values import Where, beginning, query_document
from shared.cloud.gcp.journal_documents import MAX_TEXT, first_seq, keyed
from shared.jsontext import JsonObject

FIRST: Final = 0
LAST: Final = 2**53 - 1
MAX_OF_EVENT: Final = 1_000
WITHOUT_MESSAGE: Final = ("seq", "state", "entry", "message_blob")
"""Of a dead letter."""


def events_query(query: EventQuery, before: int | None, limit: int) -> JsonObject:
    """By source, or by a whole type, where the query has one; what else it asks for is left to the reader."""
    low = FIRST if query.since is None else first_seq(query.since)
    high = LAST if query.until is None else first_seq(query.until + 0.001)
    high = high if before is None else min(high, before)
    if query.source:
        return _range(EVENTS, "by_source", keyed(query.source, low), keyed(query.source, high), limit)
    if query.type and not query.type.endswith("*"):
        return _range(EVENTS, "by_type", keyed(query.type, low), keyed(query.type, high), limit)
    return _range(EVENTS, "seq", low, high, limit)


def _range(
    collection: str, field: str, low: int | str, high: int | str, limit: int, select: Sequence[str] = ()
) -> JsonObject:
    """From `low` on and below `high`, newest first."""
    where = [Where(field, "GREATER_THAN_OR_EQUAL", low), Where(field, "LESS_THAN", high)]
    return query_document(collection, where, order_by=field, descending=True, limit=limit, select=select)


def dead_letters_query(state: str | None, before: int | None, limit: int) -> JsonObject:
    """Without their messages."""
    high = LAST if before is None else before
    if state is None:
        return _range(DEAD_LETTERS, "seq", FIRST, high, limit, WITHOUT_MESSAGE)
    return _range(DEAD_LETTERS, "by_state", keyed(state, FIRST), keyed(state, high), limit, WITHOUT_MESSAGE)


def of_events(collection: str, event_ids: Sequence[str], select: Sequence[str] = ()) -> JsonObject:
    """Of the ledger, the attempts or the dead letters: at most 30 events' at once."""
    where = [Where("event_id", "IN", list(event_ids))]
    return query_document(collection, where, limit=len(event_ids) * MAX_OF_EVENT, select=select)


def states_of_events(event_ids: Sequence[str]) -> tuple[JsonObject, JsonObject]:
    """Their deliveries and their dead letters."""
    return of_events(LEDGER, event_ids, ("row",)), of_events(DEAD_LETTERS, event_ids, ("event_id", "state"))


def attempts_since(seconds: float, limit: int) -> JsonObject:
    return _range(ATTEMPTS, "seq", first_seq(seconds), LAST, limit)


def events_since(seconds: float, limit: int) -> JsonObject:
    return _range(EVENTS, "seq", first_seq(seconds), LAST, limit, ("seq",))


def newest(collection: str, select: Sequence[str]) -> JsonObject:
    return query_document(collection, order_by="seq", descending=True, limit=1, select=select)


def ids_query(collection: str, start: str, limit: int) -> JsonObject:
    return query_document(collection, beginning("id", start[:MAX_TEXT]), order_by="id", limit=limit, select=("id",))
