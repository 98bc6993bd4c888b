"""The Ledger port on SQLite, in `ledger.db`: the ledger, its tables with their upgrades, and the rows read and written.

The protocol itself is in shared/ledger_rules.py.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from secrets import randbits
from typing import Final, TypeAlias

from shared import ledger_rules as rules
from shared.cloud.earlier_words import current_reason
from shared.cloud.ledger_writes import FENCE_BITS, LedgerWrites, attempts_text, with_attempts
from shared.cloud.local.database import Transactions, open_database, sync_commits
from shared.delivery import Delivery
from shared.jsontext import to_json
from shared.ledger import Claim, Claimed, DestinationState, LedgerRow, Place, Settlement
from shared.ledger_rules import Rule

FILE_NAME: Final = "ledger.db"
SETTLE_SECONDS: Final = 0.002
"""A settlement waits so long for the next claim, to share its commit: under load this saves half of the commits."""
MAX_REMEMBERED: Final = 100_000
"""The row ids kept in memory: 25 MB. To find a row without its id, SQLite reads the whole table, and a sweep lists
thousands of rows before it moves them."""
PURGE_ROWS: Final = 1_000
"""Deleted in one transaction, so that no claim waits long behind a purge."""

Value: TypeAlias = str | float | bytes | None
DecideClaim: TypeAlias = Callable[[LedgerRow], tuple[Claim, LedgerRow]]
"""From a stored row to the answer, and to the row as it is then: the same object where nothing changes."""


class LocalLedger(LedgerWrites):
    """The ledger of one process; others may have the file open as well.

    All methods run on the event loop itself. A write returns once it is committed and synced to the disk, and shares
    its transaction with the writes of the same moment; if it fails, all of them are rolled back. A read does not wait
    for writers. Every method raises Temporary (`ledger_unavailable`) if the file cannot be read or written, or if
    another process keeps it locked for BUSY_SECONDS.

    A claim's `version` is the id of its row.
    """

    def __init__(self, path: Path) -> None:
        self._file = Transactions(path, "ledger_unavailable", open_ledger)
        self._row_ids: dict[str, int] = {}

    async def claim(
        self, delivery: Delivery, message: bytes, now: float, lease_seconds: float, due_fence: int | None = None
    ) -> Claim:
        """Claim the delivery for `lease_seconds`. The attempt is stored as begun before this returns."""
        fence = randbits(FENCE_BITS)
        payload_hash = delivery.event.payloadhash
        first_claim = rules.first_claim(delivery, delivery.id, message, now, lease_seconds, fence)

        def claim_stored(row: LedgerRow) -> tuple[Claim, LedgerRow]:
            return rules.claim(row, payload_hash, message, now, lease_seconds, due_fence, fence)

        return await self._insert_or_change(first_claim, first_claim.row, claim_stored)

    async def gather(self, delivery: Delivery, message: bytes, group: str, reason: str, now: float, at: float) -> Claim:
        """Let the delivery wait in its group. Return Gathered once that is stored, or why it does not wait there."""
        fence = randbits(FENCE_BITS)
        payload_hash = delivery.event.payloadhash

        def gather_stored(row: LedgerRow) -> tuple[Claim, LedgerRow]:
            return rules.gather(row, payload_hash, message, group, reason, now, at, fence)

        answer, gathered_row = gather_stored(rules.new_row(delivery, delivery.id, now))
        return await self._insert_or_change(answer, gathered_row, gather_stored)

    def _insert_or_change(self, new_answer: Claim, new_row: LedgerRow, decide: DecideClaim) -> "asyncio.Future[Claim]":
        """Insert the row and answer `new_answer`. If the delivery has a row, decide by that one instead."""

        def operation(connection: sqlite3.Connection) -> Claim:
            row_id = insert_row(connection, new_row)
            if row_id is not None:  # as most are: they are seen for the first time
                return _with_row_id(new_answer, row_id)
            stored = find_delivery(connection, new_row.event_id, new_row.key)
            assert stored is not None
            row_id, row = stored
            self._remember({row_id: row})
            answer, changed_row = decide(row)
            if changed_row is not row:
                update_row(connection, row_id, row, changed_row)
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
            return changed_row is stored_row or settle_row(connection, row_id, stored_row, changed_row)

        return await self._file.write(operation, is_synced=True, max_wait_seconds=SETTLE_SECONDS)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        """Return the rows whose retry is due between `since` and `now`, oldest first, each with its message."""
        # The literal is what lets SQLite use the partial index.
        rest = "WHERE state = 'retry_scheduled' AND retry_at >= ? AND retry_at <= ? ORDER BY retry_at LIMIT ?"
        rows_by_id = self._file.read(lambda connection: read_rows_by_id(connection, rest, (since, now, limit)))
        self._remember(rows_by_id)
        return list(rows_by_id.values())

    async def disable(self, destination: str, reason: str, now: float) -> None:
        """Let the destination take no delivery until `release`."""
        await self._write_destination(destination, now, {"disabled_reason": reason})

    async def pause(self, destination: str, until: float, now: float, reason: str = "") -> None:
        """Let the destination's deliveries wait until that time, or until `release`."""
        await self._write_destination(destination, now, {"paused_until": until, "pause_reason": reason})

    async def release(self, destination: str, now: float) -> int:
        """Forget that the destination is disabled or paused, and make what is held for it due, in one transaction."""

        def operation(connection: sqlite3.Connection) -> int:
            connection.execute("DELETE FROM destinations WHERE name = ?", (destination,))
            select = "SELECT id FROM deliveries WHERE destination = ? AND state = 'held'"
            held_ids = connection.execute(select, (destination,)).fetchall()
            for (row_id,) in held_ids:
                change_row(connection, row_id, lambda row: rules.release(row, now))
            return len(held_ids)

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
        if event_id is not None:
            self._remember(rows_by_id)  # whoever looks at an event's deliveries may change them
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

    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        def operation(connection: sqlite3.Connection) -> LedgerRow | None:
            row_id = find_id(connection, key, self._row_ids.get(key))
            return None if row_id is None else change_row(connection, row_id, rule)

        return await self._file.write(operation, is_synced=True)

    async def _change_claimed(self, claim: Claimed, rule: Rule) -> Claimed | None:
        row_id = int(claim.version)
        row = await self._file.write(lambda connection: change_row(connection, row_id, rule), is_synced=True)
        return None if row is None else claim._replace(row=row)

    async def _write_destination(self, destination: str, now: float, columns: Mapping[str, str | float]) -> None:
        names = ", ".join(columns)
        assignments = ", ".join(f"{name} = excluded.{name}" for name in (*columns, "updated_at"))
        statement = (
            f"INSERT INTO destinations (name, updated_at, {names}) VALUES (?, ?{', ?' * len(columns)})"  # noqa: S608 ours
            f" ON CONFLICT (name) DO UPDATE SET {assignments}"
        )
        values = (destination, now, *columns.values())
        await self._file.write(lambda connection: connection.execute(statement, values), is_synced=True)

    def _remember(self, rows_by_id: Mapping[int, LedgerRow]) -> None:
        """Remember the ids of the newest rows that were read: what is moved or reopened was read before."""
        self._row_ids |= {row.key: row_id for row_id, row in rows_by_id.items()}
        while len(self._row_ids) > MAX_REMEMBERED:
            del self._row_ids[next(iter(self._row_ids))]


