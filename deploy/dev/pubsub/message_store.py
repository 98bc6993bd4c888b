"""Messages and who is still owed them, on SQLite. In memory is the same; this is what is read after a restart."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

from deploy.dev.pubsub.messages import Message, content_of
from deploy.dev.pubsub.store import Store


@dataclass(slots=True)
class Changes:
    """What one transaction writes. Pairs are (subscription id, message id)."""

    messages: list[Message] = field(default_factory=list)
    owed: list[tuple[int, int]] = field(default_factory=list)
    failures: list[tuple[int, int, int]] = field(default_factory=list)  # how many, then the pair
    done: list[tuple[int, int]] = field(default_factory=list)
    retained: list[tuple[int, int]] = field(default_factory=list)  # acknowledged, kept for a seek
    forgotten: list[tuple[int]] = field(default_factory=list)  # messages that nobody needs any more

    def __bool__(self) -> bool:
        return bool(self.messages or self.failures or self.done or self.retained or self.forgotten)


class MessageStore:
    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, *changes: Changes) -> None:
        """All of it or nothing, in that order. Does nothing where there is nothing to write."""
        wanted = [each for each in changes if each]
        if not wanted:
            return
        with self._store.transaction(is_synced=any(each.messages for each in wanted)) as db:
            for each in wanted:
                _write(db, each)

    def backlog(self, subscription_id: int) -> Iterator[tuple[Message, int]]:
        """What the subscription has not acknowledged, oldest first, each with its failed deliveries."""
        rows = self._store.db.execute(
            "WITH held AS (SELECT message, count(*) AS holders FROM owed GROUP BY message) "
            "SELECT id, topic, content, published_at, holders, failures FROM owed "
            "JOIN message ON message.id = owed.message JOIN held ON held.message = owed.message "
            "WHERE subscription = ? AND NOT acked ORDER BY id",
            (subscription_id,),
        )
        for message_id, topic, content, published_at, holders, failures in rows:
            attributes = content_of(content).get("attributes", {})
            yield Message(message_id, topic, content, attributes, published_at, holders), failures

    def newest_id(self) -> int:
        row: tuple[int] = self._store.db.execute("SELECT coalesce(max(id), 0) FROM message").fetchone()
        return row[0]

    def newest_at(self) -> float | None:
        """Return when the newest message was published, or None without messages."""
        row = self._store.db.execute("SELECT published_at FROM message ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else float(row[0])

    def seek(self, subscription_id: int, to: float, retains_acked: bool) -> None:
        """What was published before is acknowledged; what came since and is still kept is not."""
        with self._store.transaction() as db:
            db.execute(
                "UPDATE owed SET failures = 0, acked = message IN (SELECT id FROM message WHERE published_at < ?) "
                "WHERE subscription = ?",
                (to, subscription_id),
            )
            if not retains_acked:
                db.execute("DELETE FROM owed WHERE subscription = ? AND acked", (subscription_id,))

    def of_topic(self, topic: str, since: float) -> list[tuple[int, str]]:
        """Ids and contents of what is kept of that time, acknowledged or not."""
        return self._store.db.execute(
            "SELECT id, content FROM message WHERE topic = ? AND published_at >= ?", (topic, since)
        ).fetchall()

    def owe_again(self, subscription_id: int, message_ids: list[int]) -> None:
        with self._store.transaction() as db:
            rows = [(subscription_id, message_id) for message_id in message_ids]
            db.executemany("INSERT OR IGNORE INTO owed (subscription, message) VALUES (?, ?)", rows)

    def acknowledge_all(self, subscription_id: int) -> None:
        self._store.db.execute("DELETE FROM owed WHERE subscription = ?", (subscription_id,))

    def expire(self, subscription_id: int, published_before: float) -> None:
        self._store.db.execute(
            "DELETE FROM owed WHERE subscription = ? AND message IN (SELECT id FROM message WHERE published_at < ?)",
            (subscription_id, published_before),
        )

    def forget(self, topic: str, published_before: float) -> None:
        """The topic's messages of that time that no subscription holds."""
        self._store.db.execute(
            "DELETE FROM message WHERE topic = ? AND published_at < ? AND id NOT IN (SELECT message FROM owed)",
            (topic, published_before),
        )

    def forget_orphans(self) -> None:
        """Messages that no subscription holds, of topics that are gone."""
        self._store.db.execute(
            "DELETE FROM message WHERE topic NOT IN (SELECT name FROM topic) AND id NOT IN (SELECT message FROM owed)"
        )


def _write(db: sqlite3.Connection, changes: Changes) -> None:
    rows = [(m.id, m.topic, m.content, m.published_at) for m in changes.messages]
    db.executemany("INSERT INTO message VALUES (?, ?, ?, ?)", rows)
    db.executemany("INSERT INTO owed (subscription, message) VALUES (?, ?)", changes.owed)
    db.executemany("UPDATE owed SET failures = ? WHERE subscription = ? AND message = ?", changes.failures)
    db.executemany("UPDATE owed SET acked = 1 WHERE subscription = ? AND message = ?", changes.retained)
    db.executemany("DELETE FROM owed WHERE subscription = ? AND message = ?", changes.done)
    db.executemany("DELETE FROM message WHERE id = ?", changes.forgotten)
