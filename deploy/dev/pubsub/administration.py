"""Topics and subscriptions created, updated, deleted, and loaded again after a restart."""

import json
from collections.abc import Collection
from copy import deepcopy

from deploy.dev.pubsub.broker import Broker, Registry
from deploy.dev.pubsub.faults import FaultPlan
from deploy.dev.pubsub.google_json import Fields, already_exists, camel, invalid, not_emulated
from deploy.dev.pubsub.messages import Message
from deploy.dev.pubsub.pusher import PushClient
from deploy.dev.pubsub.resources import (
    DELETED_TOPIC,
    NOT_EMULATED,
    TOPIC_NOT_EMULATED,
    TOPIC_UPDATABLE,
    UPDATABLE,
    Subscription,
    Topic,
    subscription_from,
    topic_from,
)
from deploy.dev.pubsub.store import Store
from deploy.dev.pubsub.subscriber import Subscriber
from shared.jsontext import JsonObject, to_json


class Administration:
    def __init__(self, registry: Registry, store: Store, broker: Broker, client: PushClient, plan: FaultPlan) -> None:
        self._registry = registry
        self._store = store
        self._broker = broker
        self._client = client
        self._plan = plan

    def load(self) -> int:
        """Load all that is stored; return how many deliveries are owed."""
        for name, resource in self._store.topics():
            self._registry.topics[name] = topic_from(name, _emulated(resource, TOPIC_NOT_EMULATED))
        alive: dict[int, Message] = {}  # a message is in memory once, however many subscriptions are owed it
        unacknowledged = 0
        for subscriber_id, name, resource in self._store.subscriptions():
            subscriber = self._subscriber(subscriber_id, subscription_from(name, _emulated(resource, NOT_EMULATED)))
            self._registry.put_subscriber(subscriber)
            for message, failures in self._store.backlog(subscriber_id):
                subscriber.restore(alive.setdefault(message.id, message), failures)
                unacknowledged += 1
        return unacknowledged

    def create_topic(self, name: str, body: JsonObject) -> JsonObject:
        topic = topic_from(name, body)
        if name in self._registry.topics:
            raise already_exists(name)
        return self._put_topic(topic)

    def patch_topic(self, name: str, body: JsonObject) -> JsonObject:
        resource = self._registry.topic(name).resource
        changed = patched(resource, body, "topic", TOPIC_UPDATABLE, TOPIC_NOT_EMULATED)
        return self._put_topic(topic_from(name, changed))

    def delete_topic(self, name: str) -> None:
        """Delete a topic. Its subscriptions stay, and deliver what they still owe."""
        self._registry.topic(name)
        self._broker.flush()
        self._store.delete_topic(name)
        attached = list(self._registry.subscribers_of(name))
        del self._registry.topics[name]
        for subscriber in attached:
            self._change(subscriber, subscriber.config.resource | {"topic": DELETED_TOPIC})

    def create_subscription(self, name: str, body: JsonObject) -> JsonObject:
        config = subscription_from(name, body)
        if name in self._registry.subscribers:
            raise already_exists(name)
        self._registry.topic(config.topic)
        self._verify_dead_letter_topic(config)
        subscriber_id = self._store.add_subscription(name, to_json(config.resource))
        self._registry.put_subscriber(self._subscriber(subscriber_id, config))
        return config.resource

    def patch_subscription(self, name: str, body: JsonObject) -> JsonObject:
        subscriber = self._registry.subscriber(name)
        changed = patched(subscriber.config.resource, body, "subscription", UPDATABLE, NOT_EMULATED)
        return self._change(subscriber, changed)

    def modify_push(self, name: str, body: JsonObject) -> None:
        subscriber = self._registry.subscriber(name)
        push_config = Fields(body, "", {"pushConfig"}).message("pushConfig")
        self._change(subscriber, subscriber.config.resource | {"pushConfig": push_config or {}})

    async def delete_subscription(self, name: str) -> None:
        subscriber = self._registry.subscriber(name)
        self._broker.flush()
        subscriber.drop()
        self._registry.remove_subscriber(name)
        self._store.delete_subscription(subscriber.id)
        self._store.forget_unowed()
        await subscriber.stop(grace_seconds=0)

    def _put_topic(self, topic: Topic) -> JsonObject:
        self._store.put_topic(topic.name, to_json(topic.resource))
        self._registry.topics[topic.name] = topic
        return topic.resource

    def _change(self, subscriber: Subscriber, resource: JsonObject) -> JsonObject:
        config = subscription_from(subscriber.config.name, resource)
        if config.dead_letter != subscriber.config.dead_letter:
            self._verify_dead_letter_topic(config)
        self._store.put_subscription(subscriber.id, to_json(config.resource))
        subscriber.config = config
        self._registry.put_subscriber(subscriber)
        subscriber.wake()
        return config.resource

    def _subscriber(self, subscriber_id: int, config: Subscription) -> Subscriber:
        return Subscriber(subscriber_id, config, self._broker, self._client, self._plan)

    def _verify_dead_letter_topic(self, config: Subscription) -> None:
        if config.dead_letter:
            self._registry.topic(config.dead_letter.topic)


def _emulated(resource: str, unemulated: Collection[str]) -> JsonObject:
    """Return a stored resource without settings that an earlier version emulated."""
    return {name: value for name, value in json.loads(resource).items() if name not in unemulated}


def patched(
    resource: JsonObject, body: JsonObject, kind: str, updatable: Collection[str], unemulated: Collection[str]
) -> JsonObject:
    """Return a copy of the resource with the fields of the update mask replaced; a field absent in the patch goes."""
    fields = Fields(body, "", {kind, "updateMask"})
    changes, result = fields.message(kind) or {}, deepcopy(resource)
    for path in mask_paths(fields.text("updateMask"), updatable, unemulated):
        _replace(result, changes, path)
    return result


def mask_paths(mask: str, updatable: Collection[str], unemulated: Collection[str] = ()) -> list[list[str]]:
    """Split `pushConfig,retryPolicy.minimumBackoff`, in camelCase or snake_case. Raises ApiError."""
    paths = [camel(path.strip()).split(".") for path in mask.split(",") if path.strip()]
    if not paths:
        raise invalid("The update_mask in the request is empty; it names the fields to update.")
    for path in paths:
        if path[0] in unemulated:
            raise not_emulated(path[0])
        if path[0] not in updatable:
            raise invalid(f"Invalid update_mask: the field '{'.'.join(path)}' cannot be updated.")
    return paths


def _replace(target: JsonObject, changes: JsonObject, path: list[str]) -> None:
    name, rest = path[0], path[1:]
    changed = {camel(key): value for key, value in changes.items()}.get(name)
    if not rest:
        if changed is None:
            target.pop(name, None)
        else:
            target[name] = changed
        return
    inner = target.get(name)
    inner = dict(inner) if isinstance(inner, dict) else {}
    _replace(inner, changed if isinstance(changed, dict) else {}, rest)
    target[name] = inner
