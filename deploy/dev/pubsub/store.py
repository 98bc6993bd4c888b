"""The broker's state on SQLite: what is there after a kill.

Everything runs on the event loop's thread. Messages are synced to the disk before a publish is answered, so that a
power cut loses nothing that was confirmed; what arrives meanwhile shares the next sync. An acknowledgement is not
synced: it is one write() that survives the death of this process, measured at 30 µs, and a power cut costs
a redelivery.
"""

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from shared.cloud.local.database import open_database, sync_commits, transaction

FILE_NAME: Final = "bus.db"

# `owed`: which subscription has yet to acknowledge which message, and after how many failed deliveries.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS topic (name TEXT PRIMARY KEY, resource TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS subscription (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, resource TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, content TEXT NOT NULL, published_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS owed (
    subscription INTEGER NOT NULL, message INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
    acked INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (subscription, message)) WITHOUT ROWID;
"""


class Store:
    """Resources by name, as JSON text; and the connection that the message tables share."""

    def __init__(self, state_folder: Path) -> None:
        self.db = open_database(state_folder / FILE_NAME, _SCHEMA)

    def close(self) -> None:
        self.db.close()

    def transaction(self, is_synced: bool = False) -> AbstractContextManager[sqlite3.Connection]:
        sync_commits(self.db, is_synced)
        return transaction(self.db)

    def topics(self) -> list[tuple[str, str]]:
        """Names and resources."""
        return self.db.execute("SELECT name, resource FROM topic").fetchall()

    def put_topic(self, name: str, resource: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO topic VALUES (?, ?)", (name, resource))

    def delete_topic(self, name: str) -> None:
        self.db.execute("DELETE FROM topic WHERE name = ?", (name,))

    def subscriptions(self) -> list[tuple[int, str, str]]:
        """Ids, names and resources. An id is never used twice."""
        return self.db.execute("SELECT id, name, resource FROM subscription").fetchall()

    def add_subscription(self, name: str, resource: str) -> int:
        cursor = self.db.execute("INSERT INTO subscription (name, resource) VALUES (?, ?)", (name, resource))
        assert cursor.lastrowid is not None  # an INSERT that did not raise
        return cursor.lastrowid

    def put_subscription(self, subscription_id: int, resource: str) -> None:
        self.db.execute("UPDATE subscription SET resource = ? WHERE id = ?", (resource, subscription_id))

    def delete_subscription(self, subscription_id: int) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM subscription WHERE id = ?", (subscription_id,))
            db.execute("DELETE FROM owed WHERE subscription = ?", (subscription_id,))
