"""Looking into the journal by the beginning of an id, and for a stored event alone."""

import sqlite3
from typing import Final, Literal

_BEGINNING: Final = {
    table: f"SELECT id FROM {table}"  # noqa: S608 either name stands here
    " WHERE id >= :start AND id < :start || char(1114111) ORDER BY id LIMIT :limit"
    for table in ("events", "dead_letters")
}


def ids_beginning(
    connection: sqlite3.Connection, table: Literal["events", "dead_letters"], beginning: str, limit: int
) -> list[str]:
    return [row[0] for row in connection.execute(_BEGINNING[table], {"start": beginning, "limit": limit})]


def stored_document(connection: sqlite3.Connection, event_id: str) -> str | None:
    """The event's CloudEvent as JSON text; None before transform has seen it, and after its body's retention."""
    row = connection.execute("SELECT document FROM bodies WHERE event_id = ?", (event_id,)).fetchone()
    return row[0] or None if row else None


def has_document(connection: sqlite3.Connection, event_id: str) -> bool:
    found = connection.execute("SELECT 1 FROM bodies WHERE event_id = ? AND document <> ''", (event_id,))
    return found.fetchone() is not None
