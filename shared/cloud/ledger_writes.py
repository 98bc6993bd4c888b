"""Writes that all ledgers share, as rules of shared/ledger_rules.py, and the text of a row's attempts."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from shared import ledger_rules as rules
from shared.errors import Temporary
from shared.journal import AttemptEntry
from shared.jsontext import Json, texts_json
from shared.ledger import Claimed, LedgerRow, Move, Settlement
from shared.ledger_rules import Rule

FENCE_BITS: Final = 53
"""A claim's fence is drawn at random, so that two claims never have the same."""
FAR_SECONDS: Final = 10 * 365 * 86_400.0
"""Nothing waits so long."""
STEP_SECONDS: Final = 0.00001
"""More than the stores' times are exact to."""
HASTENED_AT_ONCE: Final = 200


class LedgerWrites(ABC):
    @abstractmethod
    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        """Store what the rule makes of the row, with no other write between. None if it rejects it or finds no row."""

    async def _change_claimed(self, claim: Claimed, rule: Rule) -> Claimed | None:
        """Do `_change` to a claim's row. A store that knows the version of its rows need not read it."""
        row = await self._change(claim.row.key, rule)
        return None if row is None else Claimed(row)

    async def begin(self, claim: Claimed, now: float) -> Claimed | None:
        return await self._change_claimed(claim, lambda row: rules.begin(row, claim.row.fence, now))

    async def give_back(self, claim: Claimed, now: float) -> bool:
        return await self._change_claimed(claim, lambda row: rules.give_back(row, claim.row.fence, now)) is not None

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        settled = await self._change_claimed(claim, lambda row: rules.settle(row, claim.row.fence, settlement))
        return settled is not None

    async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
        row = await self._change(key, lambda row: rules.postpone(row, fence, now, at))
        return None if row is None else row.fence

    async def postpone_all(self, moves: Sequence[Move], now: float) -> Sequence[int | Temporary | None]:
        return await asyncio.gather(*(self._postponed(move, now) for move in moves))

    async def _postponed(self, move: Move, now: float) -> int | Temporary | None:
        try:
            return await self.postpone(move.key, move.fence, now, move.at)
        except Temporary as error:
            return error

    @abstractmethod
    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]: ...

    async def hasten(self, destination: str, now: float, at: float) -> int:
        """Look through all rows that wait: no index has them by destination and time, and it is an operator's wish."""
        count, since, is_more = 0, at + STEP_SECONDS, True
        while is_more:
            rows = await self.due(now + FAR_SECONDS, HASTENED_AT_ONCE, since)
            moves = [Move(row.key, row.fence, at) for row in rows if _waits_longer(row, destination, at)]
            fences = await self.postpone_all(moves, now)
            if faults := [fence for fence in fences if isinstance(fence, Temporary)]:
                raise faults[0]
            count += sum(isinstance(fence, int) for fence in fences)
            is_more = len(rows) >= HASTENED_AT_ONCE
            since = max(since + STEP_SECONDS, max((row.retry_at or 0.0 for row in rows), default=0.0))
        return count

    async def reopen(self, key: str, now: float, replay: str = "") -> int | None:
        row = await self._change(key, lambda row: rules.reopen(row, now, replay))
        return None if row is None else row.generation


def _waits_longer(row: LedgerRow, destination: str, at: float) -> bool:
    """Return whether it waits for the destination, and not for a slot of its caps."""
    return row.destination == destination and (row.retry_at or 0.0) > at and not row.waits_for_slot


def attempts_text(row: LedgerRow) -> str:
    """Return the row's attempts as JSON, without the names that the row has already."""
    if not row.attempts:
        return "[]"
    values: list[Json] = [
        [each.attempt_number, each.started_at, each.ended_at, each.outcome, each.reason, each.answer]
        for each in row.attempts
    ]
    return texts_json(values).decode()  # orjson may write a float otherwise, and the same is read


def with_attempts(row: LedgerRow, text: str) -> LedgerRow:
    """Return the row with the attempts that `attempts_text` wrote."""
    names = row.key, row.event_id, row.route, row.destination
    return row._replace(attempts=tuple(AttemptEntry(*names, *values) for values in json.loads(text)))


def newest_of(
    rows: Sequence[LedgerRow], limit: int, destination: str | None = None, state: str | None = None
) -> list[LedgerRow]:
    """Filter and sort what a query found."""
    kept = [row for row in rows if destination in (None, row.destination) and state in (None, row.state)]
    return sorted(kept, key=lambda row: row.created_at, reverse=True)[:limit]
