"""From the file back into memory: after a restart, and after a seek."""

import json
from collections.abc import Callable

from deploy.dev.pubsub.message_store import MessageStore
from deploy.dev.pubsub.messages import Message
from deploy.dev.pubsub.registry import Registry
from deploy.dev.pubsub.store import Store
from deploy.dev.pubsub.subscriber import Subscriber
from deploy.dev.pubsub.subscriptions import Subscription, subscription_from
from deploy.dev.pubsub.topics import topic_from


def load(
    registry: Registry, store: Store, messages: MessageStore, make: Callable[[int, Subscription], Subscriber]
) -> int:
    """Everything that is kept; answers how many deliveries are owed."""
    for name, resource in store.topics():
        registry.put_topic(topic_from(name, json.loads(resource)))
    alive: dict[int, Message] = {}
    owed = 0
    for subscriber_id, name, resource in store.subscriptions():
        subscriber = make(subscriber_id, subscription_from(name, json.loads(resource)))
        registry.put_subscriber(subscriber)
        owed += restore(subscriber, messages, alive)
    return owed


def restore(subscriber: Subscriber, messages: MessageStore, alive: dict[int, Message]) -> int:
    """What the subscriber owes by the file. `alive` are the messages that others hold: each is there only once."""
    restored = 0
    for message, failures in messages.backlog(subscriber.id):
        shared = alive.setdefault(message.id, message)
        shared.holders = message.holders
        subscriber.restore(shared, failures)
        restored += 1
    return restored
