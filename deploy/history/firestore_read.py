"""The read side of the journal on Firestore. A search by text or by status reads the events one after the other."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import chain
from typing import Final, Literal

from deploy.history.firestore_letters import LetterReader
from deploy.history.firestore_queries import ids_query, read_events, read_newest, states_of_events
from deploy.history.journal_view import (
    REPLAYED,
    EventPage,
    EventQuery,
    EventRecord,
    EventSummary,
    decisions_from,
    holds,
    other_routes_from,
    search_words,
)
from shared import ledger_rules as rules
from shared.cloud.gather import batches
from shared.cloud.gcp.collections import BODIES, DEAD_LETTERS, EVENTS, EXPIRE_AT
from shared.cloud.gcp.firestore import MAX_IDS_IN_QUERY, Document, Firestore
from shared.cloud.gcp.firestore_values import Fields, document_id
from shared.cloud.gcp.journal import entry_of
from shared.cloud.gcp.ledger_documents import event_query, row_of
from shared.journal import AttemptEntry
from shared.jsontext import Json, JsonObject
from shared.ports import Blobs

CHUNK: Final = 100
NAMES_AT_ONCE: Final = 300
BODIES_AT_ONCE: Final = 30
"""Each of 200 KiB at most, above which it rests in a blob."""
MAX_LOOKED_THROUGH: Final = 1_000
"""Events that one page of a search reads. Each costs a read, and where bodies are searched another."""


class FirestoreJournalReader:
    def __init__(self, store: Firestore, blobs: Blobs | None) -> None:
        self._store = store
        self.letters = LetterReader(store, blobs)

    async def version(self) -> int:
        found = await read_newest(self._store)
        return hash(tuple((each.id, *map(str, each.fields.values())) for each in found))

    async def events(self, query: EventQuery) -> EventPage:
        """Ends where it is full, where there is no more, or where it has looked through enough."""
        found: list[EventSummary] = []
        before, looked_through, chunk = query.before, 0, chunk_size(query)
        while looked_through < MAX_LOOKED_THROUGH:
            documents = await read_events(self._store, query, before, chunk)
            looked_through += len(documents)
            found += await self._matching(query, documents)
            if len(found) > query.limit:
                return EventPage(tuple(found[: query.limit]), found[query.limit - 1].seq)
            if len(documents) < chunk:
                return EventPage(tuple(found))
            before = seq_of(documents[-1])
        return EventPage(tuple(found), before)

    async def _matching(self, query: EventQuery, documents: Sequence[Document]) -> list[EventSummary]:
        documents = [each for each in documents if matches_query(query, entry_of(each.fields))]
        if words := search_words(query.text):
            bodies = await self._bodies([each.id for each in documents])
            documents = [each for each in documents if holds(_text_of(bodies.get(each.id, {})), words)]
        summaries = await self._summaries(documents)
        return [each for each in summaries if query.status in (None, each.status)]

    async def _bodies(self, names: Sequence[str]) -> dict[str, Fields]:
        """So many at a time as an answer can hold, and as come within a call's time."""
        found: dict[str, Fields] = {}
        for some in batches(names, BODIES_AT_ONCE):
            found |= await self._with_bodies(await self._store.get(EVENTS, some, ("document",)))
        return found

    async def _with_bodies(self, events: Mapping[str, Fields]) -> dict[str, Fields]:
        """Add the bodies that have documents of their own, because they are kept for a shorter time."""
        names = [name for name, fields in events.items() if "document" not in fields]
        bodies = await self._store.get(BODIES, names, ("document",)) if names else {}
        return {name: {**fields, **bodies.get(name, {})} for name, fields in events.items()}

    async def event(self, event_id: str) -> EventRecord | None:
        name = document_id(event_id)
        found, rows, letters = await asyncio.gather(
            self._store.get(EVENTS, [name]),
            self._store.query(event_query(event_id)),
            self.letters.letters_of_event(event_id),
        )
        if name not in found:
            return None
        fields = (await self._with_bodies(found))[name]
        [summary] = await self._summaries([Document(name, fields)])
        document: Json = json.loads(_text_of(fields) or "null")
        return EventRecord(
            summary=summary,
            document=document if isinstance(document, dict) else None,
            routes=decisions_from(entry_of(fields)["routes"]),
            passes=int(str(fields["passes"])),
            requests=(),
            attempts=_in_order([attempt for each in rows for attempt in row_of(each.fields).attempts]),
            dead_letters=letters,
            other_routes=other_routes_from(entry_of(fields)["routes"]),
        )

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
        return _text_of((await self._bodies([name])).get(name, {})) or None

    async def ids_beginning(self, kind: Literal["events", "dead_letters"], start: str, limit: int) -> list[str]:
        found = await self._store.query(ids_query({"events": EVENTS, "dead_letters": DEAD_LETTERS}[kind], start, limit))
        return [str(each.fields["id"]) for each in found]

    async def counts(self, newest_events: int) -> dict[str, int]:
        counted: dict[str, int] = {}
        for event in (await self.events(EventQuery(limit=newest_events))).events:
            counted[event.status] = counted.get(event.status, 0) + 1
        return counted

    async def _summaries(self, documents: Sequence[Document]) -> list[EventSummary]:
        summaries = [summary_of(each.fields, "received") for each in documents]
        ids = [each.id for each in summaries]
        queries = list(chain.from_iterable(states_of_events(group) for group in batches(ids, MAX_IDS_IN_QUERY)))
        answers = await asyncio.gather(*(self._store.query(query) for query in queries))
        states: dict[str, list[str]] = {}
        letters: dict[str, list[str]] = {}
        for row in (row_of(each.fields) for each in chain.from_iterable(answers[::2])):
            states.setdefault(row.event_id, []).append(row.state)
        for fields in (each.fields for each in chain.from_iterable(answers[1::2])):
            letters.setdefault(str(fields["event_id"]), []).append(str(fields["state"]))
        return [
            replace(
                each, status=status_of(entry_of(document.fields), states.get(each.id, []), letters.get(each.id, []))
            )
            for each, document in zip(summaries, documents, strict=True)
        ]


