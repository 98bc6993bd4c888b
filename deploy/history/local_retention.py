"""The retention of the local journal, and what it leaves: blobs that are still needed.

What is past its retention is deleted in small transactions, so that no writer waits long.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from deploy.history import stored_messages, text_index
from deploy.history.journal_view import UNFINISHED_STATUSES
from shared.cloud.local import database
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.cloud.local.ledger import FILE_NAME as LEDGER_FILE
from shared.cloud.local.ledger_rows import open_ledger
from shared.retention import Retention

CHUNK: Final = 500
"""The rows of one transaction."""
_UNFINISHED: Final = ", ".join(f"'{status}'" for status in UNFINISHED_STATUSES)
# An event keeps its body until its deliveries are final, because a retry may need it.
_OLD_BODIES: Final = f"""
UPDATE bodies SET document = '' WHERE seq IN (
    SELECT bodies.seq FROM bodies JOIN events ON events.seq = event_seq
    WHERE received_at < ? AND document <> '' AND
        status NOT IN ({_UNFINISHED}) LIMIT ?)
"""  # noqa: S608 our own text
_OLD_EVENTS: Final = f"""
DELETE FROM events WHERE seq IN (
    SELECT seq FROM events
    WHERE received_at < ? AND status NOT IN ({_UNFINISHED}) LIMIT ?)
RETURNING seq, id
"""  # noqa: S608 our own text
_OLD_DEAD_LETTERS: Final = "DELETE FROM dead_letters WHERE seq IN (SELECT seq FROM dead_letters WHERE at < ? LIMIT ?)"
_OLD_REQUESTS: Final = "DELETE FROM requests WHERE seq IN (SELECT seq FROM requests WHERE at < ? LIMIT ?)"
_LETTERS_WITH_BLOBS: Final = "SELECT message FROM dead_letters WHERE instr(message, CAST('dataref' AS BLOB)) > 0"
# The ledger has no message of a final delivery, and none yet of a first attempt, whose blob is new.
_DELIVERIES_WITH_BLOBS: Final = (
    "SELECT message FROM deliveries WHERE state NOT IN ('delivered', 'dead_lettered')"
    " AND instr(message, CAST('dataref' AS BLOB)) > 0"
)


def purge_journal(path: Path, now: float, retention: Retention) -> None:
    """Delete what is past its retention. Unfinished events stay, with their bodies."""
    with closing(open_journal(path)) as connection:
        removed = _purge_events(connection, now - retention.events_seconds)
        removed += _repeat(connection, _OLD_BODIES, now - retention.bodies_seconds)
        _repeat(connection, _OLD_DEAD_LETTERS, now - retention.dead_letters_seconds)
        _repeat(connection, _OLD_REQUESTS, now - retention.events_seconds)
        (left,) = connection.execute("SELECT count(*) FROM bodies WHERE document <> ''").fetchone()
        # Nothing can be deleted from the search index. To build it again takes long, so it must be worth it.
        if removed > left:
            text_index.attach_index(connection, path.parent)
            text_index.drop_index(connection)


def needed_blobs(folder: Path) -> frozenset[str]:
    """Return the names of the blobs that deliveries need until they are final, and dead letters, however old they are.

    Raises sqlite3.Error, OSError and Temporary.
    """
    with closing(open_journal(folder / FILE_NAME)) as events, closing(open_ledger(folder / LEDGER_FILE)) as ledger:
        messages = [*events.execute(_LETTERS_WITH_BLOBS), *ledger.execute(_DELIVERIES_WITH_BLOBS)]
    names = (stored_messages.dataref_of(message) for (message,) in messages)
    return frozenset(name for name in names if name is not None)


def newest_at(folder: Path) -> float | None:
    """Return when the newest row of the journal or of the ledger was written, or None without rows."""
    columns = {"events": "received_at", "requests": "at", "dead_letters": "at"}
    with closing(open_journal(folder / FILE_NAME)) as events, closing(open_ledger(folder / LEDGER_FILE)) as ledger:
        newest = [
            events.execute(f"SELECT {column} FROM {table} ORDER BY seq DESC LIMIT 1").fetchone()  # noqa: S608 above
            for table, column in columns.items()
        ]
        newest.append(ledger.execute("SELECT created_at FROM deliveries ORDER BY id DESC LIMIT 1").fetchone())
    return max((row[0] for row in newest if row), default=None)


def _repeat(connection: sqlite3.Connection, statement: str, before: float) -> int:
    total = 0
    while True:
        with database.transaction(connection):
            count = connection.execute(statement, (before, CHUNK)).rowcount
        total += count
        if count < CHUNK:
            return total


def _purge_events(connection: sqlite3.Connection, before: float) -> int:
    total = 0
    while True:
        with database.transaction(connection):
            purged = connection.execute(_OLD_EVENTS, (before, CHUNK)).fetchall()
            connection.executemany("DELETE FROM bodies WHERE event_seq = ?", [(seq,) for seq, _ in purged])
            connection.executemany("DELETE FROM attempts WHERE event_id = ?", [(event_id,) for _, event_id in purged])
        total += len(purged)
        if len(purged) < CHUNK:
            return total
