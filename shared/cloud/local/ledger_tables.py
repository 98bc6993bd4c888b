"""The tables of `ledger.db`: those of a new file, and the upgrades of a file that an earlier version wrote."""

import sqlite3
from pathlib import Path
from typing import Final

from shared.cloud.earlier_words import current_reason
from shared.cloud.local.database import open_database, sync_commits

# Keys and event ids are random, so that each claim writes another page of an index of either. One index has both: it
# finds a delivery by its event and key, and all deliveries of an event.
_DELIVERIES: Final = """
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, event_id TEXT NOT NULL, route TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL, fence INTEGER NOT NULL, generation INTEGER NOT NULL,
    attempt_number INTEGER NOT NULL, retry_at REAL, reason TEXT NOT NULL, answer TEXT NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL, payload_hash TEXT NOT NULL, lease_until REAL NOT NULL,
    crashes INTEGER NOT NULL, replays TEXT NOT NULL, unknown_count INTEGER NOT NULL DEFAULT 0,
    attempts TEXT NOT NULL DEFAULT '[]', message BLOB NOT NULL DEFAULT x'', group_id TEXT NOT NULL DEFAULT '',
    merged INTEGER NOT NULL DEFAULT 0, slot_at REAL NOT NULL DEFAULT 0,
    undelivered_since INTEGER NOT NULL DEFAULT 0, UNIQUE (event_id, key))
"""
_DESTINATIONS: Final = """
CREATE TABLE IF NOT EXISTS destinations (
    name TEXT PRIMARY KEY, disabled_reason TEXT, paused_until REAL, updated_at REAL NOT NULL,
    pause_reason TEXT NOT NULL DEFAULT '')
"""

INDEXED_STATES: Final = ("held", "dead_lettered", "retry_scheduled")
"""The states that have partial indexes, which hold only the rows in that state, and cost the others nothing."""
_WAITING_INDEX: Final = (
    "CREATE INDEX IF NOT EXISTS deliveries_waiting ON deliveries (destination, created_at)"
    " WHERE state = 'retry_scheduled'"
)
_PARTIAL_INDEXES: Final = (
    _WAITING_INDEX,
    "CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (retry_at) WHERE state = 'retry_scheduled'",
    "CREATE INDEX IF NOT EXISTS deliveries_held ON deliveries (destination, created_at) WHERE state = 'held'",
    "CREATE INDEX IF NOT EXISTS deliveries_failed ON deliveries (destination, created_at)"
    " WHERE state = 'dead_lettered'",
)
# The upgrades to versions 3, 6 and 10 create these indexes too. Add a later index to _SCHEMA and to its own upgrade.
_INDEXES: Final = (
    "CREATE INDEX IF NOT EXISTS deliveries_destination ON deliveries (destination, created_at)",
    *_PARTIAL_INDEXES,
)
_SCHEMA: Final = (_DELIVERIES, _DESTINATIONS, *_INDEXES)

