"""The Records port on SQLite, in `records.db`, and in `grants.db` for the records of grants."""

import sqlite3
from pathlib import Path
from typing import Final

from shared.cloud.local.database import Transactions, open_database
from shared.errors import TemporaryCode
from shared.store_ports import Answer, DecideRecord

FORGOTTEN_AT_ONCE: Final = 100

# Earlier versions kept grants in a table of their own, whose rows nobody needs.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS records (name TEXT PRIMARY KEY, text TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_until ON records (until);
DROP TABLE IF EXISTS buckets;
"""


class LocalRecords:
    """Each change forgets some records whose time is over. `is_synced`: what was answered survives a power cut."""

    def __init__(self, path: Path, code: TemporaryCode = "records_unavailable", *, is_synced: bool = True) -> None:
        self._file = Transactions(path, code, lambda path: open_database(path, _SCHEMA))
        self._is_synced = is_synced

    async def read(self, name: str) -> str | None:
        return self._file.read(lambda connection: _text(connection, name))

    async def change(self, name: str, now: float, decide: DecideRecord[Answer]) -> Answer:
        def operation(connection: sqlite3.Connection) -> Answer:
            answer, kept = decide(_text(connection, name))
            if kept is not None:
                connection.execute("INSERT OR REPLACE INTO records (name, text, until) VALUES (?, ?, ?)", (name, *kept))
                connection.execute(
                    "DELETE FROM records WHERE name IN (SELECT name FROM records WHERE until < ? LIMIT ?)",
                    (now, FORGOTTEN_AT_ONCE),
                )
            return answer

        return await self._file.write(operation, is_synced=self._is_synced)

    def close(self) -> None:
        self._file.close()


def _text(connection: sqlite3.Connection, name: str) -> str | None:
    found = connection.execute("SELECT text FROM records WHERE name = ?", (name,)).fetchone()
    return None if found is None else str(found[0])
