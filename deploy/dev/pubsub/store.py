"""The broker's state on SQLite: topics, subscriptions, messages, and which subscription has yet to acknowledge which
message. A message is *owed* to these subscriptions.

Everything runs on the event loop's thread. Messages are synced to the disk before a publish is answered, so a power cut
loses no message that was confirmed. Messages that arrive during a sync share the next sync. An acknowledgement is
written, in 30 µs as measured, but not synced. It survives the end of this process. After a power cut, its message is
delivered again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from deploy.dev.pubsub.messages import MAX_DELAY_SECONDS, Message, content_of, kept_back_seconds
from shared.cloud.gcp.pubsub import DELAY
from shared.cloud.local.database import open_database, sync_commits, transaction

FILE_NAME: Final = "bus.db"

# A row of `owed`: the subscription has yet to acknowledge the message; `failures` counts its failed deliveries so far.
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS topic (name TEXT PRIMARY KEY, resource TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS subscription (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, resource TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, content TEXT NOT NULL, published_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS owed (
    subscription INTEGER NOT NULL, message INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subscription, message)) WITHOUT ROWID;
"""
_WAITING: Final = """
SELECT name, count(id) FILTER (WHERE NOT is_delayed), count(id) FILTER (WHERE is_delayed),
    min(published_at) FILTER (WHERE NOT is_delayed)
FROM (
    SELECT subscription.id AS subscription, subscription.name, message.id, message.published_at,
        CASE WHEN published_at > :delayed_since AND instr(content, :delay)
            THEN kept_back_seconds(content, published_at) > 0 ELSE 0 END AS is_delayed
    FROM subscription
    LEFT JOIN owed ON owed.subscription = subscription.id
    LEFT JOIN message ON message.id = owed.message)
GROUP BY subscription ORDER BY name"""


class WaitingMessages(NamedTuple):
    """The messages that a subscription is owed: `due` are due, and `delayed` are kept back until their time.

    subscription  its short name
    oldest_at     when the oldest of those that are due was published; None if there are none
    """

    subscription: str
    due: int
    delayed: int
    oldest_at: float | None


