"""The tables of `ledger.db`, and how a row of theirs is read and written."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from shared import ledger_rules as rules
from shared.cloud.local.database import open_database, sync_commits, transaction
from shared.errors import Temporary
from shared.jsontext import to_json
from shared.ledger import DestinationState, LedgerRow
from shared.ledger_rules import Rule

FILE_NAME: Final = "ledger.db"
VERSION: Final = 2

Value: TypeAlias = str | float | bytes | None

# A delivery's message, by far its largest part, rests in a table of its own, so that a change of state rewrites a
# small row. The partial indexes hold only what waits, and cost the others nothing.
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, event_id TEXT NOT NULL, route TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL, fence INTEGER NOT NULL, generation INTEGER NOT NULL,
    attempt_number INTEGER NOT NULL, retry_at REAL, reason TEXT NOT NULL, answer TEXT NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL, payload_hash TEXT NOT NULL, lease_until REAL NOT NULL,
    crashes INTEGER NOT NULL, replays TEXT NOT NULL, unknown_count INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event_id);
CREATE INDEX IF NOT EXISTS deliveries_destination ON deliveries (destination);
CREATE INDEX IF NOT EXISTS deliveries_created ON deliveries (created_at);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (retry_at) WHERE state = 'retry_at';
CREATE INDEX IF NOT EXISTS deliveries_held ON deliveries (destination) WHERE state = 'disabled';
CREATE INDEX IF NOT EXISTS deliveries_failed ON deliveries (destination) WHERE state = 'failed';
CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, message BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS destinations (
    name TEXT PRIMARY KEY, disabled_reason TEXT, paused_until REAL, updated_at REAL NOT NULL);
PRAGMA user_version = {VERSION};
COMMIT;
"""

_INDEXED: Final = ("disabled", "failed", "retry_at")

# In the order of LedgerRow's fields; its message, which only readers need, stands between the two.
_BEFORE: Final = (
    "key, event_id, route, destination, state, fence, generation, attempt_number, retry_at, reason, answer, "
    "created_at, updated_at"
)
_AFTER: Final = "payload_hash, lease_until, crashes, unknown_count, replays"
_FIND: Final = f"SELECT {_BEFORE}, x'', {_AFTER} FROM deliveries WHERE key = ?"  # noqa: S608 our own columns
_READ: Final = f"SELECT {_BEFORE}, message, {_AFTER} FROM deliveries JOIN messages USING (id)"  # noqa: S608 our own columns
_INSERT: Final = f"INSERT INTO deliveries ({_BEFORE}, {_AFTER}) VALUES (?{17 * ',?'})"  # noqa: S608
_UPDATE: Final = """
UPDATE deliveries SET state = ?, fence = ?, generation = ?, attempt_number = ?, retry_at = ?, reason = ?, answer = ?,
    updated_at = ?, lease_until = ?, crashes = ?, unknown_count = ?, replays = ? WHERE key = ?
"""


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open the ledger, and create its file where it is missing. Raises sqlite3.Error, OSError and Temporary."""
    connection = open_database(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise Temporary(
                "ledger_unavailable", f"{path.name} is of version {version}, made by a newer Hookchain; ours: {VERSION}"
            )
        if version == 1:
            _upgrade(connection)
        elif version < VERSION:
            connection.executescript(_SCHEMA)
        # The bus forgets a message once its outcome is in here: a power cut must not lose the one without the other.
        sync_commits(connection, True)
    except BaseException:
        connection.close()
        raise
    return connection


def _upgrade(connection: sqlite3.Connection) -> None:
    """Upgrade from version 1 to 2. Another process may have done it since the version was read."""
    with transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 1:
            connection.execute("ALTER TABLE deliveries ADD COLUMN unknown_count INTEGER NOT NULL DEFAULT 0")
            connection.execute("PRAGMA user_version = 2")


def find_row(connection: sqlite3.Connection, key: str) -> LedgerRow | None:
    """Return the row without its message."""
    values = connection.execute(_FIND, (key,)).fetchone()
    return None if values is None else _row(values)


def read_rows(connection: sqlite3.Connection, rest: str, values: Sequence[Value]) -> list[LedgerRow]:
    """Return the rows that `rest` selects, which is ours and never a caller's text."""
    return [_row(found) for found in connection.execute(f"{_READ} {rest}", values)]


