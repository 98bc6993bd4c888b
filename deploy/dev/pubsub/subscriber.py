"""One subscription of the emulated Pub/Sub: its pending deliveries, pushed or pulled, and the outcome of each.

    Broker ──offer, wake──▶ Subscriber ──▶ Backlog ──take──▶ Pusher or Puller ──acknowledged, failed──▶ Subscriber

The broker offers messages to a `Subscriber`, then wakes it. A delivery stays in the `Backlog`, ready or waiting for its
time, until the `Pusher` or the `Puller` takes it, and pushes it or leases it to a client that pulls. Either reports the
outcome to the subscriber, which lets the broker record it and puts a failed delivery back into the backlog. All times
are seconds of the event loop's clock.
"""

import asyncio
import contextlib
import heapq
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from deploy.dev.faults import FaultPlan
from deploy.dev.pubsub.messages import Message, kept_back_seconds, push_body, received_message
from deploy.dev.pubsub.push_tokens import PushTokens
from deploy.dev.pubsub.resources import PushTarget, RetryPolicy, Subscription
from shared import logs
from shared.cloud.platform import EMULATED_FIRST_PLACES, EMULATED_PLACES
from shared.outgoing.http_client import HttpClient

SOURCE_ATTRIBUTE: Final = "ce-source"
"""The attribute with the source of an event, or with the route of a delivery."""
IMMEDIATE_RETRY_SECONDS: Final = 0.1
"""Google redelivers "as soon as possible" without a retry policy. A short wait spares a broken endpoint the CPU."""
LEAST_LIMIT: Final = 4
"""The fewest concurrent pushes to which failures reduce a window."""
FAILURES_BEFORE_PAUSE: Final = 8
FIRST_PAUSE_SECONDS: Final = 0.1  # as Google's
LONGEST_PAUSE_SECONDS: Final = 2.0  # Google's is 60, but here a person waits for the restarted function
ACKNOWLEDGING: Final = frozenset({102, 200, 201, 202, 204})
"""The statuses by which an endpoint acknowledges a push, as for Google."""
_HEADERS: Final = {
    "Accept": "application/json",
    "Content-Type": "application/json",
    "User-Agent": "CloudPubSub-Google",
}


class Recorder(Protocol):
    """The part of the broker that records outcomes."""

    def acknowledged(self, subscriber: "Subscriber", message: Message) -> None: ...

    def failed(self, subscriber: "Subscriber", pending: "PendingDelivery") -> None: ...

    def dead_lettered(self, subscriber: "Subscriber", pending: "PendingDelivery") -> None: ...


@dataclass(slots=True, eq=False)
class PendingDelivery:
    """A message for one subscription.

    failures    the number of deliveries that were not acknowledged
    is_copy     a fault on demand added it. If its delivery fails, nothing is recorded, and it is not delivered again
    is_settled  it was acknowledged or dropped, so the outcome of a delivery in progress has no effect
    """

    message: Message
    failures: int = 0
    is_copy: bool = False
    is_settled: bool = False


