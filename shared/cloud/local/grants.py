"""The Grants port on SQLite, in `grants.db`."""

import sqlite3
from pathlib import Path
from typing import Final

from shared.cloud.grant_rules import Answer, Decide, GrantWrites, bucket_from, bucket_text
from shared.cloud.local.database import open_database, reason_of, transaction
from shared.errors import Temporary

BUSY_SECONDS: Final = 2.0
FILE_NAME: Final = "grants.db"
FORGOTTEN_AT_ONCE: Final = 100

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT PRIMARY KEY, bucket TEXT NOT NULL, ends_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS buckets_ends_at ON buckets (ends_at);
"""


class LocalGrants(GrantWrites):
    """On the event loop itself, as the ledger is. Each change forgets some buckets whose time is over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    async def _change(self, bucket: str, now: float, decide: Decide[Answer]) -> Answer:
        try:
            return _changed(self._opened(), bucket, now, decide)
        except (sqlite3.Error, OSError) as error:
            raise Temporary("grants_unavailable", f"{self._path.name} does not answer: {reason_of(error)}") from error

    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_database(self._path, _SCHEMA, BUSY_SECONDS)
        return self._connection


def _changed(connection: sqlite3.Connection, name: str, now: float, decide: Decide[Answer]) -> Answer:
    with transaction(connection):
        found = connection.execute("SELECT bucket FROM buckets WHERE name = ?", (name,)).fetchone()
        bucket = bucket_from(found[0] if found else None)
        answer, changed = decide(bucket)
        if changed is not bucket:
            connection.execute(
                "INSERT OR REPLACE INTO buckets (name, bucket, ends_at) VALUES (?, ?, ?)",
                (name, bucket_text(changed), changed.ends_at),
            )
            connection.execute(
                "DELETE FROM buckets WHERE name IN (SELECT name FROM buckets WHERE ends_at < ? LIMIT ?)",
                (now, FORGOTTEN_AT_ONCE),
            )
    return answer