def _with_row_id(answer: Claim, row_id: int) -> Claim:
    return answer._replace(version=str(row_id)) if isinstance(answer, Claimed) else answer


def find_delivery(connection: sqlite3.Connection, event_id: str, key: str) -> tuple[int, LedgerRow] | None:
    """Return the row's id and the row."""
    values = connection.execute(f"{_READ} WHERE event_id = ? AND key = ?", (event_id, key)).fetchone()
    return None if values is None else (values[0], _row(values))


def find_row(connection: sqlite3.Connection, row_id: int) -> LedgerRow | None:
    """Return the row with its message and attempts; None if it was deleted."""
    values = connection.execute(f"{_READ} WHERE id = ?", (row_id,)).fetchone()
    return None if values is None else _row(values)


def find_id(connection: sqlite3.Connection, key: str, expected: int | None = None) -> int | None:
    """Return the id of the delivery's row. Unless it is the expected one, all rows are read: no index begins with keys.

    SQLite gives the id of a deleted row to another delivery.
    """
    select = "SELECT id FROM deliveries WHERE key = ?"
    found = connection.execute(f"{select} AND id = ?", (key, expected)).fetchone() if expected else None
    found = found or connection.execute(select, (key,)).fetchone()
    return None if found is None else int(found[0])


def read_rows(connection: sqlite3.Connection, rest: str, values: Sequence[Value]) -> list[LedgerRow]:
    """Return the rows that `rest` selects, which is ours and never a caller's text."""
    return list(read_rows_by_id(connection, rest, values).values())


