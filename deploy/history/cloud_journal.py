"""The cloud's journal as commands and the page look through it: synchronous, over connections of its own."""

import asyncio
from collections.abc import Sequence
from typing import Final, Literal

from deploy.history.firestore_queries import read_series
from deploy.history.firestore_read import FirestoreJournalReader
from deploy.history.journal_view import Bucket, DeadLetterRow, EventPage, EventQuery, EventRecord, RequestRow, Totals
from deploy.history.loop_thread import LoopThread
from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.storage import BucketBlobs

COUNTED_EVENTS: Final = 200
"""Of so many of the newest the statuses are counted: counting all would read all."""


class CloudJournal:
    """A JournalView. `store` and `blobs` are used here and nowhere else, for their connections are this loop's."""

    def __init__(self, store: Firestore, blobs: BucketBlobs) -> None:
        self._thread = LoopThread()
        self._store = store
        self._blobs = blobs
        self._reader = FirestoreJournalReader(store, blobs)

    def version(self) -> int:
        return self._thread.run(self._reader.version())

    def index(self) -> int:
        return 0

    def events(self, query: EventQuery) -> EventPage:
        return self._thread.run(self._reader.events(query))

    def event(self, event_id: str) -> EventRecord | None:
        return self._thread.run(self._reader.event(event_id))

    def refused(self, limit: int, before: int | None = None) -> tuple[RequestRow, ...]:  # noqa: ARG002 the protocol's
        return ()

    def dead_letters(
        self, limit: int, *, state: str | None = "kept", before: int | None = None
    ) -> tuple[DeadLetterRow, ...]:
        return self._thread.run(self._reader.letters.newest(limit, state, before))

    def dead_letter(self, dead_letter_id: str) -> DeadLetterRow | None:
        return self._thread.run(self._reader.letters.one(dead_letter_id))

    def mark_dead_letters(self, ids: Sequence[str], state: str) -> int:
        return self._thread.run(self._reader.letters.mark(ids, state))

    def ids_beginning(self, kind: Literal["events", "dead_letters"], beginning: str, limit: int) -> list[str]:
        return self._thread.run(self._reader.ids_beginning(kind, beginning, limit))

    def with_document(self, event_ids: Sequence[str]) -> frozenset[str]:
        return self._thread.run(self._reader.with_document(event_ids))

    def stored_document(self, event_id: str) -> str | None:
        return self._thread.run(self._reader.stored_document(event_id))

    def series(self, now: float, span_seconds: float, count: int) -> tuple[Bucket, ...]:
        return self._thread.run(read_series(self._store, now, span_seconds, count))

    def counts(self) -> dict[str, int]:
        return self._thread.run(self._reader.counts(COUNTED_EVENTS))

    def totals(self) -> Totals:
        """Refused requests are in receive's log only."""
        return Totals(0, self._thread.run(self._reader.letters.kept()))

    def close(self) -> None:
        self._thread.run(self._close())
        self._thread.close()

    async def _close(self) -> None:
        self._store.close()
        self._blobs.close()
        await asyncio.sleep(0)  # in which their connections are gone
