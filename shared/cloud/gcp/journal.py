"""The Journal port on Firestore. An event costs two writes, an attempt one, a dead letter one.

Readers compute an event's status from the ledger, so that no write here has to read first. The documents:

    events        `entry`: all that is known of an event but itself, as JSON; `passes`: how often transform saw it
    bodies        `document`: the event's CloudEvent, in a collection of its own, because it expires sooner
    attempts      `entry`
    dead-letters  `entry`, and beside it `message`, or `message_blob`, which names where a large one is stored

`seq` orders them by time: milliseconds, and twelve bits of the id's hash, which keep those of one millisecond apart in
a number that JavaScript can hold. In `by_…` it stands behind a value, as in the ledger's documents.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Final

from shared.cloud.gather import Gatherer
from shared.cloud.gcp.collections import ATTEMPTS, BODIES, DEAD_LETTERS, EVENTS, EXPIRE_AT
from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.firestore_values import MAX_DOCUMENT_BYTES, Fields, Moment, Value, Write, document_id
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.journal import KEPT, AttemptEntry, DeadLetter, EventEntry, JournalEntry, route_documents
from shared.jsontext import Json, JsonObject, canonical, to_json
from shared.ports import Blobs
from shared.retention import Retention
from shared.times import unix_seconds

MAX_BATCH: Final = 100
MAX_BATCH_BYTES: Final = 4_000_000  # Firestore takes 10 MiB in one request, in which bytes are base64
MAX_WAITING: Final = 2_000


class FirestoreJournal:
    """Entries that arrive while a commit is in flight go into the next. `blobs` takes messages that are too large."""

    def __init__(self, store: Firestore, blobs: Blobs | None, retention: Retention) -> None:
        self._store = store
        self._blobs = blobs
        self._retention = retention
        self._gatherer = Gatherer[Sequence[Write], None](
            self._commit, max_batch=MAX_BATCH, max_waiting=MAX_WAITING, weigh=_weight, max_weight=MAX_BATCH_BYTES
        )

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        writes = [write for entry in entries for write in await self._writes(entry)]
        if writes:
            await self._gatherer.submit(writes)

    def close(self) -> None:
        self._store.close()

    async def _writes(self, entry: JournalEntry) -> Sequence[Write]:
        if isinstance(entry, EventEntry):
            return event_writes(entry, self._retention)
        if isinstance(entry, AttemptEntry):
            return [attempt_write(entry, self._retention)]
        return [dead_letter_write(entry, await self._put(entry), self._retention)]

    async def _put(self, letter: DeadLetter) -> str | None:
        if len(letter.message) <= MAX_DOCUMENT_BYTES:
            return None
        if self._blobs is None:
            size = len(letter.message)
            raise Temporary(
                "journal_unavailable",
                f"a dead letter of {size} bytes needs a bucket, and this platform's settings name none",
            )
        name = f"dead-letters/{document_id(letter.id)}"
        await self._blobs.put(name, letter.message)
        return name

    async def _commit(self, batch: Sequence[Sequence[Write]]) -> Sequence[None]:
        await self._store.commit(list(chain.from_iterable(batch)))
        return [None] * len(batch)


def _weight(writes: Sequence[Write]) -> int:
    values = chain.from_iterable((write.fields or {}).values() for write in writes)
    return 500 + sum(len(value) for value in values if isinstance(value, str | bytes))


MAX_TEXT: Final = 500
"""Characters of an attribute that is indexed; Firestore takes 1,500 bytes."""


def seq_of(seconds: float, identity: str) -> int:
    low = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:2], "big") & 0xFFF
    return first_seq(seconds) | low


def first_seq(seconds: float) -> int:
    """Return the least `seq` of that millisecond."""
    return max(0, round(seconds * 1_000)) << 12


def keyed(value: str, seq: int) -> str:
    return f"{value[:MAX_TEXT]}/{seq:016d}"


def event_writes(entry: EventEntry, retention: Retention) -> list[Write]:
    """Return the event's writes. A second pass (redelivery, replay) changes only what was decided."""
    event = entry.event
    received_at = unix_seconds(event.receivedat)
    seq = seq_of(received_at, event.id)
    fields: dict[str, Value] = {
        "id": event.id,
        "seq": seq,
        "by_source": keyed(event.source_name, seq),
        "by_type": keyed(event.type, seq),
        "entry": to_json(_event_document(entry, received_at)),
        EXPIRE_AT: Moment(entry.at + retention.events_seconds),
    }
    name = document_id(event.id)
    writes = [Write(EVENTS, name, fields, mask=tuple(fields), increments={"passes": 1})]
    document = to_json(to_cloudevent(event))
    if len(document.encode()) <= MAX_DOCUMENT_BYTES:  # it always is, where there is a place for blobs
        body: dict[str, Value] = {
            "document": document.encode(),
            EXPIRE_AT: Moment(entry.at + retention.bodies_seconds),
        }
        writes.append(Write(BODIES, name, body, mask=tuple(body)))
    return writes


def _event_document(entry: EventEntry, received_at: float) -> JsonObject:
    event = entry.event
    return {
        "source": event.source_name,
        "type": event.type,
        "subject": event.subject,
        "actor": event.actor,
        "received_at": received_at,
        "routed_at": entry.at,
        "expected": entry.expected,
        "broken": entry.broken,
        "routes": route_documents(entry.routes),
    }


def attempt_write(entry: AttemptEntry, retention: Retention) -> Write:
    """Return the attempt's write. The same entry written twice is one document."""
    document: JsonObject = asdict(entry)
    fields: dict[str, Value] = {
        "event_id": entry.event_id,
        "seq": seq_of(entry.ended_at, entry.delivery_id),
        "entry": to_json(document),
        EXPIRE_AT: Moment(entry.ended_at + retention.events_seconds),
    }
    return Write(ATTEMPTS, hashlib.sha256(canonical(document)).hexdigest()[:32], fields)


def attempt_of(fields: Fields) -> AttemptEntry:
    return AttemptEntry(**entry_of(fields))  # type: ignore[arg-type] # as attempt_write wrote it


def dead_letter_write(letter: DeadLetter, blob: str | None, retention: Retention) -> Write:
    """Return the dead letter's write. `blob` names where its message was put, which then is not in the document."""
    document: JsonObject = {
        name: getattr(letter, name)
        for name in ("id", "code", "reason", "at", "topic", "event_id", "route", "destination")
    }
    document["bytes"] = len(letter.message)
    seq = seq_of(letter.at, letter.id)
    fields: dict[str, Value] = {
        "id": letter.id,
        "seq": seq,
        "event_id": letter.event_id,
        "state": KEPT,
        "by_state": keyed(KEPT, seq),
        "entry": to_json(document),
        "message": None if blob else letter.message,
        "message_blob": blob,
        EXPIRE_AT: Moment(letter.at + retention.dead_letters_seconds),
    }
    return Write(DEAD_LETTERS, document_id(letter.id), fields)


def marked_write(doc_id: str, seq: int, state: str) -> Write:
    fields: Mapping[str, Value] = {"state": state, "by_state": keyed(state, seq)}
    return Write(DEAD_LETTERS, doc_id, fields, mask=tuple(fields))


def entry_of(fields: Fields) -> JsonObject:
    document: Json = json.loads(str(fields["entry"]))
    assert isinstance(document, dict)
    return document
