"""The tables in `ledger.db`, and how the rows of deliveries are read and written."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, TypeAlias

from shared.cloud.earlier_words import current_reason
from shared.cloud.ledger_writes import attempts_text, with_attempts
from shared.cloud.local.database import open_database, sync_commits
from shared.jsontext import to_json
from shared.ledger import LedgerRow, Place
from shared.ledger_rules import Rule

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
