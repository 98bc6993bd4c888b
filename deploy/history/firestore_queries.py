"""The queries of the journal's readers, each over one field's own index."""

import asyncio
from collections.abc import Sequence
from typing import Final

from deploy.history.journal_view import EventQuery
from shared.cloud.gcp.collections import DEAD_LETTERS, EVENTS, LEDGER
from shared.cloud.gcp.firestore import Document, Firestore
from shared.cloud.gcp.firestore_values import Where, beginning, query_document
from shared.cloud.gcp.journal import MAX_TEXT, keyed
from shared.cloud.gcp.shards import read_shards
from shared.cloud.journal_entries import first_seq
from shared.jsontext import JsonObject

FIRST: Final = 0
LAST: Final = 2**53 - 1
MAX_OF_EVENT: Final = 1_000
WITHOUT_MESSAGE: Final = ("seq", "state", "entry", "message_blob")
"""Of a dead letter."""
WITHOUT_DOCUMENT: Final = ("id", "entry", "passes")
"""Of an event."""


async def read_events(store: Firestore, query: EventQuery, before: int | None, limit: int) -> list[Document]:
    """Read the newest events, of a source or of a whole type where the query has one.

    What else the query asks for is left to the caller.
    """
    low = FIRST if query.since is None else first_seq(query.since)
    high = LAST if query.until is None else first_seq(query.until + 0.001)
    high = high if before is None else min(high, before)
    if query.source:
        field, prefix = "by_source", f"{query.source[:MAX_TEXT]}/"
    elif query.type and not query.type.endswith("*"):
        field, prefix = "by_type", f"{query.type[:MAX_TEXT]}/"
    else:
        field, prefix = "listed", ""
    select = (*WITHOUT_DOCUMENT, field)
    return await read_shards(
        store, EVENTS, field, limit, prefix=prefix, low=low, high=high, descending=True, select=select
    )


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


def query_by_events(collection: str, event_ids: Sequence[str], select: Sequence[str] = ()) -> JsonObject:
    """Return the query for the ledger rows or dead letters of at most 30 events."""
    where = [Where("event_id", "IN", list(event_ids))]
    return query_document(collection, where, limit=len(event_ids) * MAX_OF_EVENT, select=select)


def states_of_events(event_ids: Sequence[str]) -> tuple[JsonObject, JsonObject]:
    """Their deliveries and their dead letters."""
    return query_by_events(LEDGER, event_ids, ("row",)), query_by_events(DEAD_LETTERS, event_ids, ("event_id", "state"))


async def read_newest(store: Firestore) -> list[Document]:
    """Read the newest event, delivery that was attempted, and dead letter: they change when anything does."""
    letters = query_document(DEAD_LETTERS, order_by="seq", descending=True, limit=1, select=("seq", "state"))
    events, rows, newest_letter = await asyncio.gather(
        read_shards(store, EVENTS, "listed", 1, descending=True, select=("listed", "passes")),
        read_shards(store, LEDGER, "ended", 1, descending=True, select=("ended",)),
        store.query(letters),
    )
    return [*events, *rows, *newest_letter]


def ids_query(collection: str, start: str, limit: int) -> JsonObject:
    return query_document(collection, beginning("id", start[:MAX_TEXT]), order_by="id", limit=limit, select=("id",))
