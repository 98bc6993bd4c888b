"""The Owners port on SQLite, in `owners.db`."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from shared.cloud.local.database import open_database, reason_of, transaction
from shared.errors import Temporary

BUSY_SECONDS: Final = 2.0
FILE_NAME: Final = "owners.db"
FORGOTTEN_AT_ONCE: Final = 100

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS owners (
    key TEXT PRIMARY KEY, event_id TEXT NOT NULL, since REAL NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS owners_until ON owners (until);
"""


class LocalOwners:
    """On the event loop itself, as the ledger is and for its reason. Each key that is taken forgets some whose time
    is over, so that the file needs no one to look after it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        try:
            return self._owner(self._opened(), key, event_id, now, window_seconds)
        except (sqlite3.Error, OSError) as error:
            raise Temporary("owners_unavailable", f"{self._path.name} does not answer: {reason_of(error)}") from error

    def _owner(self, connection: sqlite3.Connection, key: str, event_id: str, now: float, window_seconds: float) -> str:
        with transaction(connection):
            found = connection.execute("SELECT event_id, since FROM owners WHERE key = ?", (key,)).fetchone()
            if found and now - found[1] < window_seconds:
                return str(found[0])
            connection.execute(
                "INSERT INTO owners (key, event_id, since, until) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
                " SET event_id = excluded.event_id, since = excluded.since, until = excluded.until",
                (key, event_id, now, now + window_seconds),
            )
            connection.execute(
                "DELETE FROM owners WHERE key IN (SELECT key FROM owners WHERE until < ? LIMIT ?)",
                (now, FORGOTTEN_AT_ONCE),
            )
        return event_id

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_database(self._path, _SCHEMA, BUSY_SECONDS)
        return self._connection


class KnownOwners:
    """Only looks: for those who ask what came of an event, and must not change it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        if not self._path.is_file():
            return event_id
        try:
            with closing(sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                found = connection.execute("SELECT event_id, since FROM owners WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise Temporary("owners_unavailable", f"{self._path.name} does not answer: {reason_of(error)}") from error
        return str(found[0]) if found and now - found[1] < window_seconds else event_id
