"""The port `Documents` (shared/store_ports.py) on SQLite: texts by partition and id, a file for each store.

A confirmed write survives a power cut, except in the stores of UNSYNCED. There, a power cut may lose the last changes:
a cap starts again, or a repeated event is let through once.
"""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Final

from shared.cloud.kept_by_key import ONE_PARTITION, UNAVAILABLE, DocumentStore, owner_in
from shared.cloud.local.database import Transactions, open_database
from shared.store_ports import NO_VERSION, Document

FILE_NAME: Final = "documents.db"
EXPIRED_AT_ONCE: Final = 100
"""The most expired documents that one write deletes, so that no write waits long."""
UNSYNCED: Final[frozenset[DocumentStore]] = frozenset({"grants", "owners"})
"""The stores whose writes are not synced to the disk, in `grants.db` and `owners.db`: each event may cost such a write,
and a sync takes far longer."""

# Not WITHOUT ROWID, which would store each text, however large, in the pages that are searched for a key.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS documents (
    partition TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, version TEXT NOT NULL, expires_at REAL,
    PRIMARY KEY (partition, id));
CREATE INDEX IF NOT EXISTS documents_expiring ON documents (expires_at) WHERE expires_at IS NOT NULL;
"""
# A file of version 1 has tables of other forms. Their rows are copied as (partition, id, text, version, expires_at),
# except grants: without them, a cap only starts again.
_EARLIER_ROWS: Final[Mapping[str, str]] = {
    "records": "SELECT '', name, text, lower(hex(randomblob(8))), until FROM records",
    "owners": "SELECT '', key, json_object('event_id', event_id, 'since', since), lower(hex(randomblob(8))), until"
    " FROM owners",
}
_EARLIER_TABLES: Final = ("buckets", "owners", "records")


class LocalDocuments:
    """The documents of one store, in one file. Each method raises Temporary with the store's code (UNAVAILABLE).

    An expired document stays, and is read, until a later write deletes it: each write first deletes EXPIRED_AT_ONCE of
    these. A version is a random text. A page has the documents with ids after `after` and before `until`.
    """

    def __init__(self, path: Path, store: DocumentStore = "documents", now: Callable[[], float] = time.time) -> None:
        self._file = Transactions(path, UNAVAILABLE[store], partial(_open, store))
        self._is_synced = store not in UNSYNCED
        self._now = now

    async def get(self, partition: str, id: str) -> Document | None:
        return self._file.read(lambda connection: _find(connection, partition, id))

    async def page(self, partition: str, limit: int, after: str = "", until: str = "") -> Sequence[Document]:
        select = (
            "SELECT id, text, version FROM documents WHERE partition = ? AND id > ? AND (? = '' OR id < ?)"
            " ORDER BY id LIMIT ?"
        )
        values = (partition, after, until, until, limit)
        rows = self._file.read(lambda connection: connection.execute(select, values).fetchall())
        return [Document(*row) for row in rows]

    async def write(
        self, partition: str, id: str, text: str, expected: str | None = None, expires_at: float | None = None
    ) -> str | None:
        version = token_hex(8)

        def operation(connection: sqlite3.Connection) -> str | None:
            found = _find(connection, partition, id)
            if expected is not None and expected != (found.version if found else NO_VERSION):
                return None
            connection.execute(
                "DELETE FROM documents WHERE rowid IN (SELECT rowid FROM documents WHERE expires_at < ? LIMIT ?)",
                (self._now(), EXPIRED_AT_ONCE),
            )
            connection.execute(
                "INSERT INTO documents (partition, id, text, version, expires_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (partition, id) DO UPDATE SET text = excluded.text, version = excluded.version,"
                " expires_at = excluded.expires_at",
                (partition, id, text, version, expires_at),
            )
            return version

        return await self._file.write(operation, is_synced=self._is_synced)

    async def delete(self, partition: str, id: str, expected: str | None = None) -> bool:
        def operation(connection: sqlite3.Connection) -> bool:
            found = _find(connection, partition, id)
            # A document that is gone counts as deleted, whichever version was expected.
            if found is not None and expected not in (None, found.version):
                return False
            connection.execute("DELETE FROM documents WHERE partition = ? AND id = ?", (partition, id))
            return True

        return await self._file.write(operation, is_synced=self._is_synced)

    def close(self) -> None:
        self._file.close()


class KnownOwners:
    """The Owners port for commands that only read the outcome of an event: it claims no key and creates no file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def owner(self, key: str, event_id: str, now: float, window_seconds: float) -> str:
        """Return the id of the event that owns the key; `event_id` if none does. Raises Temporary."""
        if not self._path.is_file():
            return event_id
        with closing(LocalDocuments(self._path, "owners")) as documents:
            found = await documents.get(ONE_PARTITION, key)
        return owner_in(found, now, window_seconds) or event_id


def purge_documents(path: Path, now: float) -> int:
    """Delete the expired documents, and return how many there were. Raises sqlite3.Error and OSError."""
    with closing(_open("documents", path)) as connection:
        return connection.execute("DELETE FROM documents WHERE expires_at < ?", (now,)).rowcount


def _open(store: DocumentStore, path: Path) -> sqlite3.Connection:
    return open_database(path, _SCHEMA, upgrade=partial(_upgrade, store))


def _upgrade(store: DocumentStore, connection: sqlite3.Connection, _: int) -> None:
    """Copy the rows of version 1 into the table of documents, and drop its tables."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()}
    if store in _EARLIER_ROWS and store in tables:
        connection.execute(f"INSERT INTO documents {_EARLIER_ROWS[store]}")
    for table in _EARLIER_TABLES:
        connection.execute(f"DROP TABLE IF EXISTS {table}")


def _find(connection: sqlite3.Connection, partition: str, id: str) -> Document | None:
    found = connection.execute(
        "SELECT id, text, version FROM documents WHERE partition = ? AND id = ?", (partition, id)
    ).fetchone()
    return Document(*found) if found else None
