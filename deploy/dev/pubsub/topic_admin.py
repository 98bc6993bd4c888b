"""Making, changing and removing topics."""

import time

from deploy.dev.pubsub.broker import Broker
from deploy.dev.pubsub.errors import already_exists
from deploy.dev.pubsub.fields import Fields
from deploy.dev.pubsub.masks import mask_paths, patched
from deploy.dev.pubsub.message_store import MessageStore
from deploy.dev.pubsub.names import DELETED_TOPIC
from deploy.dev.pubsub.registry import Registry
from deploy.dev.pubsub.store import Store
from deploy.dev.pubsub.subscriber import Subscriber
from deploy.dev.pubsub.subscriptions import subscription_from
from deploy.dev.pubsub.topics import NOT_EMULATED, UPDATABLE, Topic, topic_from
from shared.jsontext import JsonObject, to_json


class TopicAdmin:
    def __init__(self, registry: Registry, store: Store, messages: MessageStore, broker: Broker) -> None:
        self._registry = registry
        self._store = store
        self._messages = messages
        self._broker = broker

    def create(self, name: str, body: JsonObject) -> JsonObject:
        topic = topic_from(name, body)
        if name in self._registry.topics:
            raise already_exists(name)
        return self._put(topic)

    def patch(self, name: str, body: JsonObject) -> JsonObject:
        old = self._registry.topic(name)
        fields = Fields(body, "", {"topic", "updateMask"})
        paths = mask_paths(fields.text("updateMask"), UPDATABLE, NOT_EMULATED)
        return self._put(topic_from(name, patched(old.resource, fields.message("topic") or {}, paths)))

    def delete(self, name: str) -> None:
        """Its subscriptions stay, and deliver what they still owe."""
        self._registry.topic(name)
        self._broker.flush()
        self._store.delete_topic(name)
        self._messages.forget(name, time.time())
        attached = list(self._registry.subscribers_of(name))
        self._registry.remove_topic(name)
        for subscriber in attached:
            self._orphan(subscriber)

    def _put(self, topic: Topic) -> JsonObject:
        self._store.put_topic(topic.name, to_json(topic.resource))
        self._registry.put_topic(topic)
        return topic.resource

    def _orphan(self, subscriber: Subscriber) -> None:
        resource = subscriber.config.resource | {"topic": DELETED_TOPIC}
        subscriber.config = subscription_from(subscriber.config.name, resource)
        self._store.put_subscription(subscriber.id, to_json(resource))
        self._registry.put_subscriber(subscriber)
