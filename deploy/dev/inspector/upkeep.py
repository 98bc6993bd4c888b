"""Background tasks on the journal: its search index, and entries that it lacks but the ledger has."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from deploy.dev.inspector.backend import LocalBackend
from deploy.history.local_repair import missing_entries
from shared.cloud.local.database import reason_of
from shared.errors import Temporary
from shared.logs import log

PAUSE_SECONDS: Final = 1.0
INDEX_SECONDS: Final = 0.5
BUSY_INDEX_SECONDS: Final = 0.05
FEW_EVENTS: Final = 200
REPAIR_SECONDS: Final = 2.0
SETTLED_SECONDS: Final = 2.0
LOST_SECONDS: Final = 30.0
"""An event whose deliveries began so long ago, and of which transform has written nothing, lacks transform's entry."""
REPAIR_EVENTS: Final = 50
MAX_DELIVERIES: Final = 100


async def repeated(task: Callable[[], Awaitable[None]]) -> None:
    """Run `task` again and again. It ends only with an error, such as a full disk, that may be over the next time."""
    while True:
        try:
            await task()
        except (sqlite3.Error, Temporary) as error:
            detail = error.detail if isinstance(error, Temporary) else reason_of(error)
            log("WARNING", "the page may be out of date", function="inspector", detail=detail)
        await asyncio.sleep(PAUSE_SECONDS)


async def update_index(backend: LocalBackend) -> None:
    """Index events. A burst is indexed after it has ended, so that the functions can use the CPU."""
    version = -1
    while True:
        before, version = version, await backend.read(backend.reader.version)
        behind = await backend.read(backend.reader.not_indexed)
        if behind and (before == version or behind <= FEW_EVENTS):
            await backend.read(backend.reader.index)
        await asyncio.sleep(BUSY_INDEX_SECONDS if behind and before == version else INDEX_SECONDS)


async def repair_journal(backend: LocalBackend) -> None:
    """Repair the events that are still open, a few at a time, over and over."""
    after = 0
    while True:
        after = await repair_some(backend, after, time.time())
        await asyncio.sleep(REPAIR_SECONDS)


async def repair_some(backend: LocalBackend, after: int, now: float) -> int:
    """Repair the next events; return the position at which to continue."""
    reader = backend.reader
    found = await backend.read(partial(reader.open_events, after, now - SETTLED_SECONDS, REPAIR_EVENTS))
    for _, event_id in found:
        rows = await backend.ledger.rows(MAX_DELIVERIES, event_id=event_id)
        outcomes = await backend.read(partial(reader.last_outcomes, event_id))
        await backend.journal.record(list(missing_entries(outcomes, rows)))
        if rows:
            await backend.read(partial(reader.mark_routed, event_id, now - LOST_SECONDS, len(rows)))
    return found[-1][0] if len(found) == REPAIR_EVENTS else 0
