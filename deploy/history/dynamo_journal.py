"""The read side of the journal on DynamoDB: events, dead letters, and the plots over both.

An index by time has each event's source and type, so that what a search looks for is found among them without reading
the events. What has expired is left out, though DynamoDB may take days to delete it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from heapq import nlargest
from itertools import chain
from math import inf
from typing import Final, Literal

from deploy.history import chart, cloud_journal, journal_view
from deploy.history.ports import CloudBlobs
from shared.batching import batches, grouped
from shared.cloud.aws import tables
from shared.cloud.aws.dynamo import Condition, Dynamo, is_expired, read_shards, state_shard
from shared.cloud.aws.dynamo_values import Fields, item_key
from shared.cloud.aws.journal import letter_state
from shared.cloud.aws.ledger_items import PROMPT_SECONDS, VERSION, row_of
from shared.cloud.aws.ledger_lists import keys_of
from shared.cloud.journal_entries import erased_dead_letter, erased_event, first_seq, parsed_entry
from shared.cloud.shards import SHARDS
from shared.journal import KEPT
from shared.jsontext import to_json
from shared.ledger import LedgerRow

MANY: Final = 1_000
"""The entries of the index that one read returns, for a search that needs only the index."""
MAX_SEARCHED_IDS: Final = 100_000
"""The number of the newest entries that are searched for the beginning of an id."""
BODIES_AT_ONCE: Final = 20
"""The bodies that one answer has room for. Each has at most 350,000 bytes, a third more in base64."""
ROWS_AT_ONCE: Final = 36
"""The rows without messages that one answer has room for. JSON doubles the MAX_ATTEMPTS_BYTES of each."""
QUERIES_AT_ONCE: Final = 20
MAX_OF_EVENT: Final = 1_000
WATCHED_DELIVERIES: Final = 24
"""The number of the newest deliveries that are checked for a change. One that ends late is found by its end."""
WITHOUT_DOCUMENT: Final = ("id", "entry", "passes", tables.EXPIRES_AT)
WITHOUT_MESSAGE: Final = tuple({*LedgerRow._fields} - {"message"})


STATES: Final = (KEPT, journal_view.REPLAYED, journal_view.DROPPED)
LETTERS_AT_ONCE: Final = 17
"""The dead letters that one answer has room for. Each has at most 350,000 bytes, a third more in base64."""
MAX_COUNTED: Final = 10_000


class DynamoJournalReader(cloud_journal.CloudJournal):
    """The journal in DynamoDB. Entries that have expired by `now` are left out, because DynamoDB deletes them late."""

    def __init__(self, store: Dynamo, blobs: CloudBlobs, now: Callable[[], float] = time.time) -> None:
        super().__init__([store, blobs])
        self._store = store
        self._blobs = blobs
        self._now = now

    @cloud_journal.on_own_loop
    async def version(self) -> int:
        """Read the newest event, deliveries and dead letter: they change when anything does."""
        events, deliveries, ended, letters = await asyncio.gather(
            self._newest(tables.EVENTS, tables.LISTED_EVENTS, 1),
            self._newest(tables.DELIVERIES, tables.LISTED_DELIVERIES, WATCHED_DELIVERIES),
            self._newest(tables.DELIVERIES, tables.ENDED, 1),
            self._letter_entries(1, None),
        )
        items = await self._store.get_all(tables.EVENTS, keys_of(events), ("passes",))
        rows = await self._store.get_all(tables.DELIVERIES, keys_of(deliveries), (VERSION,))
        marks = [*items.values(), *rows.values(), *ended, *letters]
        return hash(tuple(tuple(sorted(each.items())) for each in marks))

    async def _newest(
        self, table: tables.Table, index: tables.Index, limit: int, low: float = 0.0, high: float = inf
    ) -> list[Fields]:
        return await read_shards(self._store, table, index, limit, low=low, high=high, descending=True)

    async def _chunk(self, query: journal_view.EventQuery, before: int | None) -> cloud_journal.Chunk:
        page_size = query.limit + 1  # one more shows whether there is another page
        needs_events = bool(query.status or query.text)  # the index has neither, so all matching events are read
        is_filtered = bool(query.source or query.type)  # by what the index has
        if needs_events:
            count = cloud_journal.CHUNK
        elif is_filtered:
            count = MANY
        else:
            count = min(cloud_journal.CHUNK, page_size)
        low = 0 if query.since is None else first_seq(query.since)
        high = inf if query.until is None else first_seq(query.until + 0.001) - 1
        high = high if before is None else min(high, before - 1)
        entries = await self._newest(tables.EVENTS, tables.LISTED_EVENTS, count, low, high)
        matching = [each for each in entries if cloud_journal.matches_query(query, each["source"], each["type"])]
        kept = matching if needs_events else matching[:page_size]
        found = await self._stored_events(keys_of(kept))
        if len(kept) < len(matching):  # the next chunk begins with those that are left out here
            return cloud_journal.Chunk(found, before=_seq_of(kept[-1]))
        is_last = len(entries) < count
        return cloud_journal.Chunk(found, before=None if is_last else _seq_of(entries[-1]))

    async def _stored_events(self, keys: Sequence[str]) -> list[cloud_journal.StoredEvent]:
        items = await self._store.get_all(tables.EVENTS, keys, WITHOUT_DOCUMENT)
        now = self._now()
        found = [items[key] for key in keys if key in items]
        return [
            cloud_journal.StoredEvent(
                str(each[tables.KEY]), str(each["id"]), parsed_entry(each["entry"]), int(str(each["passes"]))
            )
            for each in found
            if not is_expired(each, now)
        ]

    async def _documents(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the bodies. A body that is kept for a shorter time than its event is in an item of its own."""
        fields, now = ("document", tables.EXPIRES_AT), self._now()
        found = await self._store.get_all(tables.EVENTS, keys, fields, BODIES_AT_ONCE)
        apart = [key for key, each in found.items() if "document" not in each]
        found |= await self._store.get_all(tables.BODIES, apart, fields, BODIES_AT_ONCE)
        documents = {key: each.get("document") for key, each in found.items() if not is_expired(each, now)}
        return {key: document.decode() for key, document in documents.items() if isinstance(document, bytes)}

    @cloud_journal.on_own_loop
    async def event(self, event_id: str) -> journal_view.EventRecord | None:
        events, entries, letters = await asyncio.gather(
            self._stored_events([item_key(event_id)]),
            self._store.query_index(tables.DELIVERIES, tables.DELIVERIES_BY_EVENT, event_id, MAX_OF_EVENT),
            self._letters_of_event(event_id),
        )
        if not events:
            return None
        return await self._record(events[0], await self._rows(entries), letters)

    @cloud_journal.on_own_loop
    async def with_document(self, event_ids: Sequence[str]) -> frozenset[str]:
        keys = {item_key(each): each for each in event_ids}
        now = self._now()
        events = await self._stored_events([*keys])
        whole = {each.key for each in events if each.entry.get("has_document")}
        apart = [each.key for each in events if each.key not in whole]
        bodies = await self._store.get_all(tables.BODIES, apart, (tables.EXPIRES_AT,))
        whole |= {key for key, each in bodies.items() if not is_expired(each, now)}
        return frozenset(keys[key] for key in whole)

    @cloud_journal.on_own_loop
    async def stored_document(self, event_id: str) -> str | None:
        key = item_key(event_id)
        return (await self._documents([key])).get(key) if await self._stored_events([key]) else None

    async def _erase_event(self, event_id: str) -> None:
        key = item_key(event_id)
        is_there = Condition(f"attribute_exists(#{tables.KEY})")
        for event in await self._stored_events([key]):
            erased: Fields = {"entry": to_json(erased_event(event.entry)), "document": None}
            await self._store.update(tables.EVENTS, key, erased, is_there)
        await self._store.delete(tables.BODIES, key)

    @cloud_journal.on_own_loop
    async def ids_beginning(self, kind: Literal["events", "dead_letters"], beginning: str, limit: int) -> list[str]:
        """Search the newest entries of an index: a table's key alone cannot be searched by its beginning."""
        found: set[str] = set()
        async for entries in self._entries(kind):
            found.update(key for key in keys_of(entries) if key.startswith(beginning))
            if len(found) >= limit:
                break
        return sorted(found)[:limit]

    async def _entries(self, kind: Literal["events", "dead_letters"]) -> AsyncIterator[list[Fields]]:
        if kind == "dead_letters":
            yield await self._letter_entries(MAX_SEARCHED_IDS, None)
            return
        high, count = inf, 0
        while count < MAX_SEARCHED_IDS:
            entries = await self._newest(tables.EVENTS, tables.LISTED_EVENTS, 5 * MANY, high=high)
            yield entries
            if len(entries) < 5 * MANY:
                return
            count, high = count + len(entries), _seq_of(entries[-1]) - 1

    @cloud_journal.on_own_loop
    async def series(self, now: float, span_seconds: float, count: int) -> tuple[chart.Bucket, ...]:
        span = chart.span_of(now, span_seconds, count)
        events, made, ended = await asyncio.gather(
            self._newest(tables.EVENTS, tables.LISTED_EVENTS, chart.MAX_POINTS, first_seq(span.since)),
            self._newest(tables.DELIVERIES, tables.LISTED_DELIVERIES, chart.MAX_POINTS, span.since - PROMPT_SECONDS),
            self._newest(tables.DELIVERIES, tables.ENDED, chart.MAX_POINTS, span.since),
        )
        rows = await self._rows([*made, *ended])
        accepted = [chart.time_of(_seq_of(each)) for each in events]
        attempts = chain.from_iterable(row.attempts for row in rows)
        return await chart.series_of(span, accepted, attempts, self._received_at)

    async def _received_at(self, ids: Sequence[str]) -> Mapping[str, float | None]:
        events = await self._stored_events([item_key(each) for each in ids])
        return {each.id: chart.received_unless_replayed(each.entry, each.passes) for each in events}

    async def _rows(self, entries: Sequence[Fields]) -> list[LedgerRow]:
        found = await self._store.get_all(tables.DELIVERIES, keys_of(entries), WITHOUT_MESSAGE, ROWS_AT_ONCE)
        return [row_of(each) for each in found.values()]

    async def _states(self, ids: Sequence[str]) -> cloud_journal.States:
        entries = await self._events_of(tables.DELIVERIES, tables.DELIVERIES_BY_EVENT, ids)
        letters = await self._events_of(tables.DEAD_LETTERS, tables.LETTERS_BY_EVENT, ids)
        names = ("event_id", "destination", "state", "attempt_number")
        rows = await self._store.get_all(tables.DELIVERIES, keys_of(entries), names)
        states = [{**each, "state": _state_for_status(each)} for each in rows.values()]
        return cloud_journal.States(_states_in([each for each in states if each["state"]]), _states_in(letters))

    async def _events_of(self, table: tables.Table, index: tables.Index, ids: Sequence[str]) -> list[Fields]:
        """Return the entries of an index by event, a few queries at a time."""
        found: list[Fields] = []
        for some in batches(ids, QUERIES_AT_ONCE):
            answers = await asyncio.gather(
                *(self._store.query_index(table, index, each, MAX_OF_EVENT) for each in some)
            )
            found += chain.from_iterable(answers)
        return found

    async def _letter_entries(self, limit: int, state: str | None, before: int | None = None) -> list[Fields]:
        """Return the newest letters as the index has them, which is without their contents."""
        high = inf if before is None else before - 1
        found = await asyncio.gather(
            *(
                read_shards(
                    self._store,
                    tables.DEAD_LETTERS,
                    tables.LETTERS_BY_STATE,
                    limit,
                    state=each,
                    high=high,
                    descending=True,
                )
                for each in (STATES if state is None else (state,))
            )
        )
        return nlargest(limit, (entry for some in found for entry in some), key=_seq_of)

    @cloud_journal.on_own_loop
    async def dead_letters(
        self, limit: int, *, state: str | None = KEPT, before: int | None = None
    ) -> tuple[journal_view.DeadLetterRow, ...]:
        return await self._letters(keys_of(await self._letter_entries(limit, state, before)))

    async def _letters_of_event(self, event_id: str) -> tuple[journal_view.DeadLetterRow, ...]:
        """Return them oldest first."""
        found = await self._letter_entries_of_event(event_id)
        return (await self._letters(keys_of(found)))[::-1]

    @cloud_journal.on_own_loop
    async def dead_letter(self, dead_letter_id: str) -> journal_view.DeadLetterRow | None:
        rows = await self._letters([item_key(dead_letter_id)])
        return rows[0] if rows else None

    async def _kept_letters(self) -> int:
        counts = await asyncio.gather(
            *(
                self._store.count(tables.DEAD_LETTERS, tables.LETTERS_BY_STATE, state_shard(KEPT, shard), MAX_COUNTED)
                for shard in range(SHARDS)
            )
        )
        return min(sum(counts), MAX_COUNTED)

    async def _mark(self, letter_id: str, state: str) -> bool:
        is_in_another = Condition(f"attribute_exists(#{tables.KEY}) AND #state <> :state", {"state": state})
        fields = letter_state(letter_id, state)
        unchanged = await self._store.update(tables.DEAD_LETTERS, item_key(letter_id), fields, is_in_another)
        return unchanged is None  # otherwise the condition failed

    async def _letter_entries_of_event(self, event_id: str) -> list[Fields]:
        return await self._store.query_index(
            tables.DEAD_LETTERS, tables.LETTERS_BY_EVENT, event_id, journal_view.MAX_LETTERS_OF_EVENT
        )

    async def _erase_letters(self, event_id: str) -> None:
        entries = await self._letter_entries_of_event(event_id)
        found = await self._store.get_all(tables.DEAD_LETTERS, keys_of(entries), ("id", "entry", "message_blob"))
        for key, fields in found.items():
            if blob := fields.get("message_blob"):
                await self._blobs.delete(str(blob))
            erased: Fields = {
                **letter_state(str(fields["id"]), journal_view.DROPPED),
                "entry": to_json(erased_dead_letter(parsed_entry(fields["entry"]))),
                "message": None,
                "message_blob": None,
            }
            await self._store.update(tables.DEAD_LETTERS, key, erased, Condition(f"attribute_exists(#{tables.KEY})"))

    async def _letters(self, keys: Sequence[str]) -> tuple[journal_view.DeadLetterRow, ...]:
        """Return the letters that there are, newest first."""
        found = await self._store.get_all(tables.DEAD_LETTERS, keys, at_once=LETTERS_AT_ONCE)
        now = self._now()
        rows = [await self._letter(each) for each in found.values() if not is_expired(each, now)]
        return tuple(sorted(rows, key=lambda row: row.seq, reverse=True))

    async def _letter(self, fields: Fields) -> journal_view.DeadLetterRow:
        entry = parsed_entry(fields["entry"])
        message = fields.get("message")
        if blob := fields.get("message_blob"):
            message = await self._blobs.get(str(blob))
        return cloud_journal.dead_letter_row(fields["seq"], fields["state"], entry, message)


def _states_in(items: Sequence[Fields]) -> dict[str, list[str]]:
    return grouped((str(each["event_id"]), str(each["state"])) for each in items)


def _seq_of(entry: Fields) -> int:
    return int(str(entry["seq"]))


def _state_for_status(fields: Fields) -> str:
    return cloud_journal.state_for_status(
        str(fields["destination"]), str(fields["state"]), int(str(fields["attempt_number"]))
    )