class Subscriber:
    """A subscription at work. `config` may be replaced at any time; `wake` applies it."""

    def __init__(
        self, subscriber_id: int, config: Subscription, recorder: Recorder, client: "PushClient", plan: FaultPlan
    ) -> None:
        self.id = subscriber_id
        self.config = config
        self.pusher = Pusher(self, client, plan)
        self.puller = Puller(self)
        self._recorder = recorder
        self._plan = plan
        self._unsettled: dict[int, PendingDelivery] = {}
        self._backlog = Backlog()
        self._alarm = Alarm(self.wake)

    def offer(self, message: Message) -> None:
        """Add a new message; `wake` delivers it."""
        pending = self._unsettled[message.id] = PendingDelivery(message)
        arrival = self._plan.arrival()
        delay = max(arrival.delay_seconds, kept_back_seconds(message, time.time()))
        self._add(pending, delay)
        if arrival.copy_after_seconds is not None:
            self._add(PendingDelivery(message, is_copy=True), delay + arrival.copy_after_seconds)

    def restore(self, message: Message, failures: int) -> None:
        """Add a message from before the restart."""
        pending = self._unsettled[message.id] = PendingDelivery(message, failures)
        self._add(pending, kept_back_seconds(message, time.time()))

    def wake(self) -> None:
        """Deliver what is ready."""
        self._backlog.promote_due(asyncio.get_running_loop().time())
        self._alarm.set(self._backlog.next_time())
        if self.config.push:
            self.pusher.wake()
        else:
            self.puller.wake()

    def take(self, now: float) -> PendingDelivery | None:
        """Return the next delivery that is ready, or None. The caller must report its outcome."""
        pending = self._backlog.take(now)
        self._alarm.set(self._backlog.next_time())
        return pending

    def attempt_number(self, pending: PendingDelivery) -> int | None:
        """Return the attempt's number from 1, or None without a dead-letter policy, as Google does."""
        return pending.failures + 1 if self.config.dead_letter else None

    def acknowledged(self, pending: PendingDelivery) -> None:
        if pending.is_settled:
            return
        original = self._unsettled.pop(pending.message.id, None)
        if original:  # otherwise another copy was acknowledged first
            original.is_settled = True
            self._recorder.acknowledged(self, pending.message)

    def failed(self, pending: PendingDelivery) -> None:
        if pending.is_copy or pending.is_settled:
            return
        pending.failures += 1
        policy = self.config.dead_letter
        if policy and pending.failures >= policy.max_attempts:
            self._recorder.dead_lettered(self, pending)
            self.acknowledged(pending)  # the dead-letter topic has it now, so this subscription is done with it
            return
        self._recorder.failed(self, pending)
        self._add(pending, retry_delay(self.config.retry, pending.failures))
        self._alarm.set(self._backlog.next_time())

    def drop(self, published_before: float = math.inf) -> None:
        """Drop all pending deliveries, or those of messages published before a time, and ignore pushes in progress."""
        for pending in list(self._unsettled.values()):
            if pending.message.published_at < published_before:
                pending.is_settled = True
                del self._unsettled[pending.message.id]

    async def stop(self, grace_seconds: float) -> None:
        self._alarm.cancel()
        self.puller.stop()
        await self.pusher.stop(grace_seconds)

    def _add(self, pending: PendingDelivery, delay_seconds: float) -> None:
        if delay_seconds > 0:
            self._backlog.add_at(pending, asyncio.get_running_loop().time() + delay_seconds)
        else:
            self._backlog.add(pending)


def retry_delay(policy: RetryPolicy | None, failures: int) -> float:
    """Return the seconds until the next delivery: doubled with each failure, within the policy's bounds."""
    if policy is None:
        return IMMEDIATE_RETRY_SECONDS
    return min(policy.maximum_seconds, policy.minimum_seconds * 2.0 ** min(failures - 1, 60))


class Backlog:
    """The deliveries that are ready, and those that wait for their time.

    The sources of events (or the routes of deliveries) take turns, each in the order of its messages. Otherwise, all of
    them would wait behind a flood of one source. Google's Pub/Sub guarantees no order either, but adds instances.
    """

    def __init__(self) -> None:
        self._ready: OrderedDict[str, deque[PendingDelivery]] = OrderedDict()
        self._waiting: list[_Waiting] = []
        self._numbers = count()

    def add(self, pending: PendingDelivery) -> None:
        source = pending.message.attributes.get(SOURCE_ATTRIBUTE, "")
        self._ready.setdefault(source, deque()).append(pending)

    def add_at(self, pending: PendingDelivery, at: float) -> None:
        heapq.heappush(self._waiting, _Waiting(at, next(self._numbers), pending))

    def promote_due(self, now: float) -> None:
        """Make ready the deliveries whose time has come."""
        while self._waiting and self._waiting[0].at <= now:
            self.add(heapq.heappop(self._waiting).pending)

    def take(self, now: float) -> PendingDelivery | None:
        self.promote_due(now)
        while self._ready:
            source, deliveries = self._ready.popitem(last=False)
            pending = deliveries.popleft()
            if deliveries:
                self._ready[source] = deliveries  # at the end, so that the other sources are next
            if not pending.is_settled:
                return pending
        return None

    def next_time(self) -> float | None:
        """Return when the first waiting delivery becomes ready."""
        return self._waiting[0].at if self._waiting else None


class _Waiting(NamedTuple):
    """An entry of the heap. Its unique number decides between equal times, since deliveries cannot be compared."""

    at: float
    number: int
    pending: PendingDelivery