def read_rows_by_id(connection: sqlite3.Connection, rest: str, values: Sequence[Value]) -> dict[int, LedgerRow]:
    """Return the rows that `rest` selects by their ids, in the order of the selection."""
    return {found[0]: _row(found) for found in connection.execute(f"{_READ} {rest}", values)}


def conditions(filters: Mapping[str, str], before: Place | None = None) -> tuple[str, list[Value]]:
    """Return how a SELECT of such rows ends, newest first, and its values but for the limit.

    A destination's rows come in the order of their index: by when they were made, and those of a moment by key. Other
    rows come by their ids, which rise with the time too.
    """
    has_partial_index = filters.get("state") in _INDEXED_STATES
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
        clauses += "created_at <= ?", "(created_at < ? OR key < ?)"
        values += created_at, created_at, key
    # The plus keeps SQLite from reading all rows in the order of their ids to find the few that wait.
    order = "+id DESC" if has_partial_index else "id DESC"
    if "destination" in filters:
        order = "created_at DESC, key DESC"
    where = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    return f"{where} ORDER BY {order} LIMIT ?", values


def insert_row(connection: sqlite3.Connection, row: LedgerRow) -> int | None:
    """Add the row that a new delivery has, and return its id. Return None if the delivery has a row."""
    values = (row.key, row.event_id, row.route, row.destination, row.state, row.fence, row.attempt_number, row.retry_at,
              row.reason, row.created_at, row.updated_at, row.message, row.payload_hash, row.lease_until, row.group,
              row.merged)  # fmt: skip
    cursor = connection.execute(_INSERT, values)
    return cursor.lastrowid if cursor.rowcount == 1 else None


def settle_row(connection: sqlite3.Connection, row_id: int, before: LedgerRow, row: LedgerRow) -> bool:
    """Write what settling changes. Return False where the stored row has another fence or state than `before`."""
    values = (row.state, row.attempt_number, row.retry_at, row.reason, row.answer, row.updated_at, row.crashes,
              row.unknown_count, row.group, row.slot_at, attempts_text(row), row.message, row_id,
              before.fence, before.state)  # fmt: skip
    return connection.execute(_SETTLE, values).rowcount == 1


def update_row(connection: sqlite3.Connection, row_id: int, before: LedgerRow, row: LedgerRow) -> None:
    """Write all that may change, if the stored row has still the fence and the state of `before`."""
    values = (row.state, row.fence, row.generation, row.attempt_number, row.retry_at, row.reason, row.answer,
              row.updated_at, row.lease_until, row.crashes, row.unknown_count, row.group, _replays_text(row),
              row.slot_at, row.undelivered_since, attempts_text(row), row.message, row_id, before.fence,
              before.state)  # fmt: skip
    connection.execute(_UPDATE, values)


def _replays_text(row: LedgerRow) -> str:
    return to_json(list(row.replays)) if row.replays else "[]"


def change_row(connection: sqlite3.Connection, row_id: int, rule: Rule) -> LedgerRow | None:
    """Write what the rule makes of the row, and return it; None if there is no row or the rule rejects it."""
    row = find_row(connection, row_id)
    if row is None:
        return None
    changed_row = rule(row)
    if changed_row is not None and changed_row is not row:
        update_row(connection, row_id, row, changed_row)
    return changed_row


