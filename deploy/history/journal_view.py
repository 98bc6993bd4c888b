"""The read side of a journal, whichever the platform: what the page and the commands look through."""

from collections.abc import Sequence
from typing import Literal, Protocol

from deploy.history.journal_rows import DeadLetterRow, EventPage, EventQuery, EventRecord, RequestRow, Totals
from deploy.history.journal_series import Bucket


class JournalView(Protocol):
    """Synchronous: call it in a thread from a loop. Rows come newest first, as far as `limit` and after `before`."""

    def version(self) -> int:
        """Another number once somebody has written."""
        ...

    def index(self) -> int:
        """Make the next events findable by text; how many they were. 0 too where a search reads the events."""
        ...

    def events(self, query: EventQuery) -> EventPage:
        """A page may be short of its limit, or empty, and still say where to go on: so much was looked through."""
        ...

    def event(self, event_id: str) -> EventRecord | None: ...

    def refused(self, limit: int, before: int | None = None) -> tuple[RequestRow, ...]:
        """4xx, and the 503s that told a sender to come again; none where receive's log alone has them."""
        ...

    def dead_letters(
        self, limit: int, *, state: str | None = "kept", before: int | None = None
    ) -> tuple[DeadLetterRow, ...]: ...

    def dead_letter(self, dead_letter_id: str) -> DeadLetterRow | None: ...

    def mark_dead_letters(self, ids: Sequence[str], state: str) -> int:
        """How many were in another state before."""
        ...

    def ids_beginning(self, kind: Literal["events", "dead_letters"], beginning: str, limit: int) -> list[str]: ...

    def with_document(self, event_ids: Sequence[str]) -> frozenset[str]:
        """Those of them whose `stored_document` is there, without reading it."""
        ...

    def stored_document(self, event_id: str) -> str | None:
        """The event's CloudEvent as JSON text; None before transform has seen it, and after its body's retention."""
        ...

    def series(self, now: float, span_seconds: float, count: int) -> tuple[Bucket, ...]:
        """The last `span_seconds` in `count` buckets, oldest first."""
        ...

    def counts(self) -> dict[str, int]:
        """Events by status, of all or of the newest; those of status zero left out."""
        ...

    def totals(self) -> Totals: ...

    def close(self) -> None: ...
