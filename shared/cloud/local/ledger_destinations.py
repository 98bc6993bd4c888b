"""What `ledger.db` holds of whole destinations: which are disabled, paused, or due for release."""

import sqlite3

from shared import ledger_rules as rules
from shared.cloud.local.ledger_tables import change_row
from shared.ledger import DestinationState


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
