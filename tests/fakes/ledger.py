from collections.abc import Mapping, Sequence
from operator import itemgetter

from shared import ledger_rules as rules
from shared.errors import Temporary
from shared.ledger import Claim, DestinationState, LedgerRow, Place
from shared.ledger_rules import Rule
from shared.ledger_writes import DecideClaim, LedgerWrites, destination_state_of, newest_of


class FakeLedger(LedgerWrites):
    """The protocol over a dictionary. With `fault` set, it refuses instead. `writes` counts those of rows."""

    def __init__(self) -> None:
        self.table: dict[str, LedgerRow] = {}
        self.states: dict[str, dict[str, str | float]] = {}
        self.fault: str | None = None
        self.writes = 0

    async def _insert_or_change(
        self, first_row: LedgerRow, first_answer: Claim, decide: DecideClaim, *, is_new: bool = True
    ) -> Claim:
        self._fail_if_faulty()
        self.writes += 1
        row = self.table.get(first_row.key)
        answer, self.table[first_row.key] = decide(row) if row else (first_answer, first_row)
        return answer

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        self._fail_if_faulty()
        # Simulations ask often with many rows, of which few are due: most are left out without a call.
        times = ((row.retry_at, row) for row in self.table.values() if row.retry_at is not None)
        found = [(at, row) for at, row in times if since <= at <= now and rules.is_due(row, now)]
        return [row for _, row in sorted(found, key=itemgetter(0))[:limit]]

    async def _write_destination(self, destination: str, fields: Mapping[str, str | float]) -> None:
        self._fail_if_faulty()
        self.states.setdefault(destination, {}).update(fields)

    async def release(self, destination: str, now: float, *, releases_unknown: bool = False) -> int:
        self._fail_if_faulty()

        def rule(row: LedgerRow) -> LedgerRow | None:
            return rules.release(row, now, releases_unknown=releases_unknown)

        self.states.pop(destination, None)
        keys = [key for key, row in self.table.items() if row.destination == destination]
        return sum([await self._change(key, rule) is not None for key in keys])

    async def destination_state(self, destination: str) -> DestinationState:
        self._fail_if_faulty()
        return destination_state_of(self.states.get(destination, {}))

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

    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        self._fail_if_faulty()
        self.writes += 1
        row = self.table.get(key)
        changed = None if row is None else rule(row)
        if changed is not None:
            self.table[key] = changed
        return changed

    def _fail_if_faulty(self) -> None:
        if self.fault:
            raise Temporary("ledger_unavailable", self.fault)
