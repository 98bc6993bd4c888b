from collections.abc import Sequence

from shared.errors import Temporary
from shared.journal import AttemptEntry, DeadLetter, EventEntry, JournalEntry


class FakeJournal:
    """Keeps its entries in a list. With `fault` set, it refuses instead."""

    def __init__(self) -> None:
        self.entries: list[JournalEntry] = []
        self.fault: str | None = None

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        if self.fault:
            raise Temporary("journal_unavailable", self.fault)
        self.entries.extend(entries)

    async def has_event(self, event_id: str) -> bool:
        if self.fault:
            raise Temporary("journal_unavailable", self.fault)
        return any(isinstance(entry, EventEntry) and entry.event.id == event_id for entry in self.entries)

    def note(self, attempt: AttemptEntry) -> None:
        self.entries.append(attempt)

    @property
    def attempts(self) -> list[AttemptEntry]:
        return [entry for entry in self.entries if isinstance(entry, AttemptEntry)]

    @property
    def dead_letters(self) -> list[DeadLetter]:
        return [entry for entry in self.entries if isinstance(entry, DeadLetter)]
