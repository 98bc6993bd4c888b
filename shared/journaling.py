"""Entries into the journal, which blocks nothing: one that is not written in time is missing there and nowhere else."""

import asyncio
from dataclasses import dataclass
from typing import Final

from shared.errors import Temporary
from shared.journal import Journal, JournalEntry
from shared.logs import log

JOURNAL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Journaling:
    """`function` is whose entries they are, for the log; `journal` is None where the platform keeps none."""

    function: str
    journal: Journal | None

    async def record(self, entry: JournalEntry, event_id: str) -> None:
        if self.journal is None:
            return
        try:
            async with asyncio.timeout(JOURNAL_SECONDS):
                await self.journal.record([entry])
        except (Temporary, TimeoutError) as error:
            detail = error.detail if isinstance(error, Temporary) else f"not written within {JOURNAL_SECONDS:g} s"
            log("WARNING", "not journaled", function=self.function, event_id=event_id, detail=detail)
