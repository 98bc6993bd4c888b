"""The way of a message: kept, handed to each subscription, and forgotten when all have acknowledged it."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Sequence
from typing import Final, TypeAlias

from deploy.dev.pubsub.backlog import Owed
from deploy.dev.pubsub.deadletter import dead_letter
from deploy.dev.pubsub.errors import ApiError
from deploy.dev.pubsub.filters import lets_through
from deploy.dev.pubsub.message_store import Changes, MessageStore
from deploy.dev.pubsub.messages import Draft, Message
from deploy.dev.pubsub.registry import Registry
from deploy.dev.pubsub.subscriber import Subscriber
from shared.cloud.gather import Gatherer
from shared.logs import log

# Acknowledgements wait this long for each other, or go along with the next publish: a kill in between costs
# redeliveries, which at-least-once allows.
ACK_FLUSH_SECONDS: Final = 0.005
FLUSH_AGAIN_SECONDS: Final = 1.0

_Publish: TypeAlias = tuple[str, Sequence[Draft]]


class Broker:
    def __init__(self, registry: Registry, store: MessageStore) -> None:
        self._registry = registry
        self._store = store
        self._gatherer: Gatherer[_Publish, list[str]] = Gatherer(self._publish_batch, max_batch=200, max_waiting=5000)
        # Grows with time, so that an id is not used again after a restart.
        self._next_id = max(store.newest_id() + 1, int(time.time() * 1_000_000))
        self._pending = Changes()
        self._flush_timer: asyncio.TimerHandle | None = None

    async def publish(self, topic: str, drafts: Sequence[Draft]) -> list[str]:
        """The ids, once the messages are kept."""
        self._registry.topic(topic)
        return await self._gatherer.submit((topic, drafts))

    async def _publish_batch(self, batch: Sequence[_Publish]) -> list[list[str]]:
        """What arrived in one turn of the event loop is one commit."""
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
        retains = topic in self._registry.topics and self._registry.topics[topic].retention_seconds > 0
        subscribers = self._registry.subscribers_of(topic)
        accepted: list[tuple[Message, list[Subscriber]]] = []
        for draft in drafts:
            takers = [s for s in subscribers if lets_through(s.config.filter, draft.attributes)]
            message = Message(self._next_id, topic, draft.content, draft.attributes, now, len(takers))
            self._next_id += 1
            if takers or retains:
                changes.messages.append(message)
                changes.owed.extend((s.id, message.id) for s in takers)
            accepted.append((message, takers))
        return accepted

    def acknowledged(self, subscriber: Subscriber, message: Message) -> None:
        pair = (subscriber.id, message.id)
        if subscriber.config.retains_acked:
            self._pending.retained.append(pair)
        else:
            self._pending.done.append(pair)
            message.holders -= 1
            topic = self._registry.topics.get(message.topic)
            if message.holders == 0 and not (topic and topic.retention_seconds):
                self._pending.forgotten.append((message.id,))
        self._flush_soon()

    def failed(self, subscriber: Subscriber, owed: Owed) -> None:
        self._pending.failures.append((owed.failures, subscriber.id, owed.message.id))
        self._flush_soon()

    def dead_lettered(self, subscriber: Subscriber, owed: Owed) -> bool:
        policy = subscriber.config.dead_letter
        if policy is None or policy.topic not in self._registry.topics:
            return False
        draft = dead_letter(owed.message, subscriber.config.name, owed.failures)
        # In the same transaction as the acknowledgement that follows: never lost between the two topics.
        for message, takers in self._accept(policy.topic, [draft], self._pending):
            for taker in takers:
                taker.offer(message)
                taker.wake()
        return True

    def flush(self) -> None:
        """Raises ApiError (UNAVAILABLE) where the file cannot be written; what is pending stays so."""
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

    def stop(self) -> None:
        """Acknowledgements that cannot be written are logged; those messages come again after the next start."""
        if self._flush_timer:
            self._flush_timer.cancel()
        with contextlib.suppress(ApiError):
            self.flush()