class Alarm:
    """One timer for the earliest time that was set. Nothing runs while nothing waits."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """Ring at `at`, unless an earlier time is set. None changes nothing."""
        if at is None or (self._at is not None and self._at <= at):
            return
        self.cancel()
        self._at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._ring_now)

    def cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._at = self._timer = None

    def _ring_now(self) -> None:
        self._at = self._timer = None
        self._ring()


class Pusher:
    """Push delivery: as many pushes at once as the window allows."""

    def __init__(self, subscriber: Subscriber, client: "PushClient", plan: FaultPlan) -> None:
        self._subscriber = subscriber
        self._client = client
        self._plan = plan
        self._window = Window()
        self._under_way: set[asyncio.Task[None]] = set()
        self._alarm = Alarm(self.wake)
        self._stopped = False

    def wake(self) -> None:
        """Push the deliveries that are ready, as many as the window has room for."""
        loop = asyncio.get_running_loop()
        while self._subscriber.config.push and not (self._stopped or self._plan.is_paused):
            now = loop.time()
            opens_at = self._window.opens_at(len(self._under_way), now)
            if opens_at is None or opens_at > now:
                self._alarm.set(opens_at)
                return
            pending = self._subscriber.take(now)
            if pending is None:
                return
            task = loop.create_task(self._push(pending))
            self._under_way.add(task)
            task.add_done_callback(partial(self._on_end, pending))

    async def stop(self, grace_seconds: float) -> None:
        """Stop after at most `grace_seconds`. Pushes without a response are sent again after the next start."""
        self._stopped = True
        self._alarm.cancel()
        if self._under_way:
            _, late = await asyncio.wait(self._under_way, timeout=grace_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _on_end(self, pending: PendingDelivery, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if task.cancelled():
            return
        if error := task.exception():
            # The error's text is not logged, because it can contain a part of the message.
            detail = f"message {pending.message.id}: {type(error).__name__}"
            logs.log("ERROR", "the local bus failed to push a message; it tries again", detail=detail)
            self._failed(pending)
        self.wake()

    async def _push(self, pending: PendingDelivery) -> None:
        config = self._subscriber.config
        is_acknowledged = False
        if config.push is not None:
            body = push_body(pending.message, config.name, self._subscriber.attempt_number(pending))
            is_acknowledged = await self._client.push(config.push, body, config.ack_deadline_seconds)
        if is_acknowledged and self._plan.happens(self._plan.faults.nack):
            self._subscriber.failed(pending)  # without effect on the window, because the endpoint works
        elif is_acknowledged:
            self._window.succeeded()
            self._subscriber.acknowledged(pending)
        else:
            self._failed(pending)

    def _failed(self, pending: PendingDelivery) -> None:
        self._window.failed(asyncio.get_running_loop().time())
        self._subscriber.failed(pending)


class Window:
    """The limit of concurrent pushes, after Google's flow control.

    It grows with each acknowledgement and halves when pushes fail. When only failures return, delivery pauses, so that
    an endpoint that is down does not use up every message's attempts.
    https://cloud.google.com/pubsub/docs/push#push_backoff
    """

    def __init__(self) -> None:
        self.limit: int = EMULATED_FIRST_PLACES
        self._failures_in_a_row = 0
        self._paused_until = 0.0

    def succeeded(self) -> None:
        self._failures_in_a_row = 0
        self._paused_until = 0.0
        self.limit = min(EMULATED_PLACES, self.limit + 1)

    def failed(self, now: float) -> None:
        if now < self._paused_until:
            return  # this push was sent before the pause began
        self._failures_in_a_row += 1
        self.limit = max(LEAST_LIMIT, self.limit // 2)
        doublings = self._failures_in_a_row - FAILURES_BEFORE_PAUSE
        if doublings >= 0:
            pause_seconds = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(doublings, 10))
            self._paused_until = now + pause_seconds

    def opens_at(self, under_way: int, now: float) -> float | None:
        """Return when the next push may start, or None if one of the pushes under way must end first."""
        if under_way >= self.limit:
            return None
        return max(now, self._paused_until)


class PushClient:
    """Sends pushes with our own HTTP client, with which a request takes a third of the time that aiohttp's needs."""

    def __init__(self, tokens: PushTokens | None = None) -> None:
        self._tokens = tokens
        self._clients: dict[str, HttpClient] = {}

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    async def push(self, target: PushTarget, body: bytes, timeout_seconds: float) -> bool:
        """Return whether the endpoint acknowledged the message within the timeout."""
        parts = urlsplit(target.endpoint)
        authority = parts.netloc.rpartition("@")[2]
        client = self._clients.get(authority)
        if client is None:
            client = self._clients[authority] = HttpClient(f"http://{authority}", takes_interim=True)
        path = parts.path or "/"
        if parts.query:
            path += f"?{parts.query}"
        try:
            # It may be repeated, because a server can close an idle connection at the moment in which it is used again.
            answer = await client.call("POST", path, self._headers(target), body, timeout_seconds, may_repeat=True)
        except OSError:  # also a timeout, or a state folder without a key for tokens because it is gone or full
            return False
        return answer.status in ACKNOWLEDGING

    def _headers(self, target: PushTarget) -> Mapping[str, str]:
        """Return the headers, with the account's token if the subscription names an account. Raises OSError."""
        if not target.account or self._tokens is None:
            return _HEADERS
        token = self._tokens.token(target.account, target.audience or target.endpoint)
        return {**_HEADERS, "Authorization": f"Bearer {token}"}


