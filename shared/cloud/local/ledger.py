"""The Ledger port on SQLite, in `ledger.db`, and the statements that read and write its rows.

The protocol itself is in shared/ledger_rules.py, the tables are in shared/cloud/local/ledger_tables.py.
"""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Final, TypeAlias

from shared import jsontext, ledger_rules as rules
from shared.cloud.ledger_writes import DecideClaim, LedgerWrites, attempts_text, with_attempts
from shared.cloud.local import database, ledger_tables
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Place, Settlement

FILE_NAME: Final = "ledger.db"
SETTLE_SECONDS: Final = 0.002
"""The time that a settlement waits for the next claim, to share its commit. Under load, this saves half of the
commits."""
MAX_REMEMBERED: Final = 100_000
"""The row ids kept in memory: 25 MB. To find a row without its id, SQLite reads the whole table, and a sweep lists
thousands of rows before it moves them."""
PURGE_ROWS: Final = 1_000
"""Deleted in one transaction, so that no claim waits long behind a purge."""
MAX_ID: Final = 2**63 - 1
"""The greatest id that SQLite gives a row."""

Value: TypeAlias = str | float | bytes | None


class LocalLedger(LedgerWrites):
    """The ledger of one process; others may have the file open as well.

    All methods run on the event loop itself. A write returns once it is committed and synced to the disk, and shares
    its transaction with the writes of the same moment; if it fails, all of them are rolled back. A read does not wait
    for writers. Every method raises Temporary (`ledger_unavailable`) if the file cannot be read or written, or if
    another process keeps it locked for BUSY_SECONDS.

    A claim's `version` is the id of its row.
    """

    def __init__(self, path: Path) -> None:
        self._file = database.Transactions(path, "ledger_unavailable", ledger_tables.open_ledger)
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
            new_id = insert_row(connection, first_row)
            if new_id is not None:  # most deliveries are seen for the first time
                return _with_row_id(first_answer, new_id)
            stored = find_delivery(connection, first_row.event_id, first_row.key)
            assert stored is not None
            row_id, stored_row = stored
            self._remember({row_id: stored_row})
            answer, changed_row = decide(stored_row)
            if changed_row is not stored_row:
                update_row(connection, row_id, stored_row, changed_row)
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
            if settle_row(connection, row_id, claim.row, settled_row):
                return True
            # The stored row is not as the claim left it: this settlement came twice, or another worker was faster.
            stored_row = find_row(connection, row_id)
            if stored_row is None:
                return False
            changed_row = rules.settle(stored_row, claim, settlement)
            if changed_row is None:
                return False
            if changed_row is stored_row:  # this settlement is stored already
                return True
            return settle_row(connection, row_id, stored_row, changed_row)

        return await self._file.write(operation, is_synced=True, max_wait_seconds=SETTLE_SECONDS)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return the rows whose retry is due between `since` and `now`, oldest first, each with its message."""
        # The literal is what lets SQLite use the partial index.
        rest = "WHERE state = 'retry_scheduled' AND retry_at >= ? AND retry_at <= ? ORDER BY retry_at LIMIT ?"
        rows_by_id = self._file.read(lambda connection: read_rows_by_id(connection, rest, (since, now, limit)))
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
            released = [change_row(connection, row_id, rule) for (row_id,) in held_ids]
            return sum(row is not None for row in released)

        return await self._file.write(operation, is_synced=True)

    async def destination_state(self, destination: str) -> DestinationState:
        """Return whether the destination is disabled or paused, as the last commit of any process has it."""
        select = "SELECT disabled_reason, paused_until, pause_reason FROM destinations WHERE name = ?"
        found = self._file.read(lambda connection: connection.execute(select, (destination,)).fetchone())
        return DestinationState(*found) if found else DestinationState()

    async def row(self, event_id: str, key: str) -> LedgerRow | None:
        """Return the delivery's row with its attempts; None if the event has no such delivery."""
        found = self._file.read(lambda connection: find_delivery(connection, event_id, key))
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
        rest, values = conditions({name: value for name, value in filters.items() if value is not None}, before)
        rows_by_id = self._file.read(lambda connection: read_rows_by_id(connection, rest, (*values, limit)))
        if event_id is not None or state == rules.RETRY_SCHEDULED:
            self._remember(rows_by_id)  # The caller may be about to change these deliveries.
        return list(rows_by_id.values())

    async def purge(self, before: float) -> int:
        """Delete the finished rows last written before that time, PURGE_ROWS a transaction. Return how many."""
        count = 0
        below_id = self._file.read(lambda connection: first_id_since(connection, before))
        while deleted := await self._file.write(
            lambda connection: delete_rows(connection, below_id, before, PURGE_ROWS), is_synced=True
        ):
            count += deleted
        return count

    async def close(self) -> None:
        """Close the file. No call may be under way."""
        self._file.close()

    async def _change(self, key: str, rule: rules.Rule) -> LedgerRow | None:
        def operation(connection: sqlite3.Connection) -> LedgerRow | None:
            row_id = find_id(connection, key, self._row_ids.get(key))
            return None if row_id is None else change_row(connection, row_id, rule)

        return await self._file.write(operation, is_synced=True)

    async def _change_claimed(self, claim: Claimed, rule: rules.Rule) -> Claimed | None:
        row_id = int(claim.version)
        row = await self._file.write(lambda connection: change_row(connection, row_id, rule), is_synced=True)
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
        """Remember the ids of the newest rows that were read, because a row is always read before it is moved or
        reopened."""
        self._row_ids |= {row.key: row_id for row_id, row in rows_by_id.items()}
        while len(self._row_ids) > MAX_REMEMBERED:
            del self._row_ids[next(iter(self._row_ids))]


