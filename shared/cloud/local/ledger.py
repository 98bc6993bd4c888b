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
        self._file = Transactions(path, "ledger_unavailable", open_ledger)
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
            answer, row_id = first_answer, insert_row(connection, new)
            if row_id is None:  # few: most are seen for the first time
                found = find_delivery(connection, new.event_id, new.key)
                assert found is not None
                row_id, row = found
                self._remember({row_id: row})
                answer, changed = take(row)
                if changed is not row:
                    update_row(connection, row_id, row, changed)
            return Claimed(answer.row, answer.message, str(row_id)) if isinstance(answer, Claimed) else answer

        return self._file.write(operation, is_synced=True)

    async def settle(self, claim: Claimed, settlement: Settlement) -> bool:
        """Record the outcome. Return False if the delivery was claimed or moved since, which changes its fence."""
        row_id = int(claim.version)
        settled = rules.settle(claim.row, claim, settlement)
        if settled is None:
            return False

        def operation(connection: sqlite3.Connection) -> bool:
            if settle_row(connection, row_id, claim.row, settled):
                return True
            row = find_row(connection, row_id)
            changed = None if row is None else rules.settle(row, claim, settlement)
            if row is None or changed is None:
                return False
            return changed is row or settle_row(connection, row_id, row, changed)

        return await self._file.write(operation, is_synced=True, max_wait_seconds=SETTLE_SECONDS)

    async def due(self, now: float, limit: int, since: float = 0.0) -> Sequence[LedgerRow]:
        # The literal is what lets SQLite use the partial index.
        rest = "WHERE state = 'retry_scheduled' AND retry_at >= ? AND retry_at <= ? ORDER BY retry_at LIMIT ?"
        found = self._file.read(lambda connection: read_rows_by_id(connection, rest, (since, now, limit)))
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
        wanted = {"event_id": event_id, "destination": destination, "state": state}
        rest, values = conditions({name: value for name, value in wanted.items() if value is not None}, before)
        found = self._file.read(lambda connection: read_rows_by_id(connection, rest, (*values, limit)))
        if event_id is not None:
            self._remember(found)  # whoever looks at an event's deliveries may change them
        return list(found.values())

    async def purge(self, before: float) -> int:
        count = 0
        below_id = self._file.read(lambda connection: first_id_since(connection, before))
        while forgotten := await self._file.write(
            lambda connection: forget(connection, below_id, before, PURGE_ROWS), is_synced=True
        ):
            count += forgotten
        return count

    async def close(self) -> None:
        self._file.close()

    async def _change(self, key: str, rule: Rule) -> LedgerRow | None:
        def operation(connection: sqlite3.Connection) -> LedgerRow | None:
            row_id = find_id(connection, key, self._ids.get(key))
            return None if row_id is None else change_row(connection, row_id, rule)

        return await self._file.write(operation, is_synced=True)

    async def _change_claimed(self, claim: Claimed, rule: Rule) -> Claimed | None:
        row_id = int(claim.version)
        row = await self._file.write(lambda connection: change_row(connection, row_id, rule), is_synced=True)
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
        change_row(connection, row_id, lambda row: rules.release(row, now))
    return len(held)


FILE_NAME: Final = "ledger.db"
MAX_ID: Final = 2**63 - 1

Value: TypeAlias = str | float | bytes | None

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
_TO_VERSION_7: Final = (
    "ALTER TABLE deliveries ADD COLUMN group_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE destinations ADD COLUMN pause_reason TEXT NOT NULL DEFAULT ''",
)
_TO_VERSION_8: Final = ("ALTER TABLE deliveries ADD COLUMN merged INTEGER NOT NULL DEFAULT 0",)
_TO_VERSION_9: Final = ("ALTER TABLE deliveries ADD COLUMN slot_at REAL NOT NULL DEFAULT 0",)
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS deliveries_destination ON deliveries (destination, created_at)",
    *_WAITING_INDEXES,
)
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

_INDEXED: Final = ("held", "dead_lettered", "retry_scheduled")