class Puller:
    """Pull delivery: each message is leased to the client until its ack deadline ends."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._leases: dict[str, Lease] = {}
        """By ack id. A message gets a new ack id each time that it is returned."""
        self._numbers = count(1)
        self._arrived = asyncio.Event()
        self._alarm = Alarm(self.wake)

    async def pull(self, most: int, wait_seconds: float) -> list[str]:
        """Return up to `most` messages, as JSON texts. Wait for the first message for at most `wait_seconds`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        deliveries = self._take(most)
        while not deliveries and loop.time() < until:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), until - loop.time())
            deliveries = self._take(most)
        return [self._lease(pending) for pending in deliveries]

    def acknowledge(self, ack_ids: list[str]) -> None:
        """Acknowledge the messages. A message whose lease has ended is delivered again nevertheless, as by Google."""
        for ack_id in ack_ids:
            if lease := self._leases.pop(ack_id, None):
                self._subscriber.acknowledged(lease.pending)

    def modify_deadline(self, ack_ids: list[str], seconds: int) -> None:
        """Let the leases that have not ended end in `seconds` instead. Zero seconds is a failed delivery."""
        until = asyncio.get_running_loop().time() + seconds
        for ack_id in ack_ids:
            lease = self._leases.pop(ack_id, None)
            if lease and seconds:
                self._leases[ack_id] = lease._replace(until=until)
            elif lease:
                self._subscriber.failed(lease.pending)
        self._alarm.set(until)

    def wake(self) -> None:
        """Wake the pulls that wait for messages, and end the leases whose deadline has passed."""
        now = asyncio.get_running_loop().time()
        ended = [ack_id for ack_id, lease in self._leases.items() if lease.until <= now]
        ended.sort(key=lambda ack_id: self._leases[ack_id].until)
        # All are removed first, because a failed delivery may become a dead letter that wakes this puller again.
        for lease in [self._leases.pop(ack_id) for ack_id in ended]:
            self._subscriber.failed(lease.pending)
        self._alarm.set(min((lease.until for lease in self._leases.values()), default=None))
        self._arrived.set()
        self._arrived = asyncio.Event()

    def stop(self) -> None:
        self._alarm.cancel()

    def _take(self, most: int) -> list[PendingDelivery]:
        now = asyncio.get_running_loop().time()
        deliveries: list[PendingDelivery] = []
        while len(deliveries) < most and (pending := self._subscriber.take(now)):
            deliveries.append(pending)
        return deliveries

    def _lease(self, pending: PendingDelivery) -> str:
        until = asyncio.get_running_loop().time() + self._subscriber.config.ack_deadline_seconds
        ack_id = f"{pending.message.id}-{next(self._numbers)}"
        self._leases[ack_id] = Lease(pending, until)
        self._alarm.set(until)
        return received_message(pending.message, ack_id, self._subscriber.attempt_number(pending))


class Lease(NamedTuple):
    """A message that a pull has returned and that is not acknowledged yet. `until` is its ack deadline."""

    pending: PendingDelivery
    until: float
