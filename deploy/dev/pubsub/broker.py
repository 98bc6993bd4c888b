"""Topics, subscribers, and the path of a message: stored, offered to each subscription, deleted once acknowledged."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Sequence
from typing import Final, TypeAlias

from deploy.dev.pubsub.backlog import PendingDelivery
from deploy.dev.pubsub.filters import lets_through
from deploy.dev.pubsub.google_json import ApiError, not_found
from deploy.dev.pubsub.messages import Draft, Message, dead_letter
from deploy.dev.pubsub.resources import Topic
from deploy.dev.pubsub.store import Changes, Store
from deploy.dev.pubsub.subscriber import Subscriber
from shared.batching import Batcher
from shared.logs import log

# Acknowledgements wait this long for each other, or are written with the next publish. A kill in between costs
# redeliveries, which at-least-once delivery allows.
ACK_FLUSH_SECONDS: Final = 0.02
FLUSH_AGAIN_SECONDS: Final = 1.0

_Publish: TypeAlias = tuple[str, Sequence[Draft]]


class Registry:
    """The topics and subscribers, by name."""

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.subscribers: dict[str, Subscriber] = {}
        self._of_topic: dict[str, list[Subscriber]] = {}

    def topic(self, name: str) -> Topic:
        if name not in self.topics:
            raise not_found(name)
        return self.topics[name]

    def subscriber(self, name: str) -> Subscriber:
        if name not in self.subscribers:
            raise not_found(name)
        return self.subscribers[name]

    def subscribers_of(self, topic: str) -> list[Subscriber]:
        """Return the subscribers of a topic; cached, because each publish asks."""
        found = self._of_topic.get(topic)
        if found is None:
            found = [s for s in self.subscribers.values() if s.config.topic == topic]
            self._of_topic[topic] = found
        return found

    def put_subscriber(self, subscriber: Subscriber) -> None:
        """Add a subscriber, or note that its settings have changed."""
        self.subscribers[subscriber.config.name] = subscriber
        self._of_topic.clear()

    def remove_subscriber(self, name: str) -> None:
        del self.subscribers[name]
        self._of_topic.clear()


class Broker:
    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self._batcher: Batcher[_Publish, list[str]] = Batcher(self._publish_batch, max_batch=200, max_waiting=5000)
        # Grows with time, so that an id is not used again after a restart.
        self._next_id = max(store.newest_id() + 1, int(time.time() * 1_000_000))
        self._pending = Changes()
        self._flush_timer: asyncio.TimerHandle | None = None

    async def publish(self, topic: str, drafts: Sequence[Draft]) -> list[str]:
        """Return the messages' ids, once they are stored."""
        self._registry.topic(topic)
        return await self._batcher.submit((topic, drafts))

    async def _publish_batch(self, batch: Sequence[_Publish]) -> list[list[str]]:
        """Store in one commit what arrived in one turn of the event loop."""
        changes = Changes()
        published = [self._accept(topic, drafts, changes) for topic, drafts in batch]
        self._write(changes)
        woken: dict[int, Subscriber] = {}
        for messages in published:
            for message, subscribers in messages:
                for subscriber in subscribers:
                    subscriber.offer(message)
                    woken[subscriber.id] = subscriber
        for subscriber in woken.values():
            subscriber.wake()
        return [[str(message.id) for message, _ in messages] for messages in published]

    def _accept(self, topic: str, drafts: Sequence[Draft], changes: Changes) -> list[tuple[Message, list[Subscriber]]]:
        now = time.time()
        subscribers = self._registry.subscribers_of(topic)
        accepted: list[tuple[Message, list[Subscriber]]] = []
        for draft in drafts:
            takers = [s for s in subscribers if lets_through(s.config.filter, draft.attributes)]
            message = Message(self._next_id, topic, draft.content, draft.attributes, now, len(takers))
            self._next_id += 1
            if takers:
                changes.messages.append(message)
                changes.unacknowledged.extend((s.id, message.id) for s in takers)
            accepted.append((message, takers))
        return accepted

    def acknowledged(self, subscriber: Subscriber, message: Message) -> None:
        self._pending.done.append((subscriber.id, message.id))
        message.holders -= 1
        if message.holders == 0:
            self._pending.forgotten.append((message.id,))
        self._flush_soon()

    def failed(self, subscriber: Subscriber, pending: PendingDelivery) -> None:
        self._pending.failures.append((pending.failures, subscriber.id, pending.message.id))
        self._flush_soon()

    def dead_lettered(self, subscriber: Subscriber, pending: PendingDelivery) -> bool:
        policy = subscriber.config.dead_letter
        if policy is None or policy.topic not in self._registry.topics:
            return False
        draft = dead_letter(pending.message, subscriber.config.name, pending.failures)
        # In the same transaction as the acknowledgement that follows: never lost between the two topics.
        for message, takers in self._accept(policy.topic, [draft], self._pending):
            for taker in takers:
                taker.offer(message)
                taker.wake()
        return True

    def flush(self) -> None:
        """Write what is pending. Raises ApiError (UNAVAILABLE) if the file cannot be written; it stays pending then."""
        self._write(Changes())

    def _write(self, changes: Changes) -> None:
        try:
            self._store.write(self._pending, changes)
        except sqlite3.Error as error:
            log("ERROR", "the emulated bus cannot write its file", detail=str(error))
            raise ApiError("UNAVAILABLE", f"The emulated bus cannot write its file: {error}") from error
        self._pending = Changes()

    def _flush_soon(self, seconds: float = ACK_FLUSH_SECONDS) -> None:
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(seconds, self._flush_now)

    def _flush_now(self) -> None:
        self._flush_timer = None
        try:
            self.flush()
        except ApiError:
            self._flush_soon(FLUSH_AGAIN_SECONDS)

    def expire(self, now: float) -> None:
        """Delete what is past its retention. `now` is Unix seconds. Raises ApiError and sqlite3.Error."""
        self.flush()
        for subscriber in self._registry.subscribers.values():
            oldest = now - subscriber.config.retention_seconds
            subscriber.drop(published_before=oldest)
            self._store.expire(subscriber.id, oldest)
        self._store.forget_unowed()

    def stop(self) -> None:
        """Write what is pending. If that fails, it is logged and those messages are delivered again after a restart."""
        if self._flush_timer:
            self._flush_timer.cancel()
        with contextlib.suppress(ApiError):
            self.flush()
