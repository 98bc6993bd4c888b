"""The index for searches of events by text, `search.db` beside the local journal.

Readers build it, so that no function pays for it. It holds tokens only, by the event's `seq`. It can be thrown away at
any time, and grows again. Each connection to the journal attaches it as the database `search`.
"""

import sqlite3
from pathlib import Path
from typing import Final

from deploy.history.journal_view import readable
from shared.cloud.local import database

FILE_NAME: Final = "search.db"
INDEX_BATCH: Final = 500
"""The number of bodies that are indexed in one transaction."""
_SCHEMA: Final = """
CREATE VIRTUAL TABLE IF NOT EXISTS search.texts USING fts5 (text, content = '', columnsize = 0);
CREATE TABLE IF NOT EXISTS search.progress (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq INTEGER NOT NULL);
INSERT OR IGNORE INTO search.progress VALUES (1, 0);
"""
_PENDING: Final = """
SELECT bodies.seq, events.seq, document FROM main.bodies JOIN main.events ON events.seq = event_seq
WHERE bodies.seq > (SELECT seq FROM search.progress) ORDER BY bodies.seq LIMIT ?
"""
_BEHIND: Final = "SELECT max(seq) - (SELECT seq FROM search.progress) FROM main.bodies"


def attach_index(connection: sqlite3.Connection, folder: Path) -> None:
    connection.execute("ATTACH ? AS search", (str(folder / FILE_NAME),))
    connection.execute("PRAGMA search.schema_version")  # which makes the file
    database.make_private(folder / FILE_NAME)
    is_earlier = database.require_known_version(connection, FILE_NAME, "search")
    connection.execute("PRAGMA search.journal_mode = WAL")
    connection.executescript(_SCHEMA)
    if is_earlier:
        connection.execute(f"PRAGMA search.user_version = {database.VERSIONS[FILE_NAME]}")


def index_events(connection: sqlite3.Connection, limit: int) -> int:
    """Index the next new events, and return their number."""
    # A deferred transaction whose first statement writes: it locks the index, not the journal, as IMMEDIATE would.
    with database.transaction(connection, "BEGIN"):
        connection.execute("UPDATE search.progress SET seq = seq")
        rows = connection.execute(_PENDING, (limit,)).fetchall()
        connection.executemany(
            "INSERT INTO search.texts (rowid, text) VALUES (?, ?)",
            [(event_seq, readable(document)) for _, event_seq, document in rows],
        )
        if rows:
            connection.execute("UPDATE search.progress SET seq = ?", (rows[-1][0],))
    return len(rows)


def drop_index(connection: sqlite3.Connection) -> None:
    connection.executescript("DROP TABLE search.texts; DROP TABLE search.progress;" + _SCHEMA)


def events_behind(connection: sqlite3.Connection) -> int:
    """Return about how many events are not in the index yet."""
    (behind,) = connection.execute(_BEHIND).fetchone()
    return max(0, int(behind or 0))


def match_expression(words: tuple[str, ...]) -> str:
    """Return an FTS5 expression for all the words, each as a beginning, and quoted so that none is an operator."""
    return " ".join('"{}" *'.format(word.replace('"', " ")) for word in words)
