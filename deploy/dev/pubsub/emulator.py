"""The emulated Pub/Sub over one state folder."""

import asyncio
import random
import sqlite3
from pathlib import Path
from typing import Final

from deploy.dev.pubsub.administration import Administration
from deploy.dev.pubsub.backlog import Alarm
from deploy.dev.pubsub.broker import Broker, Registry
from deploy.dev.pubsub.faults import FaultPlan, Faults
from deploy.dev.pubsub.google_json import ApiError
from deploy.dev.pubsub.push_tokens import PushTokens
from deploy.dev.pubsub.pusher import PushClient
from deploy.dev.pubsub.store import Store
from shared.logs import log
from shared.retention import PurgeClock

EXPIRE_EVERY_SECONDS: Final = 600.0
STOP_GRACE_SECONDS: Final = 1.0


class PubSub:
    """All parts together. Create it within the running event loop; `start` begins delivery."""

    def __init__(self, state_folder: Path) -> None:
        self.plan = FaultPlan(Faults(), random.Random(0))  # noqa: S311 -- dice for faults
        self.registry = Registry()
        self._store = Store(state_folder)
        self.tokens = PushTokens(state_folder)
        self._client = PushClient(self.tokens)
        self.broker = Broker(self.registry, self._store)
        self.administration = Administration(self.registry, self._store, self.broker, self._client, self.plan)
        self._expiry = Alarm(self._expire)
        self._purge_clock = PurgeClock(self._store.newest_at())

    def start(self) -> int:
        """Begin delivery; return how many deliveries are owed from before."""
        unacknowledged = self.administration.load()
        self._expire()
        for subscriber in self.registry.subscribers.values():
            subscriber.wake()
        return unacknowledged

    async def stop(self) -> None:
        """Stop, after a moment for the pushes in progress, so that their acknowledgements are stored."""
        self._expiry.cancel()
        await asyncio.gather(*(s.stop(STOP_GRACE_SECONDS) for s in self.registry.subscribers.values()))
        self._client.close()
        self.broker.stop()
        self._store.close()

    def _expire(self) -> None:
        self._expiry.set(asyncio.get_running_loop().time() + EXPIRE_EVERY_SECONDS)
        try:
            self.broker.expire(self._purge_clock.now())
        except (ApiError, sqlite3.Error) as error:
            log("ERROR", "the emulated bus cannot delete old messages; it tries again later", detail=str(error))