# In the order of LedgerRow's fields.
_COLUMNS: Final = (
    "key, event_id, route, destination, state, fence, generation, attempt_number, retry_at, reason, answer, "
    "created_at, updated_at, message, payload_hash, lease_until, crashes, unknown_count, group_id, merged, replays, "
    "slot_at, undelivered_since, attempts"
)
_COLUMNS_OF_VERSION_6: Final = _COLUMNS.replace("group_id, merged, ", "").replace("slot_at, undelivered_since, ", "")
_TO_VERSION_6: Final = (
    "ALTER TABLE deliveries RENAME TO deliveries_before",
    _DELIVERIES,
    f"INSERT INTO deliveries (id, {_COLUMNS_OF_VERSION_6})"  # noqa: S608 our own columns
    f" SELECT id, {_COLUMNS_OF_VERSION_6} FROM deliveries_before",
    "DROP TABLE deliveries_before",
    *_INDEXES,
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


def find_delivery(connection: sqlite3.Connection, event_id: str, key: str) -> tuple[int, LedgerRow] | None:
    """Return the row's id and the row."""
    values = connection.execute(f"{_READ} WHERE event_id = ? AND key = ?", (event_id, key)).fetchone()
    return None if values is None else (values[0], _row(values))


def find_row(connection: sqlite3.Connection, row_id: int) -> LedgerRow | None:
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
    return {found[0]: _row(found) for found in connection.execute(f"{_READ} {rest}", values)}


def conditions(wanted: Mapping[str, str], before: Place | None = None) -> tuple[str, list[Value]]:
    """Return SQL. A state that has an index of its own is written out, which lets SQLite use the index.

    A destination's rows come in the order of their index: by when they were made, and those of a moment by key. Other
    rows come by their ids, which rise with the time too.
    """
    literals = [f"state = '{value}'" for name, value in wanted.items() if name == "state" and value in _INDEXED]
    named = {name: value for name, value in wanted.items() if not (name == "state" and value in _INDEXED)}
    bounds: list[str] = []
    values: list[Value] = [*named.values()]
    if before is not None:
        at, key = before
        bounds = ["created_at <= ?", "(created_at < ? OR key < ?)"]
        values += at, at, key
    where = " AND ".join([*literals, *(f"{name} = ?" for name in named), *bounds])
    # The plus keeps SQLite from reading all rows in the order of their ids to find the few that wait.
    by_id = "+id DESC" if literals else "id DESC"
    order = "created_at DESC, key DESC" if "destination" in wanted else by_id
    return f"{'WHERE ' if where else ''}{where} ORDER BY {order} LIMIT ?", values


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
    changed = None if row is None else rule(row)
    if row is not None and changed is not None and changed is not row:
        update_row(connection, row_id, row, changed)
    return changed


def first_id_since(connection: sqlite3.Connection, at: float) -> int:
    """Return the id of the first row made at that time or later; greater than every id where there is none.

    Ids rise with the time at which rows are made. An index of that time would take a page more of each claim.
    """
    found = connection.execute("SELECT id FROM deliveries WHERE created_at >= ? ORDER BY id LIMIT 1", (at,)).fetchone()
    return int(found[0]) if found else MAX_ID


def forget(connection: sqlite3.Connection, below_id: int, before: float, limit: int) -> int:
    """Delete at most `limit` finished rows below that id, last written before that time. Return how many."""
    found = connection.execute(
        "SELECT id FROM deliveries WHERE id < ? AND updated_at < ?"
        " AND state IN ('delivered', 'dead_lettered', 'merged') LIMIT ?",
        (below_id, before, limit),
    ).fetchall()
    connection.executemany("DELETE FROM deliveries WHERE id = ?", found)
    return len(found)


def _row(values: Sequence[object]) -> LedgerRow:
    _, *known, replays, slot_at, undelivered_since, attempts = values
    ids = () if replays == "[]" else tuple(json.loads(str(replays)))
    row = LedgerRow(*known, ids, slot_at, undelivered_since)  # type: ignore[call-arg, arg-type] # as the columns stand
    return row if attempts == "[]" else with_attempts(row, str(attempts))
