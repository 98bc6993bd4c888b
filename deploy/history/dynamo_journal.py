"""The read side of the journal on DynamoDB: events, dead letters, and the plots over both.

The journal records each event and each dead letter with a `seq`, a number that grows with time and by which it is
sorted. An index has items of its own, with the key and a few fields of each item of its table. They are called entries
here: the index of events by time has their source and type, so that a search for these does not read the events.
Expired items are left out, because DynamoDB may take days to delete them.
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
from shared import batching, journal, jsontext, ledger
from shared.cloud.aws import tables
from shared.cloud.aws.dynamo import Condition, Dynamo, is_expired, read_shards, state_shard
from shared.cloud.aws.dynamo_values import Fields, item_key
from shared.cloud.aws.journal import letter_state
from shared.cloud.aws.ledger_items import PROMPT_SECONDS, VERSION, row_of
from shared.cloud.aws.ledger_lists import keys_of
from shared.cloud.journal_entries import erased_dead_letter, erased_event, first_seq, parsed_entry
from shared.cloud.shards import SHARDS

INDEXED_CHUNK: Final = 1_000
"""The entries that are read at once for a search by source or type, which needs only the index."""
ID_CHUNK: Final = 5_000
"""The entries that are read at once to search for the beginning of an id."""
MAX_SEARCHED_IDS: Final = 100_000
"""The number of the newest entries that are searched for the beginning of an id."""
BODIES_AT_ONCE: Final = 20
"""The bodies that one answer has room for. Each has at most 350,000 bytes, a third more in base64."""
LETTERS_AT_ONCE: Final = 17
"""The dead letters that one answer has room for. Each has at most 350,000 bytes, a third more in base64."""
ROWS_AT_ONCE: Final = 36
"""The rows without messages that one answer has room for. JSON doubles the MAX_ATTEMPTS_BYTES of each."""
QUERIES_AT_ONCE: Final = 20
MAX_OF_EVENT: Final = 1_000
"""The most deliveries, and the most dead letters, of one event that are read."""
MAX_COUNTED: Final = 10_000
"""The most dead letters that are counted."""
WATCHED_DELIVERIES: Final = 24
"""The number of the newest deliveries that are checked for a change. A delivery that ends later is found by its end."""
EVENT_FIELDS: Final = ("id", "entry", "passes", tables.EXPIRES_AT)
"""The fields of an event without its body."""
ROW_FIELDS: Final = tuple({*ledger.LedgerRow._fields} - {"message"})
"""The fields of a delivery without its message."""
STATES: Final = (journal.KEPT, journal_view.REPLAYED, journal_view.DROPPED)


class DynamoJournalReader(cloud_journal.CloudJournal):
    """The journal in DynamoDB. Items that have expired by `now` are left out."""

    def __init__(self, store: Dynamo, blobs: CloudBlobs, now: Callable[[], float] = time.time) -> None:
        super().__init__([store, blobs])
        self._store = store
        self._blobs = blobs
        self._now = now

    @cloud_journal.on_own_loop
    async def version(self) -> int:
        """Return a number that changes whenever the newest event, deliveries or dead letter do."""
        events, deliveries, ended, letters = await asyncio.gather(
            self._newest(tables.EVENTS, tables.LISTED_EVENTS, 1),
            self._newest(tables.DELIVERIES, tables.LISTED_DELIVERIES, WATCHED_DELIVERIES),
            self._newest(tables.DELIVERIES, tables.ENDED, 1),
            self._letter_entries(1, None),
        )
        passes = await self._store.get_all(tables.EVENTS, keys_of(events), ("passes",))
        versions = await self._store.get_all(tables.DELIVERIES, keys_of(deliveries), (VERSION,))
        watched = [*passes.values(), *versions.values(), *ended, *letters]
        return hash(tuple(tuple(sorted(fields.items())) for fields in watched))

    async def _newest(
        self,
        table: tables.Table,
        index: tables.Index,
        limit: int,
        low: float = 0.0,
        high: float = inf,
        *,
        state: str = "",
    ) -> list[Fields]:
        """Return the entries of an index, newest first. `low` and `high` are the first and the last `seq` or time."""
        return await read_shards(self._store, table, index, limit, state=state, low=low, high=high, descending=True)

    async def _chunk(self, query: journal_view.EventQuery, before: int | None) -> cloud_journal.Chunk:
        page_size = query.limit + 1  # one more shows whether there is another page
        needs_events = bool(query.status or query.text)  # the index has neither, so all matching events are read
        if needs_events:
            count = cloud_journal.CHUNK
        elif query.source or query.type:
            count = INDEXED_CHUNK
        else:
            count = min(cloud_journal.CHUNK, page_size)
        first = 0 if query.since is None else first_seq(query.since)
        last_of_query = inf if query.until is None else first_seq(query.until + 0.001) - 1
        last = last_of_query if before is None else min(last_of_query, before - 1)
        entries = await self._newest(tables.EVENTS, tables.LISTED_EVENTS, count, first, last)
        matching = [each for each in entries if cloud_journal.matches_query(query, each["source"], each["type"])]
        read = matching if needs_events else matching[:page_size]
        events = await self._stored_events(keys_of(read))
        if len(read) < len(matching):  # the next chunk begins after the last event that is read here
            return cloud_journal.Chunk(events, before=_seq_of(read[-1]))
        if len(entries) < count:  # the index has no more
            return cloud_journal.Chunk(events, before=None)
        return cloud_journal.Chunk(events, before=_seq_of(entries[-1]))

    async def _stored_events(self, keys: Sequence[str]) -> list[cloud_journal.StoredEvent]:
        """Return the events that there are, in the order of the keys."""
        items = await self._store.get_all(tables.EVENTS, keys, EVENT_FIELDS)
        now = self._now()
        events: list[cloud_journal.StoredEvent] = []
        for key in keys:
            item = items.get(key)
            if item is not None and not is_expired(item, now):
                journal_entry = parsed_entry(item["entry"])
                passes = int(str(item["passes"]))
                events.append(cloud_journal.StoredEvent(key, str(item["id"]), journal_entry, passes))
        return events

    async def _documents(self, keys: Sequence[str]) -> Mapping[str, str]:
        """Return the bodies. A body that is kept for a shorter time than its event is in an item of its own."""
        fields = ("document", tables.EXPIRES_AT)
        items = await self._store.get_all(tables.EVENTS, keys, fields, BODIES_AT_ONCE)
        apart = [key for key, item in items.items() if "document" not in item]
        items |= await self._store.get_all(tables.BODIES, apart, fields, BODIES_AT_ONCE)
        now = self._now()
        documents = {key: item.get("document") for key, item in items.items() if not is_expired(item, now)}
        # An erased event has no body in either table.
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
        """Return the ids of those events whose body can still be read."""
        ids = {item_key(each): each for each in event_ids}
        events = await self._stored_events([*ids])
        with_body = {each.key for each in events if each.entry.get("has_document")}
        apart = [each.key for each in events if each.key not in with_body]
        bodies = await self._store.get_all(tables.BODIES, apart, (tables.EXPIRES_AT,))
        now = self._now()
        with_body |= {key for key, body in bodies.items() if not is_expired(body, now)}
        return frozenset(ids[key] for key in with_body)

    @cloud_journal.on_own_loop
    async def stored_document(self, event_id: str) -> str | None:
        key = item_key(event_id)
        if not await self._stored_events([key]):
            return None
        return (await self._documents([key])).get(key)

    async def _erase_event(self, event_id: str) -> None:
        key = item_key(event_id)
        is_there = Condition(f"attribute_exists(#{tables.KEY})")
        for event in await self._stored_events([key]):
            erased: Fields = {"entry": jsontext.to_json(erased_event(event.entry)), "document": None}
            await self._store.update(tables.EVENTS, key, erased, is_there)
        await self._store.delete(tables.BODIES, key)

    @cloud_journal.on_own_loop
    async def ids_beginning(self, kind: Literal["events", "dead_letters"], beginning: str, limit: int) -> list[str]:
        """Search the newest entries of an index, because DynamoDB cannot search a table by the beginning of its key."""
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
        last: float = inf
        for _ in range(MAX_SEARCHED_IDS // ID_CHUNK):
            entries = await self._newest(tables.EVENTS, tables.LISTED_EVENTS, ID_CHUNK, high=last)
            yield entries
            if len(entries) < ID_CHUNK:
                return
            last = _seq_of(entries[-1]) - 1

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

    async def _rows(self, entries: Sequence[Fields]) -> list[ledger.LedgerRow]:
        items = await self._store.get_all(tables.DELIVERIES, keys_of(entries), ROW_FIELDS, ROWS_AT_ONCE)
        return [row_of(each) for each in items.values()]

    async def _states(self, ids: Sequence[str]) -> cloud_journal.States:
        entries = await self._events_of(tables.DELIVERIES, tables.DELIVERIES_BY_EVENT, ids)
        letters = await self._events_of(tables.DEAD_LETTERS, tables.LETTERS_BY_EVENT, ids)
        fields = ("event_id", "destination", "state", "attempt_number")
        items = await self._store.get_all(tables.DELIVERIES, keys_of(entries), fields)
        deliveries = [(str(each["event_id"]), _state_for_status(each)) for each in items.values()]
        return cloud_journal.States(
            deliveries=batching.grouped((event_id, state) for event_id, state in deliveries if state),
            letters=batching.grouped((str(each["event_id"]), str(each["state"])) for each in letters),
        )

    async def _events_of(self, table: tables.Table, index: tables.Index, ids: Sequence[str]) -> list[Fields]:
        """Return the entries of an index by event, a few queries at a time."""
        entries: list[Fields] = []
        for batch in batching.batches(ids, QUERIES_AT_ONCE):
            queries = [self._store.query_index(table, index, event_id, MAX_OF_EVENT) for event_id in batch]
            entries += chain.from_iterable(await asyncio.gather(*queries))
        return entries

    async def _letter_entries(self, limit: int, state: str | None, before: int | None = None) -> list[Fields]:
        """Return the newest dead letters as the index has them, without their contents. None stands for any state."""
        last = inf if before is None else before - 1
        reads = [
            self._newest(tables.DEAD_LETTERS, tables.LETTERS_BY_STATE, limit, high=last, state=each)
            for each in (STATES if state is None else (state,))
        ]
        entries_by_state = await asyncio.gather(*reads)
        return nlargest(limit, chain.from_iterable(entries_by_state), key=_seq_of)

    @cloud_journal.on_own_loop
    async def dead_letters(
        self, limit: int, *, state: str | None = journal.KEPT, before: int | None = None
    ) -> tuple[journal_view.DeadLetterRow, ...]:
        return await self._letters(keys_of(await self._letter_entries(limit, state, before)))

    async def _letters_of_event(self, event_id: str) -> tuple[journal_view.DeadLetterRow, ...]:
        """Return the event's dead letters, oldest first."""
        entries = await self._letter_entries_of_event(event_id)
        newest_first = await self._letters(keys_of(entries))
        return newest_first[::-1]

    @cloud_journal.on_own_loop
    async def dead_letter(self, dead_letter_id: str) -> journal_view.DeadLetterRow | None:
        rows = await self._letters([item_key(dead_letter_id)])
        return rows[0] if rows else None

    async def _kept_letters(self) -> int:
        partitions = [state_shard(journal.KEPT, shard) for shard in range(SHARDS)]
        counts = [
            self._store.count(tables.DEAD_LETTERS, tables.LETTERS_BY_STATE, each, MAX_COUNTED) for each in partitions
        ]
        return min(sum(await asyncio.gather(*counts)), MAX_COUNTED)

    async def _mark(self, letter_id: str, state: str) -> bool:
        """Set the dead letter's state. Return False if there is no such letter, or if it is in this state already."""
        is_in_another_state = Condition(f"attribute_exists(#{tables.KEY}) AND #state <> :state", {"state": state})
        fields = letter_state(letter_id, state)
        unchanged_item = await self._store.update(tables.DEAD_LETTERS, item_key(letter_id), fields, is_in_another_state)
        return unchanged_item is None

    async def _letter_entries_of_event(self, event_id: str) -> list[Fields]:
        return await self._store.query_index(
            tables.DEAD_LETTERS, tables.LETTERS_BY_EVENT, event_id, journal_view.MAX_LETTERS_OF_EVENT
        )

    async def _erase_letters(self, event_id: str) -> None:
        entries = await self._letter_entries_of_event(event_id)
        items = await self._store.get_all(tables.DEAD_LETTERS, keys_of(entries), ("id", "entry", "message_blob"))
        for key, fields in items.items():
            if blob := fields.get("message_blob"):
                await self._blobs.delete(str(blob))
            erased: Fields = {
                **letter_state(str(fields["id"]), journal_view.DROPPED),
                "entry": jsontext.to_json(erased_dead_letter(parsed_entry(fields["entry"]))),
                "message": None,
                "message_blob": None,
            }
            await self._store.update(tables.DEAD_LETTERS, key, erased, Condition(f"attribute_exists(#{tables.KEY})"))

    async def _letters(self, keys: Sequence[str]) -> tuple[journal_view.DeadLetterRow, ...]:
        """Return the letters that there are, newest first."""
        items = await self._store.get_all(tables.DEAD_LETTERS, keys, at_once=LETTERS_AT_ONCE)
        now = self._now()
        rows = [await self._letter(each) for each in items.values() if not is_expired(each, now)]
        return tuple(sorted(rows, key=lambda row: row.seq, reverse=True))

    async def _letter(self, fields: Fields) -> journal_view.DeadLetterRow:
        blob = fields.get("message_blob")  # the name of a blob with a large message
        message = await self._blobs.get(str(blob)) if blob else fields.get("message")
        return cloud_journal.dead_letter_row(fields["seq"], fields["state"], parsed_entry(fields["entry"]), message)


def _seq_of(entry: Fields) -> int:
    return int(str(entry["seq"]))


def _state_for_status(fields: Fields) -> str:
    return cloud_journal.state_for_status(
        str(fields["destination"]), str(fields["state"]), int(str(fields["attempt_number"]))
    )