def first_id_since(connection: sqlite3.Connection, at: float) -> int:
    """Return the id of the first row made at that time or later; greater than every id where there is none.

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


def _row(values: Sequence[object]) -> LedgerRow:
    _, *until_merged, replays, slot_at, undelivered_since, attempts = values  # in the order of _COLUMNS
    replay_ids = () if replays == "[]" else tuple(json.loads(str(replays)))
    row = LedgerRow(*until_merged, replay_ids, slot_at, undelivered_since)  # type: ignore[call-arg, arg-type] # as above
    return row if attempts == "[]" else with_attempts(row, str(attempts))


# The file and its tables

MAX_ID: Final = 2**63 - 1

# In the order of LedgerRow's fields.
_COLUMNS: Final = (
    "key, event_id, route, destination, state, fence, generation, attempt_number, retry_at, reason, answer, "
    "created_at, updated_at, message, payload_hash, lease_until, crashes, unknown_count, group_id, merged, replays, "
    "slot_at, undelivered_since, attempts"
)

_INDEXED_STATES: Final = ("held", "dead_lettered", "retry_scheduled")

_READ: Final = f"SELECT id, {_COLUMNS} FROM deliveries"  # noqa: S608 our own columns
# What is left out has its default in a new row, in the table or here.
_INSERT: Final = """
INSERT INTO deliveries (key, event_id, route, destination, state, fence, attempt_number, retry_at, reason, created_at,
    updated_at, message, payload_hash, lease_until, group_id, merged, generation, answer, crashes, replays)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', 0, '[]') ON CONFLICT (event_id, key) DO NOTHING
"""
_UPDATE: Final = """
UPDATE deliveries SET state = ?, fence = ?, generation = ?, attempt_number = ?, retry_at = ?, reason = ?, answer = ?,
    updated_at = ?, lease_until = ?, crashes = ?, unknown_count = ?, group_id = ?, replays = ?, slot_at = ?,
    undelivered_since = ?, attempts = ?, message = ?
WHERE id = ? AND fence = ? AND state = ?
"""
_SETTLE: Final = """
UPDATE deliveries SET state = ?, attempt_number = ?, retry_at = ?, reason = ?, answer = ?, updated_at = ?, crashes = ?,
    unknown_count = ?, group_id = ?, slot_at = ?, attempts = ?, message = ?
WHERE id = ? AND fence = ? AND state = ?
"""

# The partial indexes hold only what waits, and cost the others nothing.
_WAITING_INDEX: Final = (
    "CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (destination, created_at)"
    " WHERE state = 'retry_scheduled'"
)
_WAITING_INDEXES: Final = (
    _WAITING_INDEX,
    "CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (retry_at) WHERE state = 'retry_scheduled'",
    "CREATE INDEX IF NOT EXISTS deliveries_held ON deliveries (destination, created_at) WHERE state = 'held'",
    "CREATE INDEX IF NOT EXISTS deliveries_failed ON deliveries (destination, created_at)"
    " WHERE state = 'dead_lettered'",
)
# Keys and event ids are random, so that each claim writes another page of an index of either. One index has both: it
# finds a delivery by its event and key, and all deliveries of an event.
_DELIVERIES: Final = """
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, event_id TEXT NOT NULL, route TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL, fence INTEGER NOT NULL, generation INTEGER NOT NULL,
    attempt_number INTEGER NOT NULL, retry_at REAL, reason TEXT NOT NULL, answer TEXT NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL, payload_hash TEXT NOT NULL, lease_until REAL NOT NULL,
    crashes INTEGER NOT NULL, replays TEXT NOT NULL, unknown_count INTEGER NOT NULL DEFAULT 0,
    attempts TEXT NOT NULL DEFAULT '[]', message BLOB NOT NULL DEFAULT x'', UNIQUE (event_id, key))
