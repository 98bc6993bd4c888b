"""The read side of the journal on Firestore."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final, Literal

from deploy.history.cloud_events import (
    CHUNK,
    Chunk,
    EventSearch,
    States,
    StoredEvent,
    grouped,
    matches_query,
    speaking_state,
)
from deploy.history.cloud_series import MAX_POINTS, series_of, span_of, time_of
from deploy.history.firestore_letters import LetterReader
from deploy.history.firestore_queries import ids_query, read_events, read_newest, states_of_events
from deploy.history.journal_view import Bucket, EventQuery, EventRecord
from shared.batching import batches
from shared.cloud.gcp.collections import BODIES, DEAD_LETTERS, EVENTS, EXPIRE_AT, LEDGER
from shared.cloud.gcp.firestore import MAX_IDS_IN_QUERY, Document, Firestore
from shared.cloud.gcp.firestore_values import Fields, Write, document_id
from shared.cloud.gcp.journal import entry_of
from shared.cloud.gcp.ledger_documents import WHOLE, event_query, microseconds, row_of
from shared.cloud.gcp.shards import moment_of, read_shards
from shared.cloud.journal_entries import erased_event, first_seq
from shared.jsontext import to_json
from shared.ports import Blobs

NAMES_AT_ONCE: Final = 300
BODIES_AT_ONCE: Final = 30
"""Each of 200 KiB at most, above which it rests in a blob."""


class FirestoreJournalReader(EventSearch):
    def __init__(self, store: Firestore, blobs: Blobs | None) -> None:
        self._store = store
        self.letters = LetterReader(store, blobs)

    async def version(self) -> int:
        found = await read_newest(self._store)
        return hash(tuple((each.id, *map(str, each.fields.values())) for each in found))

    async def _chunk(self, query: EventQuery, before: int | None) -> Chunk:
        count = chunk_size(query)
        documents = await read_events(self._store, query, before, count)
        events = [_stored(each) for each in documents]
        matching = [each for each in events if matches_query(query, each.entry["source"], each.entry["type"])]
        return Chunk(matching, None if len(events) < count else int(str(events[-1].entry["seq"])))

    async def _documents(self, keys: Sequence[str]) -> Mapping[str, str]:
        """So many at a time as an answer can hold, and as come within a call's time."""
        found: dict[str, str] = {}
        for some in batches(keys, BODIES_AT_ONCE):
            events = await self._store.get(EVENTS, some, ("document",))
            # Bodies have documents of their own where they are kept for a shorter time.
            names = [name for name, fields in events.items() if fields.get("document") is None]
            bodies = await self._store.get(BODIES, names, ("document",)) if names else {}
            found |= {name: _text_of({**fields, **bodies.get(name, {})}) for name, fields in events.items()}
        return found

    async def event(self, event_id: str) -> EventRecord | None:
        name = document_id(event_id)
        found, rows, letters = await asyncio.gather(
            self._store.get(EVENTS, [name], ("id", "entry", "passes")),
            self._store.query(event_query(event_id)),
            self.letters.letters_of_event(event_id),
        )
        if name not in found:
            return None
        deliveries = [row_of(each.fields) for each in rows]
        return await self._record(_stored(Document(name, found[name])), deliveries, letters)

    async def with_document(self, event_ids: Sequence[str]) -> frozenset[str]:
        names = {document_id(each): each for each in event_ids}
        found: set[str] = set()
        for some in batches([*names], NAMES_AT_ONCE):
            events = await self._store.get(EVENTS, some, ("entry",))
            whole = {name for name, fields in events.items() if entry_of(fields).get("has_document")}
            others = [name for name in some if name not in whole]
            whole |= (await self._store.get(BODIES, others, (EXPIRE_AT,)) if others else {}).keys()
            found |= {names[name] for name in whole}
        return frozenset(found)

    async def stored_document(self, event_id: str) -> str | None:
        name = document_id(event_id)
        return (await self._documents([name])).get(name) or None

    async def ids_beginning(self, kind: Literal["events", "dead_letters"], start: str, limit: int) -> list[str]:
        found = await self._store.query(ids_query({"events": EVENTS, "dead_letters": DEAD_LETTERS}[kind], start, limit))
        return [str(each.fields["id"]) for each in found]

    async def series(self, now: float, span_seconds: float, count: int) -> tuple[Bucket, ...]:
        span, limit = span_of(now, span_seconds, count), MAX_POINTS
        low, select = microseconds(span.since), (*WHOLE, "ended")
        events, rows = await asyncio.gather(
            read_shards(
                self._store, EVENTS, "listed", limit, low=first_seq(span.since), descending=True, select=("listed",)
            ),
            read_shards(self._store, LEDGER, "ended", limit, low=low, descending=True, select=select),
        )
        accepted = [time_of(moment_of(each, "listed")) for each in events]
        attempts = chain.from_iterable(row_of(each.fields).attempts for each in rows)
        return await series_of(span, accepted, attempts, self._received_at)

    async def _received_at(self, ids: Sequence[str]) -> Mapping[str, float]:
        names = {document_id(each): each for each in ids}
        found = await self._store.get(EVENTS, [*names], ("entry",))
        return {names[name]: float(str(entry_of(fields)["received_at"])) for name, fields in found.items()}

    async def erase(self, event_id: str) -> None:
        name = document_id(event_id)

        def decide(fields: Fields | None) -> tuple[None, Write | None]:
            if fields is None:
                return None, None
            erased: Fields = {"entry": to_json(erased_event(entry_of(fields))), "document": None}
            return None, Write(EVENTS, name, erased, mask=tuple(erased))

        await self._store.transact(EVENTS, name, ("entry",), decide)
        await self._store.commit([Write(BODIES, name, None)])

    async def _states(self, ids: Sequence[str]) -> States:
        queries = list(chain.from_iterable(states_of_events(group) for group in batches(ids, MAX_IDS_IN_QUERY)))
        answers = await asyncio.gather(*(self._store.query(query) for query in queries))
        rows = [row_of(each.fields) for each in chain.from_iterable(answers[::2])]
        letters = [each.fields for each in chain.from_iterable(answers[1::2])]
        return States(
            grouped(
                (row.event_id, state)
                for row in rows
                if (state := speaking_state(row.destination, row.state, row.attempt_number))
            ),
            grouped((str(fields["event_id"]), str(fields["state"])) for fields in letters),
        )


def _stored(document: Document) -> StoredEvent:
    fields = document.fields
    return StoredEvent(document.id, str(fields["id"]), entry_of(fields), int(str(fields["passes"])))


def chunk_size(query: EventQuery) -> int:
    """Return how many events to read at once: no more than the query's limit if the index alone finds them."""
    is_searched = query.status or query.text or (query.type and (query.source or query.type.endswith("*")))
    return CHUNK if is_searched else min(CHUNK, query.limit + 1)


def _text_of(body: Fields) -> str:
    document = body.get("document")
    return document.decode() if isinstance(document, bytes) else ""
