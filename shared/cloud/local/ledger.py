"""The Ledger port on SQLite, in `ledger.db`.

shared/ledger_rules.py has the rules, and ledger_rows.py the tables and the statements that read and write their rows.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from shared import ledger_rules as rules
from shared.cloud.local import database, ledger_rows
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Place, Settlement
from shared.ledger_writes import DecideClaim, LedgerWrites

FILE_NAME: Final = "ledger.db"
SETTLE_SECONDS: Final = 0.002
"""The time that a settlement waits for the next claim, to share its commit. Under load, this saves half of the
commits."""
MAX_REMEMBERED: Final = 100_000
"""The most row ids that are kept in memory, in 25 MB. To find a row without its id, SQLite reads the whole table, and a
sweep lists thousands of rows before it moves them."""
PURGE_ROWS: Final = 500
PURGE_PAUSE_SECONDS: Final = 0.05
"""One purge deletes so many rows at most, and the next one begins so much later. With them, no claim waits more than
40 ms for it (measured)."""


class LocalLedger(LedgerWrites):
    """The ledger of one process. Other processes may have the file open too.

    All methods run on the event loop itself. A write returns once it is committed and synced to the disk. It shares a
    transaction with the writes of the same moment: if one fails, all of them are rolled back. A read does not wait for
    writers. Every method raises Temporary (`ledger_unavailable`) if the file cannot be read or written, or if
    another process keeps it locked for BUSY_SECONDS.

    A claim's `version` is the id of its row.
    """

    def __init__(self, path: Path) -> None:
        self._file = database.Transactions(path, "ledger_unavailable", ledger_rows.open_ledger)
        self._row_ids: dict[str, int] = {}

    def _insert_or_change(
        self,
        first_row: LedgerRow,
        first_answer: Claim,
        decide: DecideClaim,
        *,
        is_new: bool = True,  # noqa: ARG002 an insertion finds out by itself
    ) -> "asyncio.Future[Claim]":
        def operation(connection: sqlite3.Connection) -> Claim:
            new_id = ledger_rows.insert_row(connection, first_row)
            if new_id is not None:  # most deliveries are seen for the first time
                return _with_row_id(first_answer, new_id)
            stored = ledger_rows.find_delivery(connection, first_row.event_id, first_row.key)
            assert stored is not None
            row_id, stored_row = stored
            self._remember({row_id: stored_row})
            answer, changed_row = decide(stored_row)
            if changed_row is not stored_row:
                ledger_rows.update_row(connection, row_id, stored_row, changed_row)
            return _with_row_id(answer, row_id)

        return self._file.write(operation, is_synced=True)

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        """Record the outcome of a claim. Return False, and store nothing, if the delivery was claimed or moved since.

        Waits up to SETTLE_SECONDS for another write, whose transaction it shares.
        """
        row_id = int(claim.version)
        settled_row = rules.settle(claim.row, claim, settlement)
        if settled_row is None:
            return False

        def operation(connection: sqlite3.Connection) -> bool:
            if ledger_rows.settle_row(connection, row_id, claim.row, settled_row):
                return True
            # The stored row is not as the claim left it: this settlement came twice, or another worker was faster.
            stored_row = ledger_rows.find_row(connection, row_id)
            if stored_row is None:
                return False
            changed_row = rules.settle(stored_row, claim, settlement)
            if changed_row is None:
                return False
            if changed_row is stored_row:  # this settlement is stored already
                return True
            return ledger_rows.settle_row(connection, row_id, stored_row, changed_row)

        return await self._file.write(operation, is_synced=True, max_wait_seconds=SETTLE_SECONDS)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return the rows whose retry is due between `since` and `now`, oldest first, each with its message."""
        # SQLite uses the partial index only if the state is a literal.
        rest = "WHERE state = 'retry_scheduled' AND retry_at >= ? AND retry_at <= ? ORDER BY retry_at LIMIT ?"
        rows_by_id = self._file.read(
            lambda connection: ledger_rows.read_rows_by_id(connection, rest, (since, now, limit))
        )
        self._remember(rows_by_id)
        return list(rows_by_id.values())

    async def release(self, destination: str, now: float, *, releases_unknown: bool = False) -> int:
        """Forget that the destination is disabled or paused, and make the deliveries that are held for it due, in one
        transaction."""

        def rule(row: LedgerRow) -> LedgerRow | None:
            return rules.release(row, now, releases_unknown=releases_unknown)

        def operation(connection: sqlite3.Connection) -> int:
            connection.execute("DELETE FROM destinations WHERE name = ?", (destination,))
            select = "SELECT id FROM deliveries WHERE destination = ? AND state = 'held'"
            held_ids = connection.execute(select, (destination,)).fetchall()
            released = [ledger_rows.change_row(connection, row_id, rule) for (row_id,) in held_ids]
            return sum(row is not None for row in released)

        return await self._file.write(operation, is_synced=True)  # the number of deliveries that were released

    async def destination_state(self, destination: str) -> DestinationState:
        """Return whether the destination is disabled or paused, as the last commit of any process has it."""
        select = "SELECT disabled_reason, paused_until, pause_reason FROM destinations WHERE name = ?"
        found = self._file.read(lambda connection: connection.execute(select, (destination,)).fetchone())
        return DestinationState(*found) if found else DestinationState()

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        """Return the delivery's row with its attempts; None if the event has no such delivery."""
        found = self._file.read(lambda connection: ledger_rows.find_delivery(connection, event_id, key))
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
        """Return the newest rows that match all that is given, at most `limit`, each with its attempts."""
        filters = {"event_id": event_id, "destination": destination, "state": state}
        rest, values = ledger_rows.conditions(
            {name: value for name, value in filters.items() if value is not None}, before
        )
        rows_by_id = self._file.read(lambda connection: ledger_rows.read_rows_by_id(connection, rest, (*values, limit)))
        if event_id is not None or state == rules.RETRY_SCHEDULED:
            self._remember(rows_by_id)  # The caller may be about to change these deliveries.
        return list(rows_by_id.values())

    async def close(self) -> None:
        """Close the file. No call may be under way."""
        self._file.close()

    async def _change(self, key: str, rule: rules.Rule) -> LedgerRow | None:
        def operation(connection: sqlite3.Connection) -> LedgerRow | None:
            row_id = ledger_rows.find_id(connection, key, self._row_ids.get(key))
            return None if row_id is None else ledger_rows.change_row(connection, row_id, rule)

        return await self._file.write(operation, is_synced=True)

    async def _change_claimed(self, claim: Claimed, rule: rules.Rule) -> Claimed | None:
        row_id = int(claim.version)
        row = await self._file.write(
            lambda connection: ledger_rows.change_row(connection, row_id, rule), is_synced=True
        )
        return None if row is None else claim._replace(row=row)

    async def _write_destination(self, destination: str, fields: Mapping[str, str | float]) -> None:
        names = ", ".join(fields)
        assignments = ", ".join(f"{name} = excluded.{name}" for name in fields)
        statement = (
            f"INSERT INTO destinations (name, {names}) VALUES (?{', ?' * len(fields)})"  # noqa: S608 our own columns
            f" ON CONFLICT (name) DO UPDATE SET {assignments}"
        )
        values = (destination, *fields.values())
        await self._file.write(lambda connection: connection.execute(statement, values), is_synced=True)

    def _remember(self, rows_by_id: Mapping[int, LedgerRow]) -> None:
        """Remember the ids of these rows, and forget those that were remembered first if there are too many.

        A row is read before it is postponed, merged or reopened by its key, so `_change` usually finds its id here.
        """
        self._row_ids |= {row.key: row_id for row_id, row in rows_by_id.items()}
        while len(self._row_ids) > MAX_REMEMBERED:
            del self._row_ids[next(iter(self._row_ids))]


def _with_row_id(answer: Claim, row_id: int) -> Claim:
    """Return the answer, with the row's id as the version if the delivery was claimed."""
    return Claimed(answer.row, answer.message, str(row_id)) if isinstance(answer, Claimed) else answer


def purge_deliveries(path: Path, before: float) -> int:
    """Delete final deliveries that were last written before that time, PURGE_ROWS at most. Return how many.

    Raises sqlite3.Error and OSError.
    """
    with closing(ledger_rows.open_ledger(path)) as connection:
        # A row that was last written before that time was also created before it, so its id is smaller.
        below_id = ledger_rows.first_id_since(connection, before)
        with database.transaction(connection):
            return ledger_rows.delete_rows(connection, below_id, before, PURGE_ROWS)
