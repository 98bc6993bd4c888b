"""The journal looked after while nobody is in a hurry: its search index, and what it lacks of the ledger."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from deploy.dev.inspector.parts import LocalParts
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
REPAIR_EVENTS: Final = 50
MAX_DELIVERIES: Final = 100


async def again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """`work` ends for trouble only: a lock held too long, a disk that is full. It may be over by the next time."""
    while True:
        try:
            await work()
        except (sqlite3.Error, Temporary) as error:
            detail = error.detail if isinstance(error, Temporary) else reason_of(error)
            log("WARNING", "the page may be behind", function="inspector", detail=detail)
        await asyncio.sleep(PAUSE_SECONDS)


async def keep_index(parts: LocalParts) -> None:
    """A burst of events is indexed after it, so that the functions have the machine to themselves."""
    version = -1
    while True:
        before, version = version, await parts.read(parts.reader.version)
        behind = await parts.read(parts.reader.not_indexed)
        if behind and (before == version or behind <= FEW_EVENTS):
            await parts.read(parts.reader.index)
        await asyncio.sleep(BUSY_INDEX_SECONDS if behind and before == version else INDEX_SECONDS)


async def keep_repairing(parts: LocalParts) -> None:
    """Round and round through the events that are still open, a few at a time."""
    after = 0
    while True:
        after = await _repair_some(parts, after)
        await asyncio.sleep(REPAIR_SECONDS)


async def _repair_some(parts: LocalParts, after: int) -> int:
    """Where the next round goes on."""
    settled = time.time() - SETTLED_SECONDS
    found = await parts.read(partial(parts.reader.open_events, after, settled, REPAIR_EVENTS))
    for _, event_id in found:
        rows = await parts.ledger.rows(MAX_DELIVERIES, event_id=event_id)
        outcomes = await parts.read(partial(parts.reader.last_outcomes, event_id))
        await parts.journal.record(list(missing_entries(outcomes, rows)))
    return found[-1][0] if len(found) == REPAIR_EVENTS else 0
