"""Rewriting what a version before 2026-11-26 wrote to Firestore, so that today's queries find it.

Such an event has its `seq` in a field of its own, and such a delivery its `created`, both as numbers. Its attempts are
in a collection of their own. A document that another process changes meanwhile is found again. Remove this module once
no such document can be left: they expire.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from shared import batching, jsontext
from shared.cloud import earlier_words, shards
from shared.cloud.gcp import firestore, ledger_documents
from shared.cloud.gcp.collections import EVENTS, LEDGER
from shared.cloud.gcp.firestore_values import Fields, Where, Write, query_document
from shared.cloud.gcp.journal import MAX_TEXT, entry_of
from shared.journal import AttemptEntry

EARLIER_ATTEMPTS: Final = "attempts"
"""The collection of attempts. Today's version keeps them in the rows of the ledger."""
PAGE: Final = 100
"""The documents that are read at once."""
MAX_ATTEMPTS: Final = 10_000
"""The attempts that are read at once: those of the events of a group of rows."""
AT_ONCE: Final = 25
"""The documents that are written at once."""


async def upgrade(store: firestore.Firestore) -> None:
    """Rewrite the documents that an earlier version has written. Raises Temporary."""
    while events := await store.query(_earlier_query(EVENTS, "seq", ("id", "seq", "entry"))):
        await _write(store, [_upgraded_event(each) for each in events])
    while rows := await store.query(_earlier_query(LEDGER, "created", ("event_id", *ledger_documents.WHOLE))):
        attempts = await _attempts(store, [str(each.fields["event_id"]) for each in rows])
        await _write(store, [_upgraded_row(each, attempts) for each in rows])


def _earlier_query(collection: str, field: str, select: Sequence[str]) -> jsontext.JsonObject:
    where = [Where(field, "GREATER_THAN_OR_EQUAL", 0)]
    return query_document(collection, where, order_by=field, limit=PAGE, select=select)


async def _write(store: firestore.Firestore, writes: Sequence[Write]) -> None:
    for some in batching.batches(writes, AT_ONCE):
        await asyncio.gather(*(store.write_if(write) for write in some))


def _upgraded_event(found: firestore.Document) -> Write:
    entry = entry_of(found.fields)
    shard = shards.shard_of(str(found.fields["id"]))
    seq = int(str(found.fields["seq"]))
    fields: Fields = {
        "seq": None,
        "listed": firestore.sharded("", shard, seq),
        "by_source": firestore.sharded(f"{str(entry['source'])[:MAX_TEXT]}/", shard, seq),
        "by_type": firestore.sharded(f"{str(entry['type'])[:MAX_TEXT]}/", shard, seq),
        # Its document is in a collection of its own, unless today's version has seen the event again.
        "entry": jsontext.to_json({"has_document": False, **entry, "seq": seq}),
    }
    return Write(EVENTS, found.id, fields, mask=tuple(fields), version=found.version)


def _upgraded_row(found: firestore.Document, attempts: Sequence[AttemptEntry]) -> Write:
    stored = ledger_documents.row_of(found.fields)
    own = tuple(sorted((each for each in attempts if each.delivery_id == stored.key), key=lambda each: each.started_at))
    row = stored._replace(attempts=stored.attempts or own)
    fields = ledger_documents.unchanging_fields(row)
    if row.attempts:
        fields |= ledger_documents.attempt_fields(row)
    return ledger_documents.document_write(row, fields, found.version)


async def _attempts(store: firestore.Firestore, event_ids: Sequence[str]) -> list[AttemptEntry]:
    found: list[AttemptEntry] = []
    for ids in batching.batches([*dict.fromkeys(event_ids)], firestore.MAX_IDS_IN_QUERY):
        where = [Where("event_id", "IN", list(ids))]
        documents = await store.query(query_document(EARLIER_ATTEMPTS, where, limit=MAX_ATTEMPTS))
        found += [_attempt_of(each.fields) for each in documents]
    return found


def _attempt_of(fields: Fields) -> AttemptEntry:
    attempt = AttemptEntry(**entry_of(fields))  # type: ignore[arg-type] # as that version wrote it
    return attempt._replace(outcome=earlier_words.OUTCOMES.get(attempt.outcome, attempt.outcome))