# Columns. Each list of fields gives a statement its columns, and the values in the same order.

_COLUMN_NAMES: Final = {"group": "group_id"}
"""The columns that are not named as their fields in LedgerRow: `group` is a reserved word in SQL."""
_EMPTY_LIST: Final = "[]"
"""The JSON text in the columns `replays` and `attempts` of most rows. It is not parsed."""

_DEFAULTED_FIELDS: Final = frozenset(
    {"unknown_count", "replays", "slot_at", "undelivered_since", "needs_release", "attempts"}
)
_NEW_FIELDS: Final = tuple(name for name in LedgerRow._fields if name not in _DEFAULTED_FIELDS)
"""The fields that a new row is written with, and an empty `replays`. The others have the defaults of their columns."""
_SETTLED_FIELDS: Final = (
    "state",
    "attempt_number",
    "retry_at",
    "reason",
    "answer",
    "updated_at",
    "message",
    "crashes",
    "unknown_count",
    "group",
    "slot_at",
    "needs_release",
)
"""The fields that settling a claim changes, besides `attempts`."""
_CHANGEABLE_FIELDS: Final = (*_SETTLED_FIELDS, "fence", "generation", "lease_until", "undelivered_since")
"""The fields that all other writes change, besides `attempts` and `replays`."""


def _columns(fields: Sequence[str]) -> str:
    return ", ".join(_COLUMN_NAMES.get(field, field) for field in fields)


def _assignments(fields: Sequence[str]) -> str:
    return ", ".join(f"{_COLUMN_NAMES.get(field, field)} = ?" for field in fields)


# Each getter returns the values of its fields in a row as a tuple. A dictionary of the values by column would be
# plainer, but was measured to take 1 µs more for each claim and each settlement.
_new_values = attrgetter(*_NEW_FIELDS)
_settled_values = attrgetter(*_SETTLED_FIELDS)
_changeable_values = attrgetter(*_CHANGEABLE_FIELDS)

_INSERT: Final = (
    f"INSERT INTO deliveries ({_columns(_NEW_FIELDS)}, replays)"  # noqa: S608 our own columns
    f" VALUES ({', '.join('?' for _ in _NEW_FIELDS)}, '{_EMPTY_LIST}')"
    " ON CONFLICT (event_id, key) DO NOTHING"
)
_SETTLE: Final = (
    f"UPDATE deliveries SET {_assignments(_SETTLED_FIELDS)}, attempts = ?"  # noqa: S608 our own columns
    " WHERE id = ? AND fence = ? AND state = ?"
)
_UPDATE: Final = (
    f"UPDATE deliveries SET {_assignments(_CHANGEABLE_FIELDS)}, attempts = ?, replays = ?"  # noqa: S608 our own columns
    " WHERE id = ? AND fence = ? AND state = ?"
)
_SELECT: Final = f"SELECT id, {_columns(LedgerRow._fields)} FROM deliveries"  # noqa: S608 our own columns
# The positions of the fields that are stored as JSON.
_REPLAYS: Final = LedgerRow._fields.index("replays")
_ATTEMPTS: Final = LedgerRow._fields.index("attempts")


# Rows


def _with_row_id(answer: Claim, row_id: int) -> Claim:
    return Claimed(answer.row, answer.message, str(row_id)) if isinstance(answer, Claimed) else answer


def find_delivery(connection: sqlite3.Connection, event_id: str, key: str) -> tuple[int, LedgerRow] | None:
    """Return the row's id and the row; None if the event has no such delivery."""
    found = connection.execute(f"{_SELECT} WHERE event_id = ? AND key = ?", (event_id, key)).fetchone()
    if found is None:
        return None
    row_id, *fields = found
    return row_id, _row(fields)


def find_row(connection: sqlite3.Connection, row_id: int) -> LedgerRow | None:
    """Return the row with its message and attempts; None if it was deleted."""
    found = connection.execute(f"{_SELECT} WHERE id = ?", (row_id,)).fetchone()
    if found is None:
        return None
    _, *fields = found
    return _row(fields)