# Upgrades. Each changes a file of the version before. None may use a table above, which a later version can change.
_UPGRADES: Final = {
    2: ("ALTER TABLE deliveries ADD COLUMN unknown_count INTEGER NOT NULL DEFAULT 0",),
    # The words for the states changed. An index with an old word in its condition would never be used again.
    3: (
        "UPDATE deliveries SET reason = current_reason(state, reason)",
        "UPDATE deliveries SET state = CASE state WHEN 'done' THEN 'delivered' WHEN 'failed' THEN 'dead_lettered'"
        " WHEN 'retry_at' THEN 'retry_scheduled' WHEN 'disabled' THEN 'held' ELSE state END",
        "DROP INDEX deliveries_due",
        "DROP INDEX deliveries_held",
        "DROP INDEX deliveries_failed",
        *_PARTIAL_INDEXES,
    ),
    4: (
        "ALTER TABLE deliveries ADD COLUMN attempts TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE deliveries ADD COLUMN message BLOB NOT NULL DEFAULT x''",
        "UPDATE deliveries SET message = (SELECT message FROM messages WHERE messages.id = deliveries.id)"
        " WHERE state NOT IN ('delivered', 'dead_lettered') AND id IN (SELECT id FROM messages)",
        "DROP TABLE messages",
    ),
    5: ("DROP INDEX IF EXISTS deliveries_created",),
    # One index took the place of two, which SQLite does not do to a table that exists.
    6: (
        "ALTER TABLE deliveries RENAME TO deliveries_before",
        """
        CREATE TABLE deliveries (
            id INTEGER PRIMARY KEY, key TEXT NOT NULL, event_id TEXT NOT NULL, route TEXT NOT NULL,
            destination TEXT NOT NULL, state TEXT NOT NULL, fence INTEGER NOT NULL, generation INTEGER NOT NULL,
            attempt_number INTEGER NOT NULL, retry_at REAL, reason TEXT NOT NULL, answer TEXT NOT NULL,
            created_at REAL NOT NULL, updated_at REAL NOT NULL, payload_hash TEXT NOT NULL, lease_until REAL NOT NULL,
            crashes INTEGER NOT NULL, replays TEXT NOT NULL, unknown_count INTEGER NOT NULL DEFAULT 0,
            attempts TEXT NOT NULL DEFAULT '[]', message BLOB NOT NULL DEFAULT x'', UNIQUE (event_id, key))
        """,
        """
        INSERT INTO deliveries (
            id, key, event_id, route, destination, state, fence, generation, attempt_number, retry_at, reason, answer,
            created_at, updated_at, message, payload_hash, lease_until, crashes, unknown_count, replays, attempts)
        SELECT
            id, key, event_id, route, destination, state, fence, generation, attempt_number, retry_at, reason, answer,
            created_at, updated_at, message, payload_hash, lease_until, crashes, unknown_count, replays, attempts
        FROM deliveries_before
        """,
        "DROP TABLE deliveries_before",
        *_INDEXES,
    ),
    7: (
        "ALTER TABLE deliveries ADD COLUMN group_id TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE destinations ADD COLUMN pause_reason TEXT NOT NULL DEFAULT ''",
    ),
    8: ("ALTER TABLE deliveries ADD COLUMN merged INTEGER NOT NULL DEFAULT 0",),
    9: ("ALTER TABLE deliveries ADD COLUMN slot_at REAL NOT NULL DEFAULT 0",),
    10: (
        "DROP INDEX IF EXISTS deliveries_destination",
        "DROP INDEX IF EXISTS deliveries_held",
        "DROP INDEX IF EXISTS deliveries_failed",
        *_INDEXES,
    ),
    11: ("ALTER TABLE deliveries ADD COLUMN undelivered_since INTEGER NOT NULL DEFAULT 0",),
    12: (_WAITING_INDEX,),
    13: (
        "UPDATE deliveries SET reason = current_reason(state, reason) WHERE reason LIKE '%hookchain release%'",
        "UPDATE destinations SET disabled_reason = current_reason('', disabled_reason)"
        " WHERE disabled_reason LIKE '%hookchain release%'",
    ),
}
"""The statements of each upgrade, by the version that the file has after it."""


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open the ledger, and create its file where it is missing. Raises sqlite3.Error and OSError."""
    connection = open_database(path, upgrade=_upgrade)
    # The bus forgets a message once its outcome is in this file, so a power cut must not lose the outcome.
    sync_commits(connection, True)
    return connection


def _upgrade(connection: sqlite3.Connection, file_version: int) -> None:
    """Bring the tables from `file_version` to today's. Version 0 is a new file, which has no tables."""
    if file_version == 0:
        for statement in _SCHEMA:
            connection.execute(statement)
        return
    connection.create_function("current_reason", 2, current_reason)
    for version, statements in _UPGRADES.items():
        if version > file_version:
            for statement in statements:
                connection.execute(statement)
