"""The emulated Pub/Sub: topics, subscribers, and the path of a message.

A message is stored, offered to each subscription of its topic, and deleted once all of them have acknowledged it.
Everything runs on the thread of one event loop.

PubSub creates, changes and deletes the topics and the subscribers, and stores them. Broker holds them, and the messages
that are on their way between them.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from deploy.config.sections.bus_source import PREFIX
from deploy.dev.faults import FaultPlan
from deploy.dev.pubsub import push_tokens, resources, topology
from deploy.dev.pubsub.messages import Draft, Message, dead_letter
from deploy.dev.pubsub.store import Changes, Store
from deploy.dev.pubsub.subscriber import Alarm, PendingDelivery, PushClient, Subscriber
from shared import batching, logs, ports, retention
from shared.jsontext import JsonObject, to_json

# Acknowledgements wait this long for each other, or are written with the next publish. A kill in between costs
# redeliveries, which at-least-once delivery allows.
ACK_FLUSH_SECONDS: Final = 0.02
FLUSH_AGAIN_SECONDS: Final = 1.0
EXPIRE_EVERY_SECONDS: Final = 600.0
STOP_GRACE_SECONDS: Final = 1.0

_Publish: TypeAlias = tuple[str, Sequence[Draft]]


class PubSub:
    """The emulation over one state folder. Create it within the running event loop; `start` begins delivery.

    `start` creates or updates `declared`, the topics and subscriptions of the configuration, beside those that clients
    have created. With any, it deletes the other subscriptions of sources, which the configuration had before.

    Methods that change a topic or a subscription store the change before they return. They raise ApiError for what
    Google rejects, and sqlite3.Error.
    """

    def __init__(self, state_folder: Path, declared: Sequence[topology.Resource] = ()) -> None:
        self.plan = FaultPlan()
        self._declared = declared
        self.tokens = push_tokens.PushTokens(state_folder)
        self._store = Store(state_folder)
        self._client = PushClient(self.tokens)
        self.broker = Broker(self._store)
        self._expiry = Alarm(self._expire)
        self._purge_clock = retention.PurgeClock(self._store.newest_at())

    def start(self) -> int:
        """Load what is stored and begin delivery; return how many deliveries are owed from before."""
        for name, resource in self._store.topics():
            self.broker.topics[name] = resources.topic_from(name, _supported(resource, resources.TOPIC_SETTINGS))
        self._delete_other_sources()
        loaded: dict[int, Message] = {}  # a message is in memory once, however many subscriptions are owed it
        stored = self._store.subscriptions()
        pending_count = sum(self._load_subscription(*subscription, loaded) for subscription in stored)
        for name, settings in self._declared:
            self._create_or_update(name, settings)
        self._expire()
        for subscriber in self.broker.subscribers.values():
            subscriber.wake()
        return pending_count

    async def stop(self) -> None:
        """Stop, after a moment for the pushes in progress, so that their acknowledgements are stored."""
        self._expiry.cancel()
        await asyncio.gather(*(s.stop(STOP_GRACE_SECONDS) for s in self.broker.subscribers.values()))
        self._client.close()
        self.broker.stop()
        self._store.close()

    def create_topic(self, name: str, body: JsonObject) -> JsonObject:
        topic = resources.topic_from(name, body)
        _require_new(name, self.broker.topics)
        self._store.put_topic(name, to_json(topic))
        self.broker.topics[name] = topic
        return topic

    def create_subscription(self, name: str, body: JsonObject) -> JsonObject:
        config = resources.subscription_from(name, body)
        _require_new(name, self.broker.subscribers)
        self.broker.topic(config.topic)
        self._verify_dead_letter_topic(config)
        subscriber_id = self._store.add_subscription(name, to_json(config.resource))
        self.broker.subscribers[name] = self._subscriber(subscriber_id, config)
        return config.resource

    def patch_subscription(self, name: str, body: JsonObject) -> JsonObject:
        subscriber = self.broker.subscriber(name)
        config = resources.subscription_from(name, resources.changed_resource(subscriber.config.resource, body))
        self._verify_dead_letter_topic(config)
        self._store.put_subscription(subscriber.id, to_json(config.resource))
        subscriber.config = config
        subscriber.wake()
        return config.resource

    async def delete_subscription(self, name: str) -> None:
        subscriber = self.broker.subscriber(name)
        self.broker.flush()
        subscriber.drop()
        del self.broker.subscribers[name]
        self._store.delete_subscription(subscriber.id)
        self._store.forget_unowed()
        await subscriber.stop(grace_seconds=0)

    def _delete_other_sources(self) -> None:
        """Delete the subscriptions of sources that are not declared, if anything is."""
        declared_names = {name for name, _ in self._declared}
        if declared_names:
            for subscriber_id, name, _ in self._store.subscriptions():
                if name.rpartition("/")[2].startswith(PREFIX) and name not in declared_names:
                    self._store.delete_subscription(subscriber_id)
        self._store.forget_unowed()

    def _create_or_update(self, name: str, settings: JsonObject) -> None:
        if name in self.broker.subscribers:
            mask = ",".join(settings.keys() - {"topic"})  # as in Google's, the topic of a subscription never changes
            self.patch_subscription(name, {"subscription": settings, "updateMask": mask})
        elif "/subscriptions/" in name:
            self.create_subscription(name, settings)
        elif name not in self.broker.topics:
            self.create_topic(name, settings)

    def _load_subscription(self, subscriber_id: int, name: str, resource: str, loaded: dict[int, Message]) -> int:
        """Return how many deliveries it is owed."""
        settings = _supported(resource, resources.SUBSCRIPTION_SETTINGS)
        if settings["topic"] not in self.broker.topics:  # an earlier version could delete topics
            self._store.delete_subscription(subscriber_id)
            return 0
        subscriber = self._subscriber(subscriber_id, resources.subscription_from(name, settings))
        self.broker.subscribers[name] = subscriber
        backlog = list(self._store.backlog(subscriber_id))
        for message, failures in backlog:
            subscriber.restore(loaded.setdefault(message.id, message), failures)
        return len(backlog)

    def _subscriber(self, subscriber_id: int, config: resources.Subscription) -> Subscriber:
        return Subscriber(subscriber_id, config, self.broker, self._client, self.plan)

    def _verify_dead_letter_topic(self, config: resources.Subscription) -> None:
        if config.dead_letter:
            self.broker.topic(config.dead_letter.topic)

    def _expire(self) -> None:
        self._expiry.set(asyncio.get_running_loop().time() + EXPIRE_EVERY_SECONDS)
        try:
            self.broker.expire(self._purge_clock.now())
        except (resources.ApiError, sqlite3.Error) as error:
            logs.log("ERROR", "the local bus cannot delete old messages; it tries again later", detail=str(error))


class Broker:
    """The topics, as a GET returns them, the subscribers by name, and the messages on their way.

    The file is written once for all that is published in one turn of the event loop. Acknowledgements and failures are
    pending until then, or until a timer writes them.
    """

    def __init__(self, store: Store) -> None:
        self.topics: dict[str, JsonObject] = {}
        self.subscribers: dict[str, Subscriber] = {}
        self._store = store
        self._batcher: batching.Batcher[_Publish, list[str]] = batching.Batcher(
            self._publish_batch, max_batch=200, max_waiting=5000
        )
        # Grows with time, so that an id is not used again after a restart.
        self._next_id = max(store.newest_id() + 1, int(time.time() * 1_000_000))
        self._pending = Changes()
        self._flush_timer: asyncio.TimerHandle | None = None

    def topic(self, name: str) -> JsonObject:
        """Raises ApiError if there is none, as `subscriber` does."""
        if name not in self.topics:
            raise resources.not_found(name)
        return self.topics[name]

    def subscriber(self, name: str) -> Subscriber:
        if name not in self.subscribers:
            raise resources.not_found(name)
        return self.subscribers[name]

    def _subscribers_of(self, topic: str) -> list[Subscriber]:
        return [each for each in self.subscribers.values() if each.config.topic == topic]

    async def publish(self, topic: str, drafts: Sequence[Draft]) -> list[str]:
        """Return the messages' ids, once they are on the disk.

        Raises ApiError, and Temporary if too many wait. Then no subscription gets them.
        """
        self.topic(topic)
        self._require_subscriber(topic)
        return await self._batcher.submit((topic, drafts))

    def _require_subscriber(self, topic: str) -> None:
        """Reject a message of Hookchain's own that nobody would get. Google accepts it, and loses it."""
        is_own = topic.rpartition("/")[2] in ports.TOPIC_NAMES
        if is_own and not self._subscribers_of(topic):
            raise resources.ApiError("UNAVAILABLE", "the topic has no subscription yet: the message would be lost")

    async def _publish_batch(self, batch: Sequence[_Publish]) -> list[list[str]]:
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
        """Add the messages to `changes`; return each with its subscribers."""
        now = time.time()
        accepted: list[tuple[Message, list[Subscriber]]] = []
        for draft in drafts:
            subscribers = [
                each
                for each in self._subscribers_of(topic)
                if resources.lets_through(each.config.filter, draft.attributes)
            ]
            message = Message(self._next_id, topic, draft.content, draft.attributes, now, len(subscribers))
            self._next_id += 1
            if subscribers:
                changes.messages.append(message)
                changes.unacknowledged.extend((each.id, message.id) for each in subscribers)
            accepted.append((message, subscribers))
        return accepted

    # The next three are called by a subscriber, about one of its deliveries.

    def acknowledged(self, subscriber: Subscriber, message: Message) -> None:
        self._pending.done.append((subscriber.id, message.id))
        message.holders -= 1
        if message.holders == 0:
            self._pending.forgotten.append((message.id,))
        self._flush_soon()

    def failed(self, subscriber: Subscriber, pending: PendingDelivery) -> None:
        self._pending.failures.append((pending.failures, subscriber.id, pending.message.id))
        self._flush_soon()

    def dead_lettered(self, subscriber: Subscriber, pending: PendingDelivery) -> None:
        """Publish the message on the subscription's dead-letter topic. The caller then acknowledges the message."""
        policy = subscriber.config.dead_letter
        assert policy
        draft = dead_letter(pending.message, subscriber.config.name, pending.failures)
        # Pending, as the acknowledgement is, and so written in the same transaction: never lost between the two topics.
        # It is offered before it is written: if the process ends before, the first topic delivers the message again.
        for message, takers in self._accept(policy.topic, [draft], self._pending):
            for taker in takers:
                taker.offer(message)
                taker.wake()

    def flush(self) -> None:
        """Write what is pending. Raises ApiError (UNAVAILABLE) if the file cannot be written; it stays pending then."""
        self._write(Changes())

    def _write(self, changes: Changes) -> None:
        """Write what is pending, and `changes`. Raises ApiError if that fails: then `changes` are dropped."""
        try:
            self._store.write(self._pending, changes)  # in one transaction
        except sqlite3.Error as error:
            logs.log("ERROR", "the local bus cannot write its file", detail=str(error))
            raise resources.ApiError("UNAVAILABLE", f"The local bus cannot write its file: {error}") from error
        self._pending = Changes()

    def _flush_soon(self, seconds: float = ACK_FLUSH_SECONDS) -> None:
        if self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(seconds, self._flush_now)

    def _flush_now(self) -> None:
        self._flush_timer = None
        try:
            self.flush()
        except resources.ApiError:
            self._flush_soon(FLUSH_AGAIN_SECONDS)

    def expire(self, now: float) -> None:
        """Delete what is past its retention. `now` is Unix seconds. Raises ApiError and sqlite3.Error."""
        self.flush()
        for subscriber in self.subscribers.values():
            oldest = now - subscriber.config.retention_seconds
            subscriber.drop(published_before=oldest)
            if count := self._store.expire(subscriber.id, oldest):
                text = "the local bus deleted messages that were not acknowledged within their retention"
                logs.log("ERROR", text, count=count, topic=subscriber.config.topic.rpartition("/")[2])
        self._store.forget_unowed()

    def stop(self) -> None:
        """Write what is pending. If that fails, it is logged and those messages are delivered again after a restart."""
        if self._flush_timer:
            self._flush_timer.cancel()
        with contextlib.suppress(resources.ApiError):
            self.flush()


def _require_new(name: str, existing: Collection[str]) -> None:
    if name in existing:
        project_resource = name.rpartition("/")[2]
        raise resources.ApiError(
            "ALREADY_EXISTS", f"Resource already exists in the project (resource={project_resource})."
        )


def _supported(resource: str, settings: Collection[str]) -> JsonObject:
    """Return a stored resource without settings that only an earlier version emulated."""
    return {name: value for name, value in json.loads(resource).items() if name in settings}