def find_id(connection: sqlite3.Connection, key: str, expected: int | None = None) -> int | None:
    """Return the id of the delivery's row. Unless it is the expected one, all rows are read: no index begins with keys.

    SQLite gives the id of a deleted row to another delivery.
    """
    select = "SELECT id FROM deliveries WHERE key = ?"
    found = None
    if expected is not None:
        found = connection.execute(f"{select} AND id = ?", (key, expected)).fetchone()
    if found is None:
        found = connection.execute(select, (key,)).fetchone()
    return None if found is None else int(found[0])


def read_rows_by_id(connection: sqlite3.Connection, rest: str, values: Sequence[Value]) -> dict[int, LedgerRow]:
    """Return the rows by their ids, in the order of the selection.

    `rest` is the end of the SELECT. No caller may put a sender's text into it.
    """
    return {row_id: _row(fields) for row_id, *fields in connection.execute(f"{_SELECT} {rest}", values)}


def _row(fields: list[object]) -> LedgerRow:
    """Return the row with these fields, in the order of LedgerRow. Replaces the JSON texts in the list."""
    replays, attempts = str(fields[_REPLAYS]), str(fields[_ATTEMPTS])
    fields[_REPLAYS] = () if replays == _EMPTY_LIST else tuple(json.loads(replays))
    fields[_ATTEMPTS] = ()
    row = LedgerRow._make(fields)
    return row if attempts == _EMPTY_LIST else with_attempts(row, attempts)


def conditions(filters: Mapping[str, str], before: Place | None = None) -> tuple[str, list[Value]]:
    """Return the end of a SELECT for the wanted rows, newest first, and its values. The caller adds the limit to the
    values.

    The rows of a destination are in the order of their index: by creation time, then by key. Other rows are in the
    order of their ids, which rise with the time too.
    """
    has_partial_index = filters.get("state") in ledger_tables.INDEXED_STATES
    clauses: list[str] = []
    values: list[Value] = []
    for column, value in filters.items():
        if column == "state" and has_partial_index:
            clauses.append(f"state = '{value}'")  # SQLite uses a partial index only for a literal
        else:
            clauses.append(f"{column} = ?")
            values.append(value)
    if before is not None:
        created_at, key = before
        clauses.append("created_at <= ?")
        values.append(created_at)
        clauses.append("(created_at < ? OR key < ?)")
        values.extend([created_at, key])
    # The plus keeps SQLite from reading all rows in the order of their ids to find the few that wait.
    order = "+id DESC" if has_partial_index else "id DESC"
    if "destination" in filters:
        order = "created_at DESC, key DESC"
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    return f"{where} ORDER BY {order} LIMIT ?", values


def insert_row(connection: sqlite3.Connection, row: LedgerRow) -> int | None:
    """Add the row of a new delivery, and return its id. Return None if the delivery has a row."""
    cursor = connection.execute(_INSERT, _new_values(row))
    return cursor.lastrowid if cursor.rowcount == 1 else None


def settle_row(connection: sqlite3.Connection, row_id: int, before: LedgerRow, row: LedgerRow) -> bool:
    """Write what settling changes. Return False if the stored row has another fence or state than `before`."""
    condition = (row_id, before.fence, before.state)
    cursor = connection.execute(_SETTLE, (*_settled_values(row), attempts_text(row), *condition))
    return cursor.rowcount == 1


def update_row(connection: sqlite3.Connection, row_id: int, before: LedgerRow, row: LedgerRow) -> None:
    """Write all that can change, if the stored row still has the fence and the state of `before`."""
    replays = jsontext.to_json(list(row.replays)) if row.replays else _EMPTY_LIST
    condition = (row_id, before.fence, before.state)
    connection.execute(_UPDATE, (*_changeable_values(row), attempts_text(row), replays, *condition))


def change_row(connection: sqlite3.Connection, row_id: int, rule: rules.Rule) -> LedgerRow | None:
    """Write what the rule makes of the row, and return it; None if there is no row or the rule rejects it."""
    row = find_row(connection, row_id)
    if row is None:
        return None
    changed_row = rule(row)
    if changed_row is not None and changed_row is not row:
        update_row(connection, row_id, row, changed_row)
    return changed_row


def first_id_since(connection: sqlite3.Connection, at: float) -> int:
    """Return the id of the first row that was created at that time or later. If there is none, it is greater than every
    id.

    Ids rise with the time at which rows are made. An index of that time would take a page more of each claim.
    """
    found = connection.execute("SELECT id FROM deliveries WHERE created_at >= ? ORDER BY id LIMIT 1", (at,)).fetchone()
    return int(found[0]) if found else MAX_ID


def delete_rows(connection: sqlite3.Connection, below_id: int, before: float, limit: int) -> int:
    """Delete at most `limit` finished rows below that id, last written before that time. Return how many."""
    found = connection.execute(
        "SELECT id FROM deliveries WHERE id < ? AND updated_at < ?"
        " AND state IN ('delivered', 'dead_lettered', 'merged') LIMIT ?",
        (below_id, before, limit),
    ).fetchall()
    connection.executemany("DELETE FROM deliveries WHERE id = ?", found)
    return len(found)
