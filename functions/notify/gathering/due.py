"""Rows of the ledger that are due: those that go out by themselves, and those that wait in groups."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from functions.notify.gathering.groups import ALERTS
from functions.notify.gathering.settings import GatherSettings
from functions.notify.registry import Configured
from shared.errors import Temporary
from shared.ledger import Ledger, LedgerRow, Move

PAGE_ROWS: Final = 200


def waits_in_group(row: LedgerRow, destinations: Mapping[str, Configured]) -> bool:
    """Return whether the row is for its group's closing. Where its destination gathers no more, it goes out alone."""
    configured = destinations.get(row.destination)
    return bool(row.group) and configured is not None and settings_of(row.group, configured) is not None


def settings_of(group: str, configured: Configured) -> GatherSettings | None:
    """Return the settings by which the group is closed; None if its destination gathers no more."""
    if group.startswith(ALERTS):
        return configured.alerts.gather if configured.alerts else None
    return configured.gather


class DueAlone:
    """The due rows that the sweep publishes one by one."""

    def __init__(self, ledger: Ledger, destinations: Mapping[str, Configured]) -> None:
        self._ledger = ledger
        self._destinations = destinations

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return what `Ledger.due` returns without the rows that wait in groups. Raises Temporary.

        It reads whole pages: there may be thousands of the others.
        """
        at_since, page = 0, max(limit, PAGE_ROWS)
        while True:
            rows = await self._ledger.due(now, page + at_since, since)
            alone = [row for row in rows if not waits_in_group(row, self._destinations)]
            if alone or len(rows) < page + at_since:
                return alone[:limit]
            page = 2 * page if rows[-1].retry_at == since else max(limit, PAGE_ROWS)
            since = rows[-1].retry_at or since
            at_since = sum(row.retry_at == since for row in rows)

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | Temporary | None]:
        return await self._ledger.postpone_all(moves, now)


async def listed(ledger: Ledger, until: float, since: float) -> AsyncIterator[LedgerRow]:
    """Yield all the rows that are due by that time, oldest first. Raises Temporary.

    Of thousands that are due at one time, each page begins with those before it, so each is twice as long.
    """
    seen: set[str] = set()
    page = PAGE_ROWS
    while True:
        rows = await ledger.due(until, page + len(seen), since)
        fresh = [row for row in rows if row.key not in seen]
        if not fresh:
            return
        for row in fresh:
            yield row
        last = fresh[-1].retry_at or since
        page = 2 * page if last == since else PAGE_ROWS
        at_last = {row.key for row in fresh if row.retry_at == last}
        seen = seen | at_last if last == since else at_last
        since = last
