"""The writes of a ledger to a claimed delivery: each a rule of shared/ledger_rules.py, whatever stores the row."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence

from shared import ledger_rules as rules
from shared.errors import Temporary
from shared.ledger import LedgerRow
from shared.ledger_rules import Rule


class LedgerWrites(ABC):
    @abstractmethod
    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        """Store what the rule makes of the row, with no other write between. None where it refuses or finds no row."""

    async def attempted(self, key: str, fence: int, now: float) -> bool:
        return await self._change(key, lambda row: rules.attempted(row, fence, now)) is not None

    async def give_back(self, key: str, fence: int, now: float) -> bool:
        return await self._change(key, lambda row: rules.give_back(row, fence, now)) is not None

    async def done(self, key: str, fence: int, now: float, answer: str) -> bool:
        return await self._change(key, lambda row: rules.done(row, fence, now, answer)) is not None

    async def failed(self, key: str, fence: int, now: float, reason: str, answer: str) -> bool:
        return await self._change(key, lambda row: rules.failed(row, fence, now, reason, answer)) is not None

    async def retry_at(
        self, key: str, fence: int, now: float, at: float, reason: str, answer: str, *, is_unknown: bool = False
    ) -> bool:
        row = await self._change(
            key, lambda row: rules.retry_at(row, fence, now, at, reason, answer, is_unknown=is_unknown)
        )
        return row is not None

    async def hold(self, key: str, fence: int, now: float, reason: str, answer: str) -> bool:
        return await self._change(key, lambda row: rules.hold(row, fence, now, reason, answer)) is not None

    async def postpone(self, key: str, fence: int, now: float, at: float) -> int | None:
        row = await self._change(key, lambda row: rules.postpone(row, fence, now, at))
        return None if row is None else row.fence

    async def postpone_all(
        self, moves: Sequence[tuple[str, int]], now: float, at: float
    ) -> Sequence[int | Temporary | None]:
        return await asyncio.gather(*(self._postponed(key, fence, now, at) for key, fence in moves))

    async def _postponed(self, key: str, fence: int, now: float, at: float) -> int | Temporary | None:
        try:
            return await self.postpone(key, fence, now, at)
        except Temporary as error:
            return error

    async def reopen(self, key: str, now: float, replay: str = "") -> int | None:
        row = await self._change(key, lambda row: rules.reopen(row, now, replay))
        return None if row is None else row.generation
