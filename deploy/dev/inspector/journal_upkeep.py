"""Background tasks on the journal: its search index, and the entries that only the ledger has.

The ledger decides some deliveries without an attempt, and a crash can keep an attempt from the journal.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Literal

from deploy.dev.inspector.api import LocalBackend
from shared import delivery, journal, ledger
from shared.outcomes import AttemptOutcome

INDEX_SECONDS: Final = 0.5
BUSY_INDEX_SECONDS: Final = 0.05
FEW_EVENTS: Final = 200
REPAIR_SECONDS: Final = 2.0
SETTLED_SECONDS: Final = 2.0
LOST_SECONDS: Final = 30.0
"""If an event's deliveries began this long ago and transform has written nothing, transform's entry is lost."""
REPAIR_EVENTS: Final = 50
REPAIR_DELIVERIES: Final = 2_000
"""The number after which the next pass continues, because an event for subscribers may have thousands."""
MAX_DELIVERIES: Final = 20_000
"""Of one event."""

_OUTCOMES: Final[Mapping[str, AttemptOutcome | Literal["merged"]]] = {
    "delivered": "delivered",
    "dead_lettered": "failed",
    "retry_scheduled": "retry_scheduled",
    "held": "held",
    "merged": "merged",
}


async def update_index(backend: LocalBackend) -> None:
    """Index events. A burst is indexed after it has ended, so that the functions can use the CPU."""
    version = -1
    while True:
        before, version = version, await backend.in_thread(backend.reader.version)
        behind = await backend.in_thread(backend.reader.not_indexed)
        if behind and (before == version or behind <= FEW_EVENTS):
            await backend.in_thread(backend.reader.index)
        await asyncio.sleep(BUSY_INDEX_SECONDS if behind and before == version else INDEX_SECONDS)


async def repair_journal(backend: LocalBackend) -> None:
    """Repair the events that are still open, a few at a time, over and over."""
    after = 0
    while True:
        after = await repair_some(backend, after, time.time())
        await asyncio.sleep(REPAIR_SECONDS)


async def repair_some(backend: LocalBackend, after: int, now: float) -> int:
    """Repair the newest events and the next ones; return the position at which to continue.

    The newest are repaired each time, so that an event shows at once that it is held, although many others wait.
    """
    reader, settled_before = backend.reader, now - SETTLED_SECONDS
    newest = partial(reader.open_events, 0, settled_before, REPAIR_EVENTS, newest_first=True)
    repaired: set[str] = set()
    count = 0
    for _, event_id in await backend.in_thread(newest):
        if count < REPAIR_DELIVERIES:
            count += await _repair(backend, event_id, now)
            repaired.add(event_id)
    found = await backend.in_thread(partial(reader.open_events, after, settled_before, REPAIR_EVENTS))
    count = 0
    for position, event_id in found:
        if event_id not in repaired:
            count += await _repair(backend, event_id, now)
        if count >= REPAIR_DELIVERIES:
            return position
    return found[-1][0] if len(found) == REPAIR_EVENTS else 0


async def _repair(backend: LocalBackend, event_id: str, now: float) -> int:
    """Return the number of the event's deliveries."""
    rows = await backend.ledger.rows(MAX_DELIVERIES, event_id=event_id)
    outcomes = await backend.in_thread(partial(backend.reader.last_outcomes, event_id))
    await backend.journal.record(list(missing_entries(outcomes, rows)))
    if deliveries := [row for row in rows if row.destination != delivery.ROUTE_ITSELF]:
        await backend.in_thread(partial(backend.reader.mark_routed, event_id, now - LOST_SECONDS, len(deliveries)))
    return len(rows)


def missing_entries(outcomes: Mapping[str, str], rows: Sequence[ledger.LedgerRow]) -> Iterator[journal.AttemptEntry]:
    """Yield the entries that the journal lacks. `outcomes` has its last outcome of each delivery."""
    for row in rows:
        outcome = _OUTCOMES.get(row.state)
        known = outcomes.get(row.key, "")
        # An attempt with an unknown outcome that is repeated later already counts as one that is.
        is_recorded = known == outcome or (known == "unknown" and outcome == "retry_scheduled")
        if outcome and not is_recorded:
            yield journal.AttemptEntry(
                delivery_id=row.key,
                event_id=row.event_id,
                route=row.route,
                destination=row.destination,
                attempt_number=journal.NO_ATTEMPT,
                started_at=row.updated_at,
                ended_at=row.updated_at,
                outcome=outcome,
                reason=row.reason,
                answer=row.answer,
            )