def seq_of(document: Document) -> int:
    return int(str(entry_of(document.fields)["seq"]))


def chunk_size(query: EventQuery) -> int:
    """Return how many events to read at once: no more than the query's limit if the index alone finds them."""
    is_searched = query.status or query.text or (query.type and (query.source or query.type.endswith("*")))
    return CHUNK if is_searched else min(CHUNK, query.limit + 1)


def _text_of(body: Fields) -> str:
    document = body.get("document")
    return document.decode() if isinstance(document, bytes) else ""


def _in_order(attempts: Sequence[AttemptEntry]) -> tuple[AttemptEntry, ...]:
    return tuple(sorted(attempts, key=lambda each: (each.ended_at, each.delivery_id)))


def status_of(entry: JsonObject, states: Sequence[str], letters: Sequence[str]) -> str:
    """`states` of its deliveries, `letters` those of its dead letters. One that was replayed no longer speaks."""
    expected = entry["expected"]
    assert isinstance(expected, int)
    if entry["broken"] or rules.DEAD_LETTERED in states or any(letter != REPLAYED for letter in letters):
        return "dead_lettered"
    if rules.HELD in states:
        return "held"
    if rules.RETRY_SCHEDULED in states:
        return "retry_scheduled"
    if not expected and not states:
        if any(route["matched"] for route in _routes(entry)):
            return "filtered"
        return "duplicate" if any(not route["route"] for route in _routes(entry)) else "no_route"
    is_open = len(states) < expected or any(state in rules.LEASED for state in states)
    return "delivering" if is_open else "delivered"


def _routes(entry: JsonObject) -> list[JsonObject]:
    routes = entry["routes"]
    assert isinstance(routes, list)
    return [route for route in routes if isinstance(route, dict) and "route" in route]


def summary_of(fields: Fields, status: str) -> EventSummary:
    entry = entry_of(fields)
    return EventSummary(
        seq=int(str(entry["seq"])),
        id=str(fields["id"]),
        source=str(entry["source"]),
        type=_text(entry["type"]),
        subject=_text(entry["subject"]),
        actor=_text(entry["actor"]),
        received_at=float(str(entry["received_at"])),
        routed_at=float(str(entry["routed_at"])),
        expected=int(str(entry["expected"])),
        status=status,
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None


def matches_query(query: EventQuery, entry: JsonObject) -> bool:
    """Return whether the entry matches the query, whose times the database has applied already."""
    if query.source and query.source != entry["source"]:
        return False
    if query.type and query.type.endswith("*"):
        pattern = query.type.replace("[", "[[]").replace("?", "[?]")
        return fnmatchcase(str(entry["type"]), pattern)
    return not query.type or query.type == entry["type"]
