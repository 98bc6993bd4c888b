"""The Documents port on SQLite, in `documents.db`. What was answered survives a power cut."""

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from typing import Final

from shared.cloud.local.database import Transactions, open_database
from shared.store_ports import NO_VERSION, Document

FILE_NAME: Final = "documents.db"
FORGOTTEN_AT_ONCE: Final = 100

# A table with its own row ids: a text may be large, and a table without them would have it in every page of the key.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS documents (
    partition TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, version TEXT NOT NULL, expires_at REAL,
    PRIMARY KEY (partition, id));
CREATE INDEX IF NOT EXISTS documents_expiring ON documents (expires_at) WHERE expires_at IS NOT NULL;
"""


class LocalDocuments:
    """Each write forgets some documents whose time is over."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._file = Transactions(path, "documents_unavailable", lambda path: open_database(path, _SCHEMA))
        self._now = now

    async def get(self, partition: str, id: str) -> Document | None:
        return self._file.read(lambda connection: _find(connection, partition, id))

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        select = (
            "SELECT id, text, version FROM documents WHERE partition = ? AND id > ? AND (? = '' OR id < ?)"
            " ORDER BY id LIMIT ?"
        )
        values = (partition, after, until, until, limit)
        found = self._file.read(lambda connection: connection.execute(select, values).fetchall())
        return [Document(*each) for each in found]

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        version = token_hex(8)

        def operation(connection: sqlite3.Connection) -> str | None:
            if expected is not None and expected != _version(_find(connection, partition, id)):
                return None
            connection.execute(
                "INSERT INTO documents (partition, id, text, version, expires_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (partition, id) DO UPDATE SET text = excluded.text, version = excluded.version,"
                " expires_at = excluded.expires_at",
                (partition, id, text, version, expires_at),
            )
            connection.execute(
                "DELETE FROM documents WHERE rowid IN (SELECT rowid FROM documents WHERE expires_at < ? LIMIT ?)",
                (self._now(), FORGOTTEN_AT_ONCE),
            )
            return version

        return await self._file.write(operation, is_synced=True)

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        def operation(connection: sqlite3.Connection) -> bool:
            found = _find(connection, partition, id)
            if found is not None and expected not in (None, found.version):
                return False
            connection.execute("DELETE FROM documents WHERE partition = ? AND id = ?", (partition, id))
            return True

        return await self._file.write(operation, is_synced=True)

    def close(self) -> None:
        self._file.close()


def purge_documents(path: Path, now: float) -> int:
    """Delete the documents whose time is over, and return how many. Raises sqlite3.Error and OSError."""
    with closing(open_database(path, _SCHEMA)) as connection:
        return connection.execute("DELETE FROM documents WHERE expires_at < ?", (now,)).rowcount


def _find(connection: sqlite3.Connection, partition: str, id: str) -> Document | None:
    select = "SELECT id, text, version FROM documents WHERE partition = ? AND id = ?"
    found = connection.execute(select, (partition, id)).fetchone()
    return None if found is None else Document(*found)


def _version(found: Document | None) -> str:
    return NO_VERSION if found is None else found.version
