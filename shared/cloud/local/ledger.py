"""The Ledger port on SQLite, in `ledger.db`. The protocol itself is shared/ledger_rules.py."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from secrets import randbits
from typing import Final, TypeAlias

from shared import ledger_rules as rules
from shared.cloud.ledger_writes import FENCE_BITS, LedgerWrites
from shared.cloud.local import ledger_tables as tables
from shared.cloud.local.transactions import Transactions
from shared.delivery import Delivery
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Place, Settlement
from shared.ledger_rules import Rule

SETTLE_SECONDS: Final = 0.002
"""A settlement waits so long for the next claim, to share its commit: under load this saves half of the commits."""
MAX_REMEMBERED: Final = 100_000
"""The row ids kept in memory: 25 MB. To find a row without its id, SQLite reads the whole table, and a sweep lists
thousands of rows before it moves them."""
PURGE_ROWS: Final = 1_000  # in one transaction, so that no claim waits long behind a purge

Take: TypeAlias = Callable[[LedgerRow], tuple[Claim, LedgerRow]]


class LocalLedger(LedgerWrites):
    """A claim's `version` is the id of its row."""

    def __init__(self, path: Path) -> None:
        self._file = Transactions(path, "ledger_unavailable", tables.open_ledger)
        self._ids: dict[str, int] = {}

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        key, payload_hash, fence = delivery.id, delivery.event.payloadhash, randbits(FENCE_BITS)
        first = rules.first_claim(delivery, key, message, now, lease_seconds, fence)
        return await self._take(
            first,
            first.row,
            lambda row: rules.claim(row, payload_hash, message, now, lease_seconds, due_fence, fence),
        )

    async def gather(self, delivery: Delivery, message: bytes, group: str, reason: str, now: float, at: float) -> Claim:
        key, payload_hash, fence = delivery.id, delivery.event.payloadhash, randbits(FENCE_BITS)
        new = rules.new_row(delivery, key, now)
        return await self._take(
            *rules.gather(new, payload_hash, message, group, reason, now, at, fence),
            lambda row: rules.gather(row, payload_hash, message, group, reason, now, at, fence),
        )

    def _take(self, first_answer: Claim, new: LedgerRow, take: Take) -> "asyncio.Future[Claim]":
        """Create the row `new`, or change the one that there is."""

        def operation(connection: sqlite3.Connection) -> Claim:
            answer, row_id = first_answer, tables.insert_row(connection, new)
            if row_id is None:  # few: most are seen for the first time
                found = tables.find_delivery(connection, new.event_id, new.key)
                assert found is not None
                row_id, row = found
                self._remember({row_id: row})
                answer, changed = take(row)
                if changed is not row:
                    tables.update_row(connection, row_id, row, changed)
            return Claimed(answer.row, answer.message, str(row_id)) if isinstance(answer, Claimed) else answer

        return self._file.write(operation, is_synced=True)

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        """Record the outcome. Return False if the delivery was claimed or moved since, which changes its fence."""
        row_id = int(claim.version)
        settled = rules.settle(claim.row, claim, settlement)
        if settled is None:
            return False

        def operation(connection: sqlite3.Connection) -> bool:
            if tables.settle_row(connection, row_id, claim.row, settled):
                return True
            row = tables.find_row(connection, row_id)
            changed = None if row is None else rules.settle(row, claim, settlement)
            if row is None or changed is None:
                return False
            return changed is row or tables.settle_row(connection, row_id, row, changed)

        return await self._file.write(operation, is_synced=True, max_wait_seconds=SETTLE_SECONDS)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        # The literal is what lets SQLite use the partial index.
        rest = "WHERE state = 'retry_scheduled' AND retry_at >= ? AND retry_at <= ? ORDER BY retry_at LIMIT ?"
        found = self._file.read(lambda connection: tables.read_rows_by_id(connection, rest, (since, now, limit)))
        self._remember(found)
        return list(found.values())

    async def disable(self, destination: str, reason: str, now: float) -> None:
        await self._file.write(lambda connection: _disable(connection, destination, reason, now), is_synced=True)

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        await self._file.write(lambda connection: _pause(connection, destination, until, now, reason), is_synced=True)

    async def release(self, destination: str, now: float) -> int:
        return await self._file.write(lambda connection: _release(connection, destination, now), is_synced=True)

    async def destination_state(self, destination: str) -> DestinationState:
        return self._file.read(lambda connection: _destination_state(connection, destination))

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        found = self._file.read(lambda connection: tables.find_delivery(connection, event_id, key))
        return None if found is None else found[1]

    async def rows(
        self,
        limit: int,
        *,
        event_id: str | None = None,
        destination: str | None = None,
        state: str | None = None,
        before: Place | None = None,
    ) -> Sequence[LedgerRow]:
        wanted = {"event_id": event_id, "destination": destination, "state": state}
        rest, values = tables.conditions({name: value for name, value in wanted.items() if value is not None}, before)
        found = self._file.read(lambda connection: tables.read_rows_by_id(connection, rest, (*values, limit)))
        if event_id is not None:
            self._remember(found)  # whoever looks at an event's deliveries may change them
        return list(found.values())

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
        def operation(connection: sqlite3.Connection) -> LedgerRow | None:
            row_id = tables.find_id(connection, key, self._ids.get(key))
            return None if row_id is None else tables.change_row(connection, row_id, rule)

        return await self._file.write(operation, is_synced=True)

    async def _change_claimed(self, claim: Claimed, rule: Rule) -> Claimed | None:
        row_id = int(claim.version)
        row = await self._file.write(lambda connection: tables.change_row(connection, row_id, rule), is_synced=True)
        return None if row is None else claim._replace(row=row)

    def _remember(self, rows: Mapping[int, LedgerRow]) -> None:
        """Remember the ids of the newest rows that were read: what is moved or reopened was read before."""
        self._ids |= {row.key: row_id for row_id, row in rows.items()}
        while len(self._ids) > MAX_REMEMBERED:
            del self._ids[next(iter(self._ids))]


def _disable(connection: sqlite3.Connection, destination: str, reason: str, now: float) -> None:
    connection.execute(
        "INSERT INTO destinations (name, disabled_reason, updated_at) VALUES (?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET disabled_reason = excluded.disabled_reason, updated_at = excluded.updated_at",
        (destination, reason, now),
    )


def _pause(connection: sqlite3.Connection, destination: str, until: float, now: float, reason: str) -> None:
    connection.execute(
        "INSERT INTO destinations (name, paused_until, pause_reason, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET paused_until = excluded.paused_until, pause_reason = excluded.pause_reason,"
        " updated_at = excluded.updated_at",
        (destination, until, reason, now),
    )


def _destination_state(connection: sqlite3.Connection, destination: str) -> DestinationState:
    found = connection.execute(
        "SELECT disabled_reason, paused_until, pause_reason FROM destinations WHERE name = ?", (destination,)
    ).fetchone()
    return DestinationState(*found) if found else DestinationState()


def _release(connection: sqlite3.Connection, destination: str, now: float) -> int:
    connection.execute("DELETE FROM destinations WHERE name = ?", (destination,))
    held = connection.execute(
        "SELECT id FROM deliveries WHERE destination = ? AND state = 'held'", (destination,)
    ).fetchall()
    for (row_id,) in held:
        tables.change_row(connection, row_id, lambda row: rules.release(row, now))
    return len(held)
