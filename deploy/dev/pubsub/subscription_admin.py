"""Making, changing and removing subscriptions; and moving them in time."""

import time

from deploy.dev.pubsub.broker import Broker
from deploy.dev.pubsub.errors import already_exists
from deploy.dev.pubsub.faults import FaultPlan
from deploy.dev.pubsub.fields import Fields
from deploy.dev.pubsub.filters import lets_through
from deploy.dev.pubsub.masks import mask_paths, patched
from deploy.dev.pubsub.message_store import MessageStore
from deploy.dev.pubsub.messages import content_of
from deploy.dev.pubsub.push_client import PushClient
from deploy.dev.pubsub.recovery import restore
from deploy.dev.pubsub.registry import Registry
from deploy.dev.pubsub.store import Store
from deploy.dev.pubsub.subscriber import Subscriber
from deploy.dev.pubsub.subscriptions import NOT_EMULATED, UPDATABLE, Subscription, subscription_from
from shared.jsontext import JsonObject, to_json


class SubscriptionAdmin:
    def __init__(
        self,
        registry: Registry,
        store: Store,
        messages: MessageStore,
        broker: Broker,
        client: PushClient,
        plan: FaultPlan,
    ) -> None:
        self._registry = registry
        self._store = store
        self._messages = messages
        self._broker = broker
        self._client = client
        self._plan = plan

    def create(self, name: str, body: JsonObject) -> JsonObject:
        config = subscription_from(name, {k: v for k, v in body.items() if k != "detached"})
        if name in self._registry.subscribers:
            raise already_exists(name)
        self._registry.topic(config.topic)
        self._verify_dead_letter_topic(config)
        subscriber_id = self._store.add_subscription(name, to_json(config.resource))
        self._registry.put_subscriber(self.make(subscriber_id, config))
        return config.resource

    def patch(self, name: str, body: JsonObject) -> JsonObject:
        subscriber = self._registry.subscriber(name)
        fields = Fields(body, "", {"subscription", "updateMask"})
        paths = mask_paths(fields.text("updateMask"), UPDATABLE, NOT_EMULATED)
        changes = fields.message("subscription") or {}
        return self._change(subscriber, patched(subscriber.config.resource, changes, paths))

    def modify_push(self, name: str, body: JsonObject) -> None:
        subscriber = self._registry.subscriber(name)
        push_config = Fields(body, "", {"pushConfig"}).message("pushConfig")
        self._change(subscriber, subscriber.config.resource | {"pushConfig": push_config or {}})

    def detach(self, name: str) -> None:
        subscriber = self._registry.subscriber(name)
        topic = subscriber.config.topic
        self._change(subscriber, subscriber.config.resource | {"detached": True})
        self._broker.flush()
        subscriber.drop()
        self._messages.acknowledge_all(subscriber.id)
        self._messages.forget(topic, time.time())

    async def delete(self, name: str) -> None:
        subscriber = self._registry.subscriber(name)
        self._broker.flush()
        subscriber.drop()
        self._registry.remove_subscriber(name)
        self._store.delete_subscription(subscriber.id)
        self._messages.forget(subscriber.config.topic, time.time())
        await subscriber.stop(grace_seconds=0)

    def seek(self, name: str, to: float) -> None:
        """What was published before `to` is acknowledged, what is kept and came since is not."""
        subscriber = self._registry.subscriber(name)
        config = subscriber.config
        self._broker.flush()
        subscriber.drop()
        self._messages.seek(subscriber.id, to, config.retains_acked)
        self._owe_what_the_topic_keeps(subscriber, to)
        others = self._registry.subscribers_of(config.topic)
        restore(subscriber, self._messages, {m.id: m for other in others for m in other.held()})
        subscriber.wake()

    def make(self, subscriber_id: int, config: Subscription) -> Subscriber:
        return Subscriber(subscriber_id, config, self._broker, self._client, self._plan)

    def _owe_what_the_topic_keeps(self, subscriber: Subscriber, to: float) -> None:
        """A topic with a retention of its own lets every subscription seek back to what it has acknowledged."""
        config = subscriber.config
        topic = self._registry.topics.get(config.topic)
        if topic and topic.retention_seconds:
            kept = self._messages.of_topic(topic.name, max(to, time.time() - topic.retention_seconds))
            wanted = [n for n, text in kept if lets_through(config.filter, content_of(text).get("attributes", {}))]
            self._messages.owe_again(subscriber.id, wanted)

    def _change(self, subscriber: Subscriber, resource: JsonObject) -> JsonObject:
        config = subscription_from(subscriber.config.name, resource)
        if config.dead_letter != subscriber.config.dead_letter:
            self._verify_dead_letter_topic(config)
        self._store.put_subscription(subscriber.id, to_json(config.resource))
        subscriber.config = config
        self._registry.put_subscriber(subscriber)
        subscriber.wake()
        return config.resource

    def _verify_dead_letter_topic(self, config: Subscription) -> None:
        if config.dead_letter:
            self._registry.topic(config.dead_letter.topic)