def conditions(wanted: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return SQL. A state that has an index of its own is written out, which lets SQLite use the index."""
    literals = [f"state = '{value}'" for name, value in wanted.items() if name == "state" and value in _INDEXED]
    named = {name: value for name, value in wanted.items() if not (name == "state" and value in _INDEXED)}
    where = " AND ".join([*literals, *(f"{name} = ?" for name in named)])
    return f"{'WHERE ' if where else ''}{where} ORDER BY id DESC LIMIT ?", list(named.values())


def insert_row(connection: sqlite3.Connection, row: LedgerRow) -> None:
    values = (row.key, row.event_id, row.route, row.destination, row.state, row.fence, row.generation,
              row.attempt_number, row.retry_at, row.reason, row.answer, row.created_at, row.updated_at,
              row.payload_hash, row.lease_until, row.crashes, row.unknown_count,
              to_json(list(row.replays)))  # fmt: skip
    row_id = connection.execute(_INSERT, values).lastrowid
    connection.execute("INSERT INTO messages (id, message) VALUES (?, ?)", (row_id, row.message))


def update_row(connection: sqlite3.Connection, row: LedgerRow) -> None:
    """Write everything but its message, and what never changes."""
    values = (row.state, row.fence, row.generation, row.attempt_number, row.retry_at, row.reason, row.answer,
              row.updated_at, row.lease_until, row.crashes, row.unknown_count, to_json(list(row.replays)),
              row.key)  # fmt: skip
    connection.execute(_UPDATE, values)


def update_message(connection: sqlite3.Connection, key: str, message: bytes) -> None:
    connection.execute(
        "UPDATE messages SET message = ? WHERE id = (SELECT id FROM deliveries WHERE key = ?)", (message, key)
    )


def change_row(connection: sqlite3.Connection, key: str, rule: Rule) -> LedgerRow | None:
    """Write what the rule makes of the row, and return it; None where there is no row or the rule refuses."""
    row = find_row(connection, key)
    changed = None if row is None else rule(row)
    if changed is not None and changed is not row:
        update_row(connection, changed)
    return changed


def forget(connection: sqlite3.Connection, before: float, limit: int) -> int:
    """Delete at most `limit` finished rows last written before that time, which were therefore made before it too."""
    found = connection.execute(
        "SELECT id FROM deliveries WHERE created_at < ? AND updated_at < ? AND state IN ('done', 'failed') LIMIT ?",
        (before, before, limit),
    ).fetchall()
    for table in ("messages", "deliveries"):
        connection.executemany(f"DELETE FROM {table} WHERE id = ?", found)  # noqa: S608 the two names above
    return len(found)


def _row(values: Sequence[object]) -> LedgerRow:
    *before, replays = values
    return LedgerRow(*before, tuple(json.loads(str(replays))))  # type: ignore[call-arg, arg-type] # as the columns stand


def set_disabled(connection: sqlite3.Connection, destination: str, reason: str, now: float) -> None:
    connection.execute(
        "INSERT INTO destinations (name, disabled_reason, updated_at) VALUES (?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET disabled_reason = excluded.disabled_reason, updated_at = excluded.updated_at",
        (destination, reason, now),
    )


def set_paused(connection: sqlite3.Connection, destination: str, until: float, now: float) -> None:
    connection.execute(
        "INSERT INTO destinations (name, paused_until, updated_at) VALUES (?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET paused_until = excluded.paused_until, updated_at = excluded.updated_at",
        (destination, until, now),
    )


def destination_state(connection: sqlite3.Connection, destination: str) -> DestinationState:
    found = connection.execute(
        "SELECT disabled_reason, paused_until FROM destinations WHERE name = ?", (destination,)
    ).fetchone()
    return DestinationState(*found) if found else DestinationState()


def release(connection: sqlite3.Connection, destination: str, now: float) -> int:
    connection.execute("DELETE FROM destinations WHERE name = ?", (destination,))
    held = connection.execute(
        "SELECT key FROM deliveries WHERE destination = ? AND state = 'disabled'", (destination,)
    ).fetchall()
    for (key,) in held:
        change_row(connection, key, lambda row: rules.release(row, now))
    return len(held)
