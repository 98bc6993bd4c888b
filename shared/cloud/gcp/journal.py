"""The Journal port on Firestore. An event costs two writes, an attempt one, a dead letter one.

Who reads it works out an event's status from the ledger then, so that no write here has to read first.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from shared.cloud.gather import Gatherer
from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.firestore_values import MAX_DOCUMENT_BYTES, Write, document_id
from shared.cloud.gcp.journal_documents import attempt_write, dead_letter_write, event_writes
from shared.cloud.retention import Retention
from shared.errors import Temporary
from shared.journal import AttemptEntry, DeadLetter, EventEntry, JournalEntry
from shared.ports import Blobs

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
                "journal", f"a dead letter of {size} bytes needs a bucket, and this platform's settings name none"
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
