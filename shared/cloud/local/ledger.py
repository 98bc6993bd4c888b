"""The Ledger port on SQLite, in `ledger.db`. The protocol itself is shared/ledger_rules.py."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from secrets import randbits
from typing import Final

from shared import ledger_rules as rules
from shared.cloud.ledger_writes import FENCE_BITS, LedgerWrites
from shared.cloud.local import ledger_tables as tables
from shared.cloud.local.transactions import Transactions
from shared.delivery import Delivery
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Settlement
from shared.ledger_rules import Rule

SETTLE_SECONDS: Final = 0.002
"""A settlement waits so long for the next claim, to share its commit: under load this saves half of the commits."""
PURGE_ROWS: Final = 1_000  # in one transaction, so that no claim waits long behind a purge


class LocalLedger(LedgerWrites):
    def __init__(self, path: Path) -> None:
        self._file = Transactions(path, "ledger_unavailable", tables.open_ledger)

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        key, payload_hash, fence = delivery.id, delivery.event.payloadhash, randbits(FENCE_BITS)
        new = rules.new_row(delivery, key, message, now)
        first, claimed = rules.claim(new, payload_hash, message, now, lease_seconds, due_fence, fence)

        def operation(connection: sqlite3.Connection) -> Claim:
            if tables.insert_row(connection, claimed):  # most are seen for the first time
                return first
            row = tables.find_row(connection, key)
            assert row is not None
            answer, changed = rules.claim(row, payload_hash, message, now, lease_seconds, due_fence, fence)
            if changed is not row:
                tables.update_row(connection, row, changed)
            return answer

        return await self._file.write(operation, is_synced=True)

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        """Settle by the row that the claim returned: whoever claims or moves the delivery changes its fence."""
        fence = claim.row.fence
        settled = rules.settle(claim.row, fence, settlement)
        if settled is None:
            return False

        def operation(connection: sqlite3.Connection) -> bool:
            if tables.update_row(connection, claim.row, settled):
                return True
            changed = tables.change_row(connection, claim.row.key, lambda row: rules.settle(row, fence, settlement))
            return changed is not None

        return await self._file.write(operation, is_synced=True, max_wait_seconds=SETTLE_SECONDS)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        # The literal is what lets SQLite use the partial index.
        rest = "WHERE state = 'retry_scheduled' AND retry_at >= ? AND retry_at <= ? ORDER BY retry_at LIMIT ?"
        return self._file.read(lambda connection: tables.read_rows(connection, rest, (since, now, limit)))

    async def disable(self, destination: str, reason: str, now: float) -> None:
        await self._file.write(
            lambda connection: tables.set_disabled(connection, destination, reason, now), is_synced=True
        )

    async def pause(self, destination: str, until: float, now: float) -> None:
        await self._file.write(
            lambda connection: tables.set_paused(connection, destination, until, now), is_synced=True
        )

    async def release(self, destination: str, now: float) -> int:
        return await self._file.write(lambda connection: tables.release(connection, destination, now), is_synced=True)

    async def destination_state(self, destination: str) -> DestinationState:
        return self._file.read(lambda connection: tables.destination_state(connection, destination))

    async def rows(
        self, limit: int, *, event_id: str | None = None, destination: str | None = None, state: str | None = None
    ) -> Sequence[LedgerRow]:
        wanted = {"event_id": event_id, "destination": destination, "state": state}
        rest, values = tables.conditions({name: value for name, value in wanted.items() if value is not None})
        return self._file.read(lambda connection: tables.read_rows(connection, rest, (*values, limit)))

    async def purge(self, before: float) -> int:
        count = 0
        below_id = self._file.read(lambda connection: tables.first_id_since(connection, before))
        while forgotten := await self._file.write(
            lambda connection: tables.forget(connection, below_id, before, PURGE_ROWS), is_synced=True
        ):
            count += forgotten
        return count

    async def close(self) -> None:
        self._file.close()

    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        return await self._file.write(lambda connection: tables.change_row(connection, key, rule), is_synced=True)
