"""The journal on Firestore as the commands use it: they read events, dead letters and the plots over both.

They also mark dead letters and erase events. Each query is over one field's own index. Documents of an earlier version,
which these queries do not find, are rewritten before the first read. Firestore's client returns a field's value as an
object of any type, so each is converted where it is used.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, Literal

from deploy.history import chart, cloud_journal, firestore_upgrade, journal_view
from deploy.history.ports import CloudBlobs
from shared import batching, journal
from shared.cloud.gcp import firestore, ledger_documents
from shared.cloud.gcp.collections import BODIES, DEAD_LETTERS, EVENTS, EXPIRE_AT, LEDGER
from shared.cloud.gcp.firestore_values import Fields, Where, Write, begins_with, document_id, query_document
from shared.cloud.gcp.journal import MAX_TEXT, entry_of, keyed, marked_write
from shared.cloud.journal_entries import erased_dead_letter, erased_event, first_seq
from shared.jsontext import JsonObject, to_json

NAMES_AT_ONCE: Final = 300
"""The events that one call reads without their documents."""
BODIES_AT_ONCE: Final = 30
"""Each of 200 KiB at most, above which it rests in a blob."""
MAX_COUNTED: Final = 10_000
"""The kept dead letters that are counted at most."""
MAX_ANSWER_BYTES: Final = 6_000_000
"""The most bytes of messages in one answer. In base64, they are a third longer."""
FIRST_SEQ: Final = 0
LAST_SEQ: Final = 2**53 - 1
MAX_OF_EVENT: Final = 1_000
"""The deliveries, and the dead letters, that are read for the state of an event, on average over a query's events."""
WITHOUT_MESSAGE: Final = ("seq", "state", "entry", "message_blob")
"""The fields of a dead letter without its message."""
WITHOUT_DOCUMENT: Final = ("id", "entry", "passes")
"""The fields of an event without its body."""


