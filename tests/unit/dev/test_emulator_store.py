"""The emulated bus's file: what it stores, and what it deletes."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from deploy.dev.pubsub.broker import PubSub
from deploy.dev.pubsub.messages import Message
from deploy.dev.pubsub.store import Changes, Store, read_waiting

TOPIC = "projects/p1/topics/events"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.close()


def message(number: int, published_at: float = 0.0) -> Message:
    return Message(number, TOPIC, f'"data":"aGk=","attributes":{{"n":"{number}"}}', {"n": str(number)}, published_at)


def owed(store: Store, subscription: int) -> list[tuple[int, int]]:
    """Message ids and failed deliveries."""
    return [(kept.id, failures) for kept, failures in store.backlog(subscription)]


def publish(store: Store, *published: Message, to: tuple[int, ...] = (1,)) -> None:
    pairs = [(subscription, each.id) for each in published for subscription in to]
    store.write(Changes(messages=list(published), unacknowledged=pairs))


async def test_a_clock_that_jumps_by_years_before_a_start_expires_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put_topic(TOPIC, "{}")
    number = store.add_subscription("projects/p1/subscriptions/reader", f'{{"topic":"{TOPIC}"}}')
    publish(store, message(1, time.time() - 5 * 365 * 86_400), to=(number,))
    store.close()
    pubsub = PubSub(tmp_path)
    pubsub.start()
    await pubsub.stop()
    assert [count for _, count, _ in read_waiting(tmp_path)] == [1]


def is_synced(database: sqlite3.Connection) -> bool:
    """Return whether the last commit waited for the disk: SQLite's `synchronous` was FULL."""
    return bool(database.execute("PRAGMA synchronous").fetchone() == (2,))


def test_a_message_is_on_the_disk_before_it_is_confirmed_and_an_acknowledgement_need_not_be(store: Store) -> None:
    publish(store, message(1))
    assert is_synced(store.db)
    store.write(Changes(done=[(1, 1)]))
    assert not is_synced(store.db)
    store.write(Changes(done=[(1, 1)]), Changes(messages=[message(2)]))
    assert is_synced(store.db)


def test_what_an_earlier_version_kept_for_a_seek_does_not_come_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    publish(store, message(1), message(2))
    store.db.executescript("ALTER TABLE owed ADD COLUMN acked INTEGER NOT NULL DEFAULT 0; PRAGMA user_version = 0")
    store.db.execute("UPDATE owed SET acked = 1 WHERE message = 1")
    store.close()
    with closing(Store(tmp_path)) as upgraded:
        assert owed(upgraded, 1) == [(2, 0)]
