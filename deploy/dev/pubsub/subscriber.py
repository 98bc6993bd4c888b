"""One subscription: its pending deliveries, and the outcome of each."""

import asyncio
import math
import time
from typing import Final, Protocol

from deploy.dev.pubsub.backlog import Alarm, Backlog, PendingDelivery
from deploy.dev.pubsub.faults import FaultPlan
from deploy.dev.pubsub.messages import Message, kept_back_seconds
from deploy.dev.pubsub.puller import Puller
from deploy.dev.pubsub.pusher import PushClient, Pusher
from deploy.dev.pubsub.resources import RetryPolicy, Subscription

IMMEDIATE_RETRY_SECONDS: Final = 0.1
"""Google redelivers "as soon as possible" without a retry policy. A short wait spares a broken endpoint the CPU."""


class Recorder(Protocol):
    """The part of the broker that records outcomes."""

    def acknowledged(self, subscriber: "Subscriber", message: Message) -> None: ...

    def failed(self, subscriber: "Subscriber", pending: PendingDelivery) -> None: ...

    def dead_lettered(self, subscriber: "Subscriber", pending: PendingDelivery) -> bool:
        """Return False if the dead-letter topic does not exist: the delivery stays pending then, as at Google."""
        ...


class Subscriber:
    def __init__(
        self, subscriber_id: int, config: Subscription, recorder: Recorder, client: PushClient, plan: FaultPlan
    ) -> None:
        self.id = subscriber_id
        self.config = config
        self.pusher = Pusher(self, client, plan)
        self.puller = Puller(self)
        self._recorder = recorder
        self._plan = plan
        self._held: dict[int, PendingDelivery] = {}
        self._backlog = Backlog()
        self._alarm = Alarm(self.wake)

    def offer(self, message: Message) -> None:
        """Add a new message; `wake` delivers it."""
        pending = self._held[message.id] = PendingDelivery(message)
        arrival = self._plan.arrival()
        delay = max(arrival.delay_seconds, kept_back_seconds(message, time.time()))
        self._add(pending, delay)
        if arrival.copy_after_seconds is not None:
            self._add(PendingDelivery(message, extra=True), delay + arrival.copy_after_seconds)

    def restore(self, message: Message, failures: int) -> None:
        """Add a message from before the restart."""
        pending = self._held[message.id] = PendingDelivery(message, failures)
        self._add(pending, kept_back_seconds(message, time.time()))

    def wake(self) -> None:
        self._backlog.promote_due(asyncio.get_running_loop().time())
        self._alarm.set(self._backlog.next_time())
        if self.config.push:
            self.pusher.wake()
        else:
            self.puller.wake()

    def take(self, now: float) -> PendingDelivery | None:
        pending = self._backlog.take(now)
        self._alarm.set(self._backlog.next_time())
        return pending

    def attempt_of(self, pending: PendingDelivery) -> int | None:
        """Return the attempt's number from 1, or None without a dead-letter policy, as Google does."""
        return pending.failures + 1 if self.config.dead_letter else None

    def acknowledged(self, pending: PendingDelivery) -> None:
        if pending.settled:
            return
        held = self._held.pop(pending.message.id, None)
        if held:  # else one of its copies was faster
            held.settled = True
            self._recorder.acknowledged(self, pending.message)

    def failed(self, pending: PendingDelivery) -> None:
        if pending.extra or pending.settled:
            return
        pending.failures += 1
        policy = self.config.dead_letter
        if policy and pending.failures >= policy.max_attempts and self._recorder.dead_lettered(self, pending):
            self.acknowledged(pending)
            return
        self._recorder.failed(self, pending)
        self._add(pending, retry_delay(self.config.retry, pending.failures))
        self._alarm.set(self._backlog.next_time())

    def drop(self, published_before: float = math.inf) -> None:
        """Drop all pending deliveries, or those of messages published before a time.

        Outcomes of pushes in progress are ignored then.
        """
        for pending in list(self._held.values()):
            if pending.message.published_at < published_before:
                pending.settled = True
                del self._held[pending.message.id]

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
