"""Push delivery of one subscription: as many pushes at once as its window allows, over kept HTTP connections."""

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol
from urllib.parse import urlsplit

from deploy.dev.pubsub.backlog import Alarm, PendingDelivery
from deploy.dev.pubsub.faults import FaultPlan
from deploy.dev.pubsub.messages import push_body
from deploy.dev.pubsub.push_tokens import PushTokens
from deploy.dev.pubsub.resources import PushTarget, Subscription
from shared.cloud.platform import EMULATED_FIRST_PLACES, EMULATED_PLACES
from shared.outgoing.http_client import HttpClient

FIRST_LIMIT: Final = EMULATED_FIRST_PLACES
LEAST_LIMIT: Final = 4
MOST_LIMIT: Final = EMULATED_PLACES
FAILURES_BEFORE_PAUSE: Final = 8
FIRST_PAUSE_SECONDS: Final = 0.1  # Google's
LONGEST_PAUSE_SECONDS: Final = 2.0  # Google's is 60; here a person waits for the restarted function
ACKNOWLEDGING: Final = frozenset({102, 200, 201, 202, 204})
_HEADERS: Final = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "CloudPubSub-Google",
}


class DeliverySource(Protocol):
    """The part of a subscriber that a Pusher and a Puller use."""

    config: Subscription

    def take(self, now: float) -> PendingDelivery | None: ...

    def attempt_of(self, pending: PendingDelivery) -> int | None: ...

    def acknowledged(self, pending: PendingDelivery) -> None: ...

    def failed(self, pending: PendingDelivery) -> None: ...


class Pusher:
    def __init__(self, source: DeliverySource, client: "PushClient", plan: FaultPlan) -> None:
        self._source = source
        self._client = client
        self._plan = plan
        self._window = Window()
        self._under_way: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(self.wake)
        self._stopped = False

    def wake(self) -> None:
        """Push what is ready, as far as there is room."""
        loop = asyncio.get_running_loop()
        while self._source.config.push and not self._stopped:
            now = loop.time()
            opens_at = self._window.opens_at(len(self._under_way), now)
            if opens_at is None or opens_at > now:
                self._alarm.set(opens_at)
                return
            pending = self._source.take(now)
            if pending is None:
                return
            task = loop.create_task(self._push(pending))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    async def stop(self, grace_seconds: float) -> None:
        """Stop; pushes without a response by then are sent again after the next start."""
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

    async def _push(self, pending: PendingDelivery) -> None:
        config, acknowledged = self._source.config, False
        if config.push is not None:
            body = push_body(pending.message, config.name, self._source.attempt_of(pending))
            acknowledged = await self._client.push(config.push, body, config.ack_deadline_seconds)
        if acknowledged and self._plan.loses_acknowledgement():
            self._source.failed(pending)
        elif acknowledged:
            self._window.succeeded()
            self._source.acknowledged(pending)
        else:
            self._window.failed(asyncio.get_running_loop().time())
            self._source.failed(pending)


class PushClient:
    """Sends pushes with our own HTTP client: measured, a request takes a third of the time of one over aiohttp's."""

    def __init__(self, tokens: PushTokens | None = None) -> None:
        self._tokens = tokens
        self._clients: dict[str, HttpClient] = {}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    async def push(self, target: PushTarget, body: bytes, timeout_seconds: float) -> bool:
        """Return whether the endpoint acknowledged; no response within the timeout is no acknowledgement."""
        parts = urlsplit(target.endpoint)
        authority = parts.netloc.rpartition("@")[2]
        client = self._clients.get(authority)
        if client is None:
            client = self._clients[authority] = HttpClient(f"http://{authority}", takes_interim=True)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            # A server closes a kept connection just as we write to it: that says nothing about the message.
            answer = await client.call("POST", path, self._headers(target), body, timeout_seconds, may_repeat=True)
        except OSError:  # a timeout is one, and a state folder that is gone or full, in which there is no key
            return False
        return answer.status in ACKNOWLEDGING

    def _headers(self, target: PushTarget) -> Mapping[str, str]:
        """Return the headers, with the account's token if the subscription names an account. Raises OSError."""
        if not target.account or self._tokens is None:
            return _HEADERS
        return {**_HEADERS, "Authorization": f"Bearer {self._tokens.token(target.account, target.audience)}"}


class Window:
    """The limit of concurrent pushes, after Google's flow control.

    It grows with each acknowledgement and halves when pushes fail. When only failures return, delivery pauses, so that
    an endpoint that is down does not use up every message's attempts.
    https://cloud.google.com/pubsub/docs/push#push_backoff
    """

    def __init__(self) -> None:
        self.limit: int = FIRST_LIMIT
        self._failures_in_a_row = 0
        self._paused_until = 0.0

    def succeeded(self) -> None:
        self._failures_in_a_row = 0
        self._paused_until = 0.0
        self.limit = min(MOST_LIMIT, self.limit + 1)

    def failed(self, now: float) -> None:
        if now < self._paused_until:
            return  # it was sent before the pause began
        self._failures_in_a_row += 1
        self.limit = max(LEAST_LIMIT, self.limit // 2)
        beyond = self._failures_in_a_row - FAILURES_BEFORE_PAUSE
        if beyond >= 0:
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(beyond, 10))
            self._paused_until = now + pause

    def opens_at(self, under_way: int, now: float) -> float | None:
        """Return when the next push may start, or None while the limit is reached: a push that ends asks again."""
        if under_way >= self.limit:
            return None
        return max(now, self._paused_until)