class FirestoreJournalReader(cloud_journal.CloudJournal):
    """The journal on Firestore. What its methods return is said by CloudJournal and JournalView.

    An event is stored as a document of EVENTS. Its CloudEvent is in the field `document`, or in a document of BODIES
    with the same name where bodies are kept for a shorter time. The name is `document_id` of the event's id, and the
    key that CloudJournal passes to `_documents`.
    """

    def __init__(self, store: firestore.Firestore, blobs: CloudBlobs) -> None:
        super().__init__([store, blobs], lambda: firestore_upgrade.upgrade(store))
        self._store = store
        self._blobs = blobs

    @cloud_journal.on_own_loop
    async def version(self) -> int:
        """Return a number that changes when anything does: from the newest event, attempted delivery and dead letter.

        It is compared only with numbers of the same process.
        """
        store = self._store
        newest_letter = query_document(DEAD_LETTERS, order_by="seq", descending=True, limit=1, select=("seq", "state"))
        found = await asyncio.gather(
            firestore.read_shards(store, EVENTS, "listed", 1, descending=True, select=("listed", "passes")),
            firestore.read_shards(store, LEDGER, "ended", 1, descending=True, select=("ended",)),
            store.query(newest_letter),
        )
        return hash(tuple((each.id, *map(str, each.fields.values())) for each in chain.from_iterable(found)))

    async def _chunk(self, query: journal_view.EventQuery, before: int | None) -> cloud_journal.Chunk:
        count = chunk_size(query)
        documents = await read_events(self._store, query, before, count)
        events = [_stored(each) for each in documents]
        matching = [
            each for each in events if cloud_journal.matches_query(query, each.entry["source"], each.entry["type"])
        ]
        is_last = len(events) < count
        return cloud_journal.Chunk(matching, before=None if is_last else int(str(events[-1].entry["seq"])))

    async def _documents(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Read as many at a time as an answer can hold and a call can read in its time."""
        found: dict[str, str] = {}
        for some in batching.batches(keys, BODIES_AT_ONCE):
            events = await self._store.get(EVENTS, some, ("document",))
            without_own = [name for name, fields in events.items() if fields.get("document") is None]
            bodies = await self._store.get(BODIES, without_own, ("document",)) if without_own else {}
            found |= {name: _text_of(fields) for name, fields in {**events, **bodies}.items()}
        return found

    @cloud_journal.on_own_loop
    async def event(self, event_id: str) -> journal_view.EventRecord | None:
        name = document_id(event_id)
        found, rows, letters = await asyncio.gather(
            self._store.get(EVENTS, [name], WITHOUT_DOCUMENT),
            self._store.query(ledger_documents.event_query(event_id)),
            self._letters_of_event(event_id),
        )
        if name not in found:
            return None
        deliveries = [ledger_documents.row_of(each.fields) for each in rows]
        return await self._record(_stored(firestore.Document(name, found[name])), deliveries, letters)

    @cloud_journal.on_own_loop
    async def with_document(self, event_ids: Sequence[str]) -> frozenset[str]:
        id_of_name = {document_id(each): each for each in event_ids}
        found: set[str] = set()
        for names in batching.batches([*id_of_name], NAMES_AT_ONCE):
            events = await self._store.get(EVENTS, names, ("entry",))
            with_own = {name for name, fields in events.items() if entry_of(fields).get("has_document")}
            others = [name for name in names if name not in with_own]
            bodies = await self._store.get(BODIES, others, (EXPIRE_AT,)) if others else {}
            found |= {id_of_name[name] for name in (*with_own, *bodies)}
        return frozenset(found)

    @cloud_journal.on_own_loop
    async def stored_document(self, event_id: str) -> str | None:
        name = document_id(event_id)
        return (await self._documents([name])).get(name) or None

    @cloud_journal.on_own_loop
    async def ids_beginning(self, kind: Literal["events", "dead_letters"], beginning: str, limit: int) -> list[str]:
        collection = {"events": EVENTS, "dead_letters": DEAD_LETTERS}[kind]
        where = begins_with("id", beginning[:MAX_TEXT])
        query = query_document(collection, where, order_by="id", limit=limit, select=("id",))
        return [str(each.fields["id"]) for each in await self._store.query(query)]

    @cloud_journal.on_own_loop
    async def series(self, now: float, span_seconds: float, count: int) -> tuple[chart.Bucket, ...]:
        span = chart.span_of(now, span_seconds, count)
        limit = chart.MAX_POINTS
        low, select = ledger_documents.microseconds(span.since), (*ledger_documents.WHOLE, "ended")
        events, rows = await asyncio.gather(
            firestore.read_shards(
                self._store, EVENTS, "listed", limit, low=first_seq(span.since), descending=True, select=("listed",)
            ),
            firestore.read_shards(self._store, LEDGER, "ended", limit, low=low, descending=True, select=select),
        )
        accepted = [chart.time_of(firestore.moment_of(each, "listed")) for each in events]
        attempts = chain.from_iterable(ledger_documents.row_of(each.fields).attempts for each in rows)
        return await chart.series_of(span, accepted, attempts, self._received_at)

    async def _received_at(self, ids: Sequence[str]) -> Mapping[str, float | None]:
        names = {document_id(each): each for each in ids}
        found = await self._store.get(EVENTS, [*names], ("entry", "passes"))
        received = chart.received_unless_replayed
        return {names[name]: received(entry_of(each), int(str(each["passes"]))) for name, each in found.items()}

    async def _erase_event(self, event_id: str) -> None:
        name = document_id(event_id)

        def decide(fields: Fields | None) -> tuple[None, Write | None]:
            if fields is None:
                return None, None
            erased: Fields = {"entry": to_json(erased_event(entry_of(fields))), "document": None}
            return None, Write(EVENTS, name, erased, mask=tuple(erased))

        await self._store.transact(EVENTS, name, ("entry",), decide)
        await self._store.commit([Write(BODIES, name, None)])

    async def _states(self, ids: Sequence[str]) -> cloud_journal.States:
        row_queries: list[JsonObject] = []
        letter_queries: list[JsonObject] = []
        for group in batching.batches(ids, firestore.MAX_IDS_IN_QUERY):
            where = [Where("event_id", "IN", list(group))]
            limit = len(group) * MAX_OF_EVENT
            row_queries.append(query_document(LEDGER, where, limit=limit, select=("row",)))
            letter_queries.append(query_document(DEAD_LETTERS, where, limit=limit, select=("event_id", "state")))
        found_rows, found_letters = await asyncio.gather(self._query_all(row_queries), self._query_all(letter_queries))
        rows = [ledger_documents.row_of(each.fields) for each in found_rows]
        letters = [each.fields for each in found_letters]
        return cloud_journal.States(
            batching.grouped(
                (row.event_id, state)
                for row in rows
                if (state := cloud_journal.state_for_status(row.destination, row.state, row.attempt_number))
            ),
            batching.grouped((str(fields["event_id"]), str(fields["state"])) for fields in letters),
        )

    async def _query_all(self, queries: Sequence[JsonObject]) -> list[firestore.Document]:
        return [*chain.from_iterable(await asyncio.gather(*map(self._store.query, queries)))]

    @cloud_journal.on_own_loop
    async def dead_letters(
        self, limit: int, *, state: str | None = journal.KEPT, before: int | None = None
    ) -> tuple[journal_view.DeadLetterRow, ...]:
        """Return dead letters, newest first."""
        end = LAST_SEQ if before is None else before
        index, where = "seq", _between("seq", FIRST_SEQ, end)
        if state is not None:
            index, where = "by_state", _between("by_state", keyed(state, FIRST_SEQ), keyed(state, end))
        query = query_document(
            DEAD_LETTERS, where, order_by=index, descending=True, limit=limit, select=WITHOUT_MESSAGE
        )
        return await self._letters(await self._store.query(query))

    async def _letters_of_event(self, event_id: str) -> tuple[journal_view.DeadLetterRow, ...]:
        found = await self._store.query(letters_query(event_id))
        return tuple(sorted(await self._letters(found), key=lambda row: row.seq))

    @cloud_journal.on_own_loop
    async def dead_letter(self, dead_letter_id: str) -> journal_view.DeadLetterRow | None:
        name = document_id(dead_letter_id)
        found = await self._store.get(DEAD_LETTERS, [name], WITHOUT_MESSAGE)
        rows = await self._letters([firestore.Document(name, found[name])]) if name in found else ()
        return rows[0] if rows else None

    async def _kept_letters(self) -> int:
        where = _between("by_state", keyed(journal.KEPT, FIRST_SEQ), keyed(journal.KEPT, LAST_SEQ))
        return await self._store.count(query_document(DEAD_LETTERS, where, order_by="by_state", limit=MAX_COUNTED))

    async def _mark(self, letter_id: str, state: str) -> bool:
        name = document_id(letter_id)

        def decide(fields: Fields | None) -> tuple[bool, Write | None]:
            if fields is None or fields["state"] == state:
                return False, None
            return True, marked_write(name, int(str(fields["seq"])), state)

        return await self._store.transact(DEAD_LETTERS, name, ("seq", "state"), decide)

    async def _erase_letters(self, event_id: str) -> None:
        for found in await self._store.query(letters_query(event_id)):
            if blob := found.fields.get("message_blob"):
                await self._blobs.delete(str(blob))
            dropped = marked_write(found.id, int(str(found.fields["seq"])), journal_view.DROPPED)
            erased: Fields = {
                **(dropped.fields or {}),
                "entry": to_json(erased_dead_letter(entry_of(found.fields))),
                "message": None,
                "message_blob": None,
            }
            await self._store.commit([Write(DEAD_LETTERS, found.id, erased, mask=tuple(erased))])

    async def _letters(self, documents: Sequence[firestore.Document]) -> tuple[journal_view.DeadLetterRow, ...]:
        messages: dict[str, bytes] = {}
        for names in _groups([each for each in documents if not each.fields.get("message_blob")]):
            found = await self._store.get(DEAD_LETTERS, names, ("message",))
            messages |= {name: each["message"] for name, each in found.items() if isinstance(each["message"], bytes)}
        for each in documents:
            if blob := each.fields.get("message_blob"):
                # Nothing if the blob is gone: the rest of a dead letter is shown even then.
                messages[each.id] = await self._blobs.get(str(blob)) or b""
        return tuple(
            cloud_journal.dead_letter_row(
                each.fields["seq"], each.fields["state"], entry_of(each.fields), messages.get(each.id)
            )
            for each in documents
        )


def _stored(document: firestore.Document) -> cloud_journal.StoredEvent:
    fields = document.fields
    return cloud_journal.StoredEvent(document.id, str(fields["id"]), entry_of(fields), int(str(fields["passes"])))


def _text_of(body: Fields) -> str:
    document = body.get("document")
    return document.decode() if isinstance(document, bytes) else ""


def chunk_size(query: journal_view.EventQuery) -> int:
    """Return how many events to read at once.

    If an index of `read_events` finds exactly what the query asks for, that is its limit and one more. Otherwise the
    events that are read are searched, so each read is as large as possible.
    """
    is_searched = query.status or query.text or (query.type and (query.source or query.type.endswith("*")))
    return cloud_journal.CHUNK if is_searched else min(cloud_journal.CHUNK, query.limit + 1)


async def read_events(
    store: firestore.Firestore, query: journal_view.EventQuery, before: int | None, limit: int
) -> list[firestore.Document]:
    """Read the newest events in the query's time, of its source or of its type.

    The caller applies the other conditions of the query.
    """
    low = FIRST_SEQ if query.since is None else first_seq(query.since)
    high = LAST_SEQ if query.until is None else first_seq(query.until + 0.001)  # its millisecond is included
    high = high if before is None else min(high, before)
    if query.source:
        field, prefix = "by_source", f"{query.source[:MAX_TEXT]}/"
    elif query.type and not query.type.endswith("*"):
        field, prefix = "by_type", f"{query.type[:MAX_TEXT]}/"
    else:
        field, prefix = "listed", ""
    select = (*WITHOUT_DOCUMENT, field)
    return await firestore.read_shards(
        store, EVENTS, field, limit, prefix=prefix, low=low, high=high, descending=True, select=select
    )


def _between(field: str, low: int | str, end: int | str) -> list[Where]:
    return [Where(field, "GREATER_THAN_OR_EQUAL", low), Where(field, "LESS_THAN", end)]


def letters_query(event_id: str) -> JsonObject:
    where = [Where("event_id", "EQUAL", event_id)]
    return query_document(DEAD_LETTERS, where, limit=journal_view.MAX_LETTERS_OF_EVENT, select=WITHOUT_MESSAGE)


def _groups(documents: Sequence[firestore.Document]) -> Iterator[list[str]]:
    """Yield lists of ids, of which each has messages for which one answer has room."""
    names: list[str] = []
    size = 0
    for each in documents:
        length = int(str(entry_of(each.fields)["bytes"]))
        if names and size + length > MAX_ANSWER_BYTES:
            yield names
            names, size = [], 0
        names.append(each.id)
        size += length
    if names:
        yield names
