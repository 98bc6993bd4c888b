from collections.abc import Sequence
from dataclasses import replace
from secrets import randbits

from shared import ledger_rules as rules
from shared.cloud.ledger_writes import FENCE_BITS, LedgerWrites, newest_of
from shared.delivery import Delivery
from shared.errors import Temporary
from shared.ledger import Claim, DestinationState, LedgerRow, Place
from shared.ledger_rules import Rule


class FakeLedger(LedgerWrites):
    """The protocol over a dictionary. With `fault` set, it refuses instead."""

    def __init__(self) -> None:
        self.table: dict[str, LedgerRow] = {}
        self.states: dict[str, DestinationState] = {}
        self.fault: str | None = None

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        self._fail_if_faulty()
        key, fence = delivery.id, randbits(FENCE_BITS)
        row = self.table.get(key) or rules.new_row(delivery, key, now)
        answer, claimed = rules.claim(row, delivery.event.payloadhash, message, now, lease_seconds, due_fence, fence)
        self.table[key] = claimed
        return answer

    async def gather(self, delivery: Delivery, message: bytes, group: str, reason: str, now: float, at: float) -> Claim:
        self._fail_if_faulty()
        key, payload_hash, fence = delivery.id, delivery.event.payloadhash, randbits(FENCE_BITS)
        row = self.table.get(key) or rules.new_row(delivery, key, now)
        answer, self.table[key] = rules.gather(row, payload_hash, message, group, reason, now, at, fence)
        return answer

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        self._fail_if_faulty()
        found = [row for row in self.table.values() if rules.is_due(row, now) and (row.retry_at or 0.0) >= since]
        return sorted(found, key=lambda row: row.retry_at or 0.0)[:limit]

    async def disable(self, destination: str, reason: str, now: float) -> None:
        self._fail_if_faulty()
        self.states[destination] = replace(await self.destination_state(destination), disabled_reason=reason)

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        self._fail_if_faulty()
        state = await self.destination_state(destination)
        self.states[destination] = replace(state, paused_until=until, pause_reason=reason)

    async def release(self, destination: str, now: float) -> int:
        self._fail_if_faulty()
        self.states.pop(destination, None)
        keys = [key for key, row in self.table.items() if row.destination == destination]
        return sum([await self._change(key, lambda row: rules.release(row, now)) is not None for key in keys])

    async def destination_state(self, destination: str) -> DestinationState:
        self._fail_if_faulty()
        return self.states.get(destination, DestinationState())

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        self._fail_if_faulty()
        row = self.table.get(key)
        return row if row is not None and row.event_id == event_id else None

    async def rows(
        self,
        limit: int,
        *,
        event_id: str | None = None,
        destination: str | None = None,
        state: str | None = None,
        before: Place | None = None,
    ) -> Sequence[LedgerRow]:
        self._fail_if_faulty()
        found = [
            row
            for row in reversed(self.table.values())
            if event_id in (None, row.event_id)
            and destination in (None, row.destination)
            and state in (None, row.state)
        ]
        return newest_of(found, limit, before=before)

    async def purge(self, before: float) -> int:
        self._fail_if_faulty()
        old = [key for key, row in self.table.items() if row.state in rules.FINAL and row.updated_at < before]
        for key in old:
            del self.table[key]
        return len(old)

    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        self._fail_if_faulty()
        row = self.table.get(key)
        changed = None if row is None else rule(row)
        if changed is not None:
            self.table[key] = changed
        return changed

    def _fail_if_faulty(self) -> None:
        if self.fault:
            raise Temporary("ledger_unavailable", self.fault)
