"""What is too old goes: for each subscription by its retention, for each topic by its own."""

from deploy.dev.pubsub.broker import Broker
from deploy.dev.pubsub.message_store import MessageStore
from deploy.dev.pubsub.registry import Registry


def expire(registry: Registry, messages: MessageStore, broker: Broker, now: float) -> None:
    """`now` is Unix seconds."""
    broker.flush()
    for subscriber in registry.subscribers.values():
        oldest = now - subscriber.config.retention_seconds
        subscriber.drop(published_before=oldest)
        messages.expire(subscriber.id, oldest)
    for topic in registry.topics.values():
        messages.forget(topic.name, now - topic.retention_seconds)
    messages.forget_orphans()
