"""The emulated Pub/Sub, put together over one state folder."""

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import Final

from deploy.dev.pubsub.alarm import Alarm
from deploy.dev.pubsub.broker import Broker
from deploy.dev.pubsub.errors import ApiError
from deploy.dev.pubsub.faults import FaultPlan, Faults
from deploy.dev.pubsub.message_store import MessageStore
from deploy.dev.pubsub.push_client import PushClient
from deploy.dev.pubsub.push_tokens import PushTokens
from deploy.dev.pubsub.recovery import load
from deploy.dev.pubsub.registry import Registry
from deploy.dev.pubsub.retention import expire
from deploy.dev.pubsub.store import Store
from deploy.dev.pubsub.subscription_admin import SubscriptionAdmin
from deploy.dev.pubsub.topic_admin import TopicAdmin
from shared.logs import log
from shared.retention import PurgeClock

EXPIRE_EVERY_SECONDS: Final = 600.0
STOP_GRACE_SECONDS: Final = 1.0


class PubSub:
    """Make it within the running event loop; `start` begins delivery."""

    def __init__(self, state_folder: Path) -> None:
        self.plan = FaultPlan(Faults(), random.Random(0))  # noqa: S311 -- dice for faults
        self.registry = Registry()
        self._store = Store(state_folder)
        self._messages = MessageStore(self._store)
        self.tokens = PushTokens(state_folder)
        self._client = PushClient(self.tokens)
        self.broker = Broker(self.registry, self._messages)
        self.topics = TopicAdmin(self.registry, self._store, self._messages, self.broker)
        self.subscriptions = SubscriptionAdmin(
            self.registry, self._store, self._messages, self.broker, self._client, self.plan
        )
        self._expiry = Alarm(self._expire)
        self._purge_clock = PurgeClock(self._messages.newest_at())

    def start(self) -> int:
        """Answers how many deliveries are owed from before."""
        owed = load(self.registry, self._store, self._messages, self.subscriptions.make)
        self._expire()
        for subscriber in self.registry.subscribers.values():
            subscriber.wake()
        return owed

    async def stop(self) -> None:
        """Waits a moment for the pushes that are under way, so that their acknowledgements are kept."""
        self._expiry.cancel()
        await asyncio.gather(*(s.stop(STOP_GRACE_SECONDS) for s in self.registry.subscribers.values()))
        self._client.close()
        self.broker.stop()
        self._store.close()

    def _expire(self) -> None:
        self._expiry.set(asyncio.get_running_loop().time() + EXPIRE_EVERY_SECONDS)
        try:
            expire(self.registry, self._messages, self.broker, self._purge_clock.now())
        except (ApiError, sqlite3.Error) as error:
            log("ERROR", "the emulated bus cannot clear away old messages; it tries again later", detail=str(error))