@dataclass(slots=True)
class Changes:
    """The writes of one transaction.

    messages        the published messages
    unacknowledged  the subscriptions that get these messages, as (subscription id, message id)
    failures        new counts of failed deliveries, as (count, subscription id, message id)
    done            acknowledgements, as (subscription id, message id)
    forgotten       the ids of messages that every subscription has acknowledged, as (message id,)
    """

    messages: list[Message] = field(default_factory=list)
    unacknowledged: list[tuple[int, int]] = field(default_factory=list)
    failures: list[tuple[int, int, int]] = field(default_factory=list)
    done: list[tuple[int, int]] = field(default_factory=list)
    forgotten: list[tuple[int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        # `unacknowledged` is left out, because it is never filled without `messages`.
        return bool(self.messages or self.failures or self.done or self.forgotten)


class Store:
    """The open file. A `resource` is the JSON text of a topic or subscription, as Pub/Sub's API has it."""

    def __init__(self, state_folder: Path) -> None:
        self.db = open_database(state_folder / FILE_NAME, _SCHEMA, upgrade=_upgrade)
        self._is_synced = False

    def close(self) -> None:
        self.db.close()

    def topics(self) -> list[tuple[str, str]]:
        """Return names and resources."""
        return self.db.execute("SELECT name, resource FROM topic").fetchall()

    def put_topic(self, name: str, resource: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO topic VALUES (?, ?)", (name, resource))

    def subscriptions(self) -> list[tuple[int, str, str]]:
        """Return ids, names and resources. An id is never used twice."""
        return self.db.execute("SELECT id, name, resource FROM subscription").fetchall()

    def add_subscription(self, name: str, resource: str) -> int:
        cursor = self.db.execute("INSERT INTO subscription (name, resource) VALUES (?, ?)", (name, resource))
        assert cursor.lastrowid is not None  # an INSERT that did not raise
        return cursor.lastrowid

    def put_subscription(self, subscription_id: int, resource: str) -> None:
        self.db.execute("UPDATE subscription SET resource = ? WHERE id = ?", (resource, subscription_id))

    def delete_subscription(self, subscription_id: int) -> None:
        with self._transaction(is_synced=False) as db:
            db.execute("DELETE FROM subscription WHERE id = ?", (subscription_id,))
            db.execute("DELETE FROM owed WHERE subscription = ?", (subscription_id,))

    def write(self, *changes: Changes) -> None:
        """Write all changes in one transaction, in that order."""
        wanted = [each for each in changes if each]
        if not wanted:
            return
        with self._transaction(is_synced=any(each.messages for each in wanted)) as db:
            for each in wanted:
                _write(db, each)

    def backlog(self, subscription_id: int) -> Iterator[tuple[Message, int]]:
        """Yield each unacknowledged message with its failed deliveries, oldest first."""
        rows = self.db.execute(
            "WITH owed_count AS (SELECT message, count(*) AS subscriptions FROM owed GROUP BY message) "
            "SELECT id, topic, content, published_at, subscriptions, failures FROM owed "
            "JOIN message ON message.id = owed.message JOIN owed_count ON owed_count.message = owed.message "
            "WHERE subscription = ? ORDER BY id",
            (subscription_id,),
        )
        for message_id, topic, content, published_at, subscriptions, failures in rows:
            attributes = content_of(content).get("attributes", {})
            message = Message(message_id, topic, content, attributes, published_at, holders=subscriptions)
            yield message, failures

    def newest_id(self) -> int:
        row: tuple[int] = self.db.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()
        return row[0]

    def newest_at(self) -> float | None:
        """Return when the newest message was published, or None without messages."""
        row = self.db.execute("SELECT published_at FROM message ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else float(row[0])

    def expire(self, subscription_id: int, published_before: float) -> int:
        """Delete what the subscription is owed of messages published before that time. Return how many."""
        return self.db.execute(
            "DELETE FROM owed WHERE subscription = ? AND message IN (SELECT id FROM message WHERE published_at < ?)",
            (subscription_id, published_before),
        ).rowcount

    def forget_unowed(self) -> None:
        """Delete the messages that no subscription is owed."""
        self.db.execute("DELETE FROM message WHERE id NOT IN (SELECT message FROM owed)")

    def _transaction(self, is_synced: bool) -> AbstractContextManager[sqlite3.Connection]:
        """Return a transaction whose commit is synced to the disk, or not. The file's mode is set where it differs."""
        if is_synced != self._is_synced:
            sync_commits(self.db, is_synced)
            self._is_synced = is_synced
        return transaction(self.db)


def _upgrade(db: sqlite3.Connection, _: int) -> None:
    """Delete the rows that earlier versions kept of acknowledged messages. These messages would be delivered again."""
    if db.execute("SELECT 1 FROM pragma_table_info('owed') WHERE name = 'acked'").fetchone():
        db.execute("DELETE FROM owed WHERE acked")


def read_waiting(state_folder: Path, now: float) -> list[WaitingMessages]:
    """Return the messages that each subscription is owed.

    The broker may be running or not. The list is empty if the file does not exist yet or is being created. Raises
    sqlite3.Error.
    """
    path = state_folder / FILE_NAME
    if not path.is_file() or path.stat().st_size == 0:
        return []
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    db.create_function("kept_back_seconds", 2, partial(_kept_back_seconds, now))
    try:
        rows = db.execute(_WAITING, {"delayed_since": now - MAX_DELAY_SECONDS, "delay": DELAY})
        return [WaitingMessages(name.rpartition("/")[2], *others) for name, *others in rows]
    finally:
        db.close()


def _kept_back_seconds(now: float, content: str, published_at: float) -> float:
    attributes = content_of(content).get("attributes", {})
    return kept_back_seconds(Message(0, "", content, attributes, published_at), now)


def _write(db: sqlite3.Connection, changes: Changes) -> None:
    rows = [(m.id, m.topic, m.content, m.published_at) for m in changes.messages]
    db.executemany("INSERT INTO message VALUES (?, ?, ?, ?)", rows)
    db.executemany("INSERT INTO owed (subscription, message) VALUES (?, ?)", changes.unacknowledged)
    db.executemany("UPDATE owed SET failures = ? WHERE subscription = ? AND message = ?", changes.failures)
    db.executemany("DELETE FROM owed WHERE subscription = ? AND message = ?", changes.done)
    db.executemany("DELETE FROM message WHERE id = ?", changes.forgotten)
