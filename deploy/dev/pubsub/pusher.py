"""Push delivery of one subscription: as many at once as its window allows, started by what arrives."""

import asyncio
from typing import Final, Protocol

from deploy.dev.pubsub.alarm import Alarm
from deploy.dev.pubsub.backlog import Owed
from deploy.dev.pubsub.faults import FaultPlan
from deploy.dev.pubsub.push_client import PushClient
from deploy.dev.pubsub.subscriptions import Subscription
from deploy.dev.pubsub.window import Window
from deploy.dev.pubsub.wire import bare_body, bare_headers, push_body

_JSON: Final = {"Content-Type": "application/json"}
_BARE: Final = {"Content-Type": "application/octet-stream"}


class Debtor(Protocol):
    """Who owes the messages: the subscriber."""

    config: Subscription

    def take(self, now: float) -> Owed | None: ...

    def attempt_of(self, owed: Owed) -> int | None: ...

    def acknowledged(self, owed: Owed) -> None: ...

    def failed(self, owed: Owed) -> None: ...


class Pusher:
    def __init__(self, debtor: Debtor, client: PushClient, plan: FaultPlan) -> None:
        self._debtor = debtor
        self._client = client
        self._plan = plan
        self._window = Window()
        self._under_way: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(self.wake)
        self._stopped = False

    def wake(self) -> None:
        """Push what is ready, as far as there is room."""
        loop = asyncio.get_running_loop()
        while self._debtor.config.push and not self._stopped:
            now = loop.time()
            opens_at = self._window.opens_at(len(self._under_way), now)
            if opens_at is None or opens_at > now:
                self._alarm.set(opens_at)
                return
            owed = self._debtor.take(now)
            if owed is None:
                return
            task = loop.create_task(self._push(owed))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    async def stop(self, grace_seconds: float) -> None:
        """What is not answered by then comes again after the next start."""
        self._stopped = True
        self._alarm.cancel()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and not task.exception():
            self.wake()

    async def _push(self, owed: Owed) -> None:
        acknowledged = await self._send(owed)
        if acknowledged and self._plan.loses_acknowledgement():
            self._debtor.failed(owed)
        elif acknowledged:
            self._window.succeeded()
            self._debtor.acknowledged(owed)
        else:
            self._window.failed(asyncio.get_running_loop().time())
            self._debtor.failed(owed)

    async def _send(self, owed: Owed) -> bool:
        config = self._debtor.config
        target = config.push
        if target is None:
            return False
        if target.wrapped:
            body, headers = push_body(owed.message, config.name, self._debtor.attempt_of(owed)), _JSON
        else:
            body, headers = bare_body(owed.message), _BARE | bare_headers(owed.message, config.name, target)
        try:
            headers = headers | self._client.authorization(target)
        except OSError:  # the state folder is gone or full: the message comes again, as after any failed push
            return False
        return await self._client.push(target.endpoint, body, headers, config.ack_deadline_seconds)
