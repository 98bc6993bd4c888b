"""The Journal port on DynamoDB. An event costs one write, a dead letter one, and an attempt none.

Attempts are in the ledger's items, and readers compute an event's status from those, so that no write here has to read
first. The items:

    events        `entry`: all that is known of an event but itself, as JSON; `passes`: how often transform saw it;
                  `document`: the event's CloudEvent
    bodies        `document`, only where bodies are kept for a shorter time than events: a second write
    dead-letters  `entry`, and beside it `message`, or `message_blob`, which names where a large one is stored
"""

import asyncio
from collections.abc import Sequence
from math import ceil

from shared import errors, journal, jsontext, ports, time_bound
from shared.cloud import journal_entries, shards
from shared.cloud.aws import client, dynamo, dynamo_values, tables
from shared.retention import Retention


class DynamoJournal:
    """The journal of a deployment. Each method raises Temporary (`journal_unavailable`).

    blobs      the store of dead letters' messages that are too large for an item; None if the settings name none
    retention  how long each kind of entry is kept
    """

    def __init__(
        self, place: client.AwsPlace, table_prefix: str, blobs: ports.Blobs | None, retention: Retention
    ) -> None:
        self._store = dynamo.Dynamo(place, table_prefix, "journal_unavailable")
        self._blobs = blobs
        self._retention = retention

    async def record(self, entries: Sequence[journal.JournalEntry]) -> None:
        if len(entries) == 1:  # almost always: it needs no task of its own
            await self._record(entries[0])
        else:
            await asyncio.gather(*(self._record(entry) for entry in entries))

    async def has_event(self, event_id: str) -> bool:
        return bool(await self._store.get_all(tables.EVENTS, [dynamo_values.item_key(event_id)], ("id",)))

    def note(self, attempt: journal.AttemptEntry) -> None:
        """Record nothing: the ledger has it."""

    def close(self) -> None:
        self._store.close()

    async def _record(self, entry: journal.JournalEntry) -> None:
        if isinstance(entry, journal.EventEntry):
            if not (entry.is_partial and await self._update(entry)):
                await self._record_event(entry)
        elif isinstance(entry, journal.DeadLetter):
            blob = await journal_entries.put_large_message(entry, self._blobs, dynamo_values.MAX_FIELD_BYTES)
            await self._store.put(tables.DEAD_LETTERS, dead_letter_item(entry, blob, self._retention))

    async def _record_event(self, entry: journal.EventEntry) -> None:
        """Write the event. A second pass (redelivery, replay) changes only the decisions."""
        key, body = dynamo_values.item_key(entry.event.id), journal_entries.event_body(entry)
        is_kept = len(body) <= dynamo_values.MAX_FIELD_BYTES  # it always is, where there is a place for blobs
        has_document = is_kept and self._retention.bodies_seconds >= self._retention.events_seconds
        fields = event_fields(entry, body if has_document else None, self._retention)
        await self._store.update(tables.EVENTS, key, fields, increments={"passes": 1})
        if is_kept and not has_document:
            expires_at = ceil(entry.at + self._retention.bodies_seconds)
            await self._store.put(tables.BODIES, {tables.KEY: key, "document": body, tables.EXPIRES_AT: expires_at})

    async def _update(self, entry: journal.EventEntry) -> bool:
        """Write the decisions of the routes that ran again. Return False if the event is not stored."""
        key = dynamo_values.item_key(entry.event.id)
        found: dynamo_values.Fields | None = (await self._store.get_all(tables.EVENTS, [key], ("entry",))).get(key)
        for number in range(dynamo.TRIES):
            if not found:
                return False
            if number:
                await time_bound.back_off(dynamo.CONTENTION_SECONDS * number)
            updated: dynamo_values.Fields = {"entry": journal_entries.updated_text(found["entry"], entry)}
            is_unchanged = dynamo.Condition("#entry = :seen", {"seen": found["entry"]})
            found = await self._store.update(tables.EVENTS, key, updated, is_unchanged)
            if found is None or found.get("entry") == updated["entry"]:  # the second: the first answer was lost
                return True
        raise errors.Temporary(
            "journal_unavailable", f"DynamoDB: others kept writing an entry, {dynamo.TRIES} times in a row"
        )


def event_fields(entry: journal.EventEntry, body: bytes | None, retention: Retention) -> dynamo_values.Fields:
    """Return the attributes of an event's item. `body` is its CloudEvent; None if the item is to have none."""
    event, seq = entry.event, journal_entries.event_seq(entry)
    document: jsontext.JsonObject = {**journal_entries.event_document(entry, seq), "has_document": body is not None}
    return {
        "id": event.id,
        "seq": seq,
        tables.SHARD: str(shards.shard_of(event.id)),
        "source": event.source_name,
        "type": event.type,
        "entry": jsontext.texts_json(document).decode(),  # orjson may write a float otherwise, and the same is read
        "document": body,
        tables.EXPIRES_AT: ceil(entry.at + retention.events_seconds),
    }


def dead_letter_item(letter: journal.DeadLetter, blob: str | None, retention: Retention) -> dynamo_values.Fields:
    """Return the dead letter's item. `blob` names where its message was put, which then is not in the item."""
    return {
        tables.KEY: dynamo_values.item_key(letter.id),
        "id": letter.id,
        "event_id": letter.event_id or None,
        "entry": jsontext.to_json(journal_entries.dead_letter_document(letter)),
        "message": None if blob else letter.message,
        "message_blob": blob,
        tables.EXPIRES_AT: ceil(letter.at + retention.dead_letters_seconds),
        "seq": journal_entries.seq_of(letter.at, letter.id),
        **letter_state(letter.id, journal.KEPT),
    }


def letter_state(letter_id: str, state: str) -> dict[str, dynamo_values.Value]:
    """Return the attributes that find a dead letter by its state."""
    return {"state": state, tables.STATE_SHARD: dynamo.state_shard(state, shards.shard_of(letter_id))}
