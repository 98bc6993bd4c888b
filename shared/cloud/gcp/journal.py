"""The Journal port on Firestore. An event costs one write, a dead letter one, and an attempt none.

Attempts are in the ledger's documents, and readers compute an event's status from those, so that no write here has to
read first. The documents:

    events        `entry`: all that is known of an event but itself, as JSON; `passes`: how often transform saw it;
                  `document`: the event's CloudEvent
    bodies        `document`, only where bodies are kept for a shorter time than events: a second write
    dead-letters  `entry`, and beside it `message`, or `message_blob`, which names where a large one is stored

An event's `seq` stands in `listed`, `by_source` and `by_type`, as shards.py writes it.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

from shared import batching, journal, jsontext, ports
from shared.cloud import journal_entries, shards
from shared.cloud.gcp.collections import BODIES, DEAD_LETTERS, EVENTS, EXPIRE_AT
from shared.cloud.gcp.firestore import Firestore, sharded
from shared.cloud.gcp.firestore_values import MAX_DOCUMENT_BYTES, Fields, Moment, Value, Write, document_id
from shared.retention import Retention

MAX_BATCH: Final = 100
"""The most calls of `record` that share a commit. Each usually has one or two writes, and a commit takes 500."""
MAX_BATCH_BYTES: Final = 4_000_000
"""The size of a commit. Firestore accepts 10 MiB in one request, in which bytes are base64."""
MAX_WAITING: Final = 2_000
"""The most calls of `record` that may wait for a commit."""
LEAST_WEIGHT: Final = 500
"""About the size of the names and numbers of one call's writes, in bytes."""
MAX_TEXT: Final = 500
"""The most characters of a text in an index. Firestore indexes 1,500 bytes; nearly every character has 3 at most."""


class FirestoreJournal:
    """The journal of a deployment. Entries that arrive while a commit is in flight share the next commit.

    Each method raises Temporary: `journal_unavailable`, or `queue_full` if too many calls wait for a commit.

    blobs      the store of dead letters' messages that are too large for a document; None if the settings name none
    retention  how long each kind of entry is kept
    """

    def __init__(self, store: Firestore, blobs: ports.Blobs | None, retention: Retention) -> None:
        self._store = store
        self._blobs = blobs
        self._retention = retention
        self._batcher = batching.Batcher[Sequence[Write], None](
            self._commit, max_batch=MAX_BATCH, max_waiting=MAX_WAITING, weigh=_weight, max_weight=MAX_BATCH_BYTES
        )

    async def record(self, entries: Sequence[journal.JournalEntry]) -> None:
        writes = [write for entry in entries for write in await self._writes(entry)]
        if writes:
            await self._batcher.submit(writes)

    async def has_event(self, event_id: str) -> bool:
        return bool(await self._store.get(EVENTS, [document_id(event_id)], ("id",)))

    def note(self, attempt: journal.AttemptEntry) -> None:
        """Record nothing: the ledger has it."""

    def close(self) -> None:
        self._store.close()

    async def _writes(self, entry: journal.JournalEntry) -> Sequence[Write]:
        if isinstance(entry, journal.EventEntry):
            if entry.is_partial and await self._update(entry):
                return []
            return event_writes(entry, self._retention)
        if isinstance(entry, journal.AttemptEntry):
            # The ledger has it already.
            return []
        blob = await journal_entries.put_large_message(entry, self._blobs, MAX_DOCUMENT_BYTES)
        return [dead_letter_write(entry, blob, self._retention)]

    async def _update(self, entry: journal.EventEntry) -> bool:
        """Write the decisions of the routes that ran again. Return False if the event is not stored."""
        name = document_id(entry.event.id)

        def decide(found: Fields | None) -> tuple[bool, Write | None]:
            if found is None:
                return False, None
            return True, Write(
                EVENTS, name, {"entry": journal_entries.updated_text(found["entry"], entry)}, mask=("entry",)
            )

        return await self._store.transact(EVENTS, name, ("entry",), decide)

    async def _commit(self, batch: Sequence[Sequence[Write]]) -> Sequence[None]:
        await self._store.commit(list(chain.from_iterable(batch)))
        return [None] * len(batch)


def _weight(writes: Sequence[Write]) -> int:
    values = chain.from_iterable((write.fields or {}).values() for write in writes)
    return LEAST_WEIGHT + sum(len(value) for value in values if isinstance(value, str | bytes))


def keyed(value: str, seq: int) -> str:
    """Return a text that an index sorts by the value, then by `seq`: 16 digits have room for its 53 bits."""
    return f"{value[:MAX_TEXT]}/{seq:016d}"


def event_writes(entry: journal.EventEntry, retention: Retention) -> list[Write]:
    """Return the event's writes. A second pass (redelivery, replay) changes only the decisions."""
    event, shard = entry.event, shards.shard_of(entry.event.id)
    seq = journal_entries.event_seq(entry)
    fields: dict[str, Value] = {
        "id": event.id,
        "listed": sharded("", shard, seq),
        "by_source": sharded(f"{event.source_name[:MAX_TEXT]}/", shard, seq),
        "by_type": sharded(f"{event.type[:MAX_TEXT]}/", shard, seq),
        EXPIRE_AT: Moment(entry.at + retention.events_seconds),
    }
    document = journal_entries.event_body(entry)
    is_kept = len(document) <= MAX_DOCUMENT_BYTES  # it always is, where there is a place for blobs
    has_document = is_kept and retention.bodies_seconds >= retention.events_seconds
    fields["entry"] = jsontext.to_json({**journal_entries.event_document(entry, seq), "has_document": has_document})
    bodies: list[Write] = []
    if has_document:
        fields["document"] = document
    elif is_kept:
        body: dict[str, Value] = {"document": document, EXPIRE_AT: Moment(entry.at + retention.bodies_seconds)}
        bodies = [Write(BODIES, document_id(event.id), body, mask=tuple(body))]
    return [Write(EVENTS, document_id(event.id), fields, mask=tuple(fields), increments={"passes": 1}), *bodies]


def dead_letter_write(letter: journal.DeadLetter, blob: str | None, retention: Retention) -> Write:
    """Return the dead letter's write. `blob` names where its message was put, which then is not in the document."""
    seq = journal_entries.seq_of(letter.at, letter.id)
    fields: dict[str, Value] = {
        "id": letter.id,
        "seq": seq,
        "event_id": letter.event_id,
        "state": journal.KEPT,
        "by_state": keyed(journal.KEPT, seq),
        "entry": jsontext.to_json(journal_entries.dead_letter_document(letter)),
        "message": None if blob else letter.message,
        "message_blob": blob,
        EXPIRE_AT: Moment(letter.at + retention.dead_letters_seconds),
    }
    return Write(DEAD_LETTERS, document_id(letter.id), fields)


def marked_write(doc_id: str, seq: int, state: str) -> Write:
    """Return the write that gives a stored dead letter another state."""
    fields: Mapping[str, Value] = {"state": state, "by_state": keyed(state, seq)}
    return Write(DEAD_LETTERS, doc_id, fields, mask=tuple(fields))


def entry_of(fields: Fields) -> jsontext.JsonObject:
    """Return the entry that a stored document has as JSON."""
    return journal_entries.parsed_entry(fields["entry"])