"""
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS deliveries_destination ON deliveries (destination, created_at)",
    *_WAITING_INDEXES,
)
_TO_VERSION_2: Final = ("ALTER TABLE deliveries ADD COLUMN unknown_count INTEGER NOT NULL DEFAULT 0",)
# The words for the states changed. An index with an old word in its condition would never be used again.
_TO_VERSION_3: Final = (
    "UPDATE deliveries SET reason = current_reason(state, reason)",
    "UPDATE deliveries SET state = CASE state WHEN 'done' THEN 'delivered' WHEN 'failed' THEN 'dead_lettered'"
    " WHEN 'retry_at' THEN 'retry_scheduled' WHEN 'disabled' THEN 'held' ELSE state END",
    "DROP INDEX deliveries_due",
    "DROP INDEX deliveries_held",
    "DROP INDEX deliveries_failed",
    *_WAITING_INDEXES,
)
_TO_VERSION_4: Final = (
    "ALTER TABLE deliveries ADD COLUMN attempts TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE deliveries ADD COLUMN message BLOB NOT NULL DEFAULT x''",
    "UPDATE deliveries SET message = (SELECT message FROM messages WHERE messages.id = deliveries.id)"
    " WHERE state NOT IN ('delivered', 'dead_lettered') AND id IN (SELECT id FROM messages)",
    "DROP TABLE messages",
)
_TO_VERSION_5: Final = ("DROP INDEX IF EXISTS deliveries_created",)
_COLUMNS_OF_VERSION_6: Final = _COLUMNS.replace("group_id, merged, ", "").replace("slot_at, undelivered_since, ", "")
_TO_VERSION_6: Final = (
    "ALTER TABLE deliveries RENAME TO deliveries_before",
    _DELIVERIES,
    f"INSERT INTO deliveries (id, {_COLUMNS_OF_VERSION_6})"  # noqa: S608 our own columns
    f" SELECT id, {_COLUMNS_OF_VERSION_6} FROM deliveries_before",
    "DROP TABLE deliveries_before",
    *_INDEXES,
)
_TO_VERSION_7: Final = (
    "ALTER TABLE deliveries ADD COLUMN group_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE destinations ADD COLUMN pause_reason TEXT NOT NULL DEFAULT ''",
)
_TO_VERSION_8: Final = ("ALTER TABLE deliveries ADD COLUMN merged INTEGER NOT NULL DEFAULT 0",)
_TO_VERSION_9: Final = ("ALTER TABLE deliveries ADD COLUMN slot_at REAL NOT NULL DEFAULT 0",)
_TO_VERSION_10: Final = (
    *(f"DROP INDEX IF EXISTS deliveries_{name}" for name in ("destination", "held", "failed")),
    *_INDEXES,
)
_TO_VERSION_11: Final = ("ALTER TABLE deliveries ADD COLUMN undelivered_since INTEGER NOT NULL DEFAULT 0",)
_TO_VERSION_12: Final = (_WAITING_INDEX,)
_TO_VERSION_13: Final = (
    "UPDATE deliveries SET reason = current_reason(state, reason) WHERE reason LIKE '%hookchain release%'",
    "UPDATE destinations SET disabled_reason = current_reason('', disabled_reason)"
    " WHERE disabled_reason LIKE '%hookchain release%'",
)
_UPGRADES: Final = (
    _TO_VERSION_2,
    _TO_VERSION_3,
    _TO_VERSION_4,
    _TO_VERSION_5,
    _TO_VERSION_6,
    _TO_VERSION_7,
    _TO_VERSION_8,
    _TO_VERSION_9,
    _TO_VERSION_10,
    _TO_VERSION_11,
    _TO_VERSION_12,
    _TO_VERSION_13,
)
_SCHEMA: Final = (
    _DELIVERIES,
    "CREATE TABLE IF NOT EXISTS destinations ("
    "name TEXT PRIMARY KEY, disabled_reason TEXT, paused_until REAL, updated_at REAL NOT NULL)",
    *_TO_VERSION_7,
    *_TO_VERSION_8,
    *_TO_VERSION_9,
    *_TO_VERSION_11,
    *_INDEXES,
)


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open the ledger, and create its file where it is missing. Raises sqlite3.Error and OSError."""
    connection = open_database(path, upgrade=_upgrade)
    # The bus forgets a message once its outcome is in here: a power cut must not lose the one without the other.
    sync_commits(connection, True)
    return connection


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    connection.create_function("current_reason", 2, current_reason)
    for statement in chain.from_iterable(_UPGRADES[version - 1 :]) if version else _SCHEMA:
        connection.execute(statement)
