"""The table of destinations in `ledger.db`: those that are disabled or paused."""

import sqlite3

from shared import ledger_rules as rules
from shared.cloud.local import ledger_tables as tables
from shared.ledger import DestinationState


def set_disabled(connection: sqlite3.Connection, destination: str, reason: str, now: float) -> None:
    connection.execute(
        "INSERT INTO destinations (name, disabled_reason, updated_at) VALUES (?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET disabled_reason = excluded.disabled_reason, updated_at = excluded.updated_at",
        (destination, reason, now),
    )


def set_paused(connection: sqlite3.Connection, destination: str, until: float, now: float, reason: str) -> None:
    connection.execute(
        "INSERT INTO destinations (name, paused_until, pause_reason, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (name)"
        " DO UPDATE SET paused_until = excluded.paused_until, pause_reason = excluded.pause_reason,"
        " updated_at = excluded.updated_at",
        (destination, until, reason, now),
    )


def destination_state(connection: sqlite3.Connection, destination: str) -> DestinationState:
    found = connection.execute(
        "SELECT disabled_reason, paused_until, pause_reason FROM destinations WHERE name = ?", (destination,)
    ).fetchone()
    return DestinationState(*found) if found else DestinationState()


def release(connection: sqlite3.Connection, destination: str, now: float) -> int:
    connection.execute("DELETE FROM destinations WHERE name = ?", (destination,))
    held = connection.execute(
        "SELECT id FROM deliveries WHERE destination = ? AND state = 'held'", (destination,)
    ).fetchall()
    for (row_id,) in held:
        tables.change_row(connection, row_id, lambda row: rules.release(row, now))
    return len(held)
