"""One subscription: the deliveries that it owes, and the outcome of each."""

import asyncio
import math
from typing import Protocol

from deploy.dev.pubsub.backlog import Alarm, Backlog, Owed
from deploy.dev.pubsub.faults import FaultPlan
from deploy.dev.pubsub.messages import Message
from deploy.dev.pubsub.puller import Puller
from deploy.dev.pubsub.pusher import PushClient, Pusher
from deploy.dev.pubsub.resources import Subscription, retry_delay


class Recorder(Protocol):
    """The part of the broker that records outcomes."""

    def acknowledged(self, subscriber: "Subscriber", message: Message) -> None: ...

    def failed(self, subscriber: "Subscriber", owed: Owed) -> None: ...

    def dead_lettered(self, subscriber: "Subscriber", owed: Owed) -> bool:
        """Return False if the dead-letter topic does not exist: the message stays owed then, as at Google."""
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
        self._held: dict[int, Owed] = {}
        self._backlog = Backlog()
        self._alarm = Alarm(self.wake)

    def offer(self, message: Message) -> None:
        """Add a new message; `wake` delivers it."""
        owed = self._held[message.id] = Owed(message)
        arrival = self._plan.arrival()
        self._add(owed, arrival.delay_seconds)
        if arrival.copy_after_seconds is not None:
            self._add(Owed(message, extra=True), arrival.delay_seconds + arrival.copy_after_seconds)

    def restore(self, message: Message, failures: int) -> None:
        """Add a message from before the restart."""
        owed = self._held[message.id] = Owed(message, failures)
        self._backlog.add(owed)

    def wake(self) -> None:
        self._backlog.promote_due(asyncio.get_running_loop().time())
        self._alarm.set(self._backlog.next_time())
        if self.config.push:
            self.pusher.wake()
        else:
            self.puller.wake()

    def take(self, now: float) -> Owed | None:
        owed = self._backlog.take(now)
        self._alarm.set(self._backlog.next_time())
        return owed

    def attempt_of(self, owed: Owed) -> int | None:
        """Return the attempt's number from 1, or None without a dead-letter policy, as Google does."""
        return owed.failures + 1 if self.config.dead_letter else None

    def acknowledged(self, owed: Owed) -> None:
        if owed.settled:
            return
        held = self._held.pop(owed.message.id, None)
        if held:  # else one of its copies was faster
            held.settled = True
            self._recorder.acknowledged(self, owed.message)

    def failed(self, owed: Owed) -> None:
        if owed.extra or owed.settled:
            return
        owed.failures += 1
        policy = self.config.dead_letter
        if policy and owed.failures >= policy.max_attempts and self._recorder.dead_lettered(self, owed):
            self.acknowledged(owed)
            return
        self._recorder.failed(self, owed)
        self._add(owed, retry_delay(self.config.retry, owed.failures))
        self._alarm.set(self._backlog.next_time())

    def drop(self, published_before: float = math.inf) -> None:
        """Stop owing messages, or those published before a time. Outcomes of pushes in progress are ignored then."""
        for owed in list(self._held.values()):
            if owed.message.published_at < published_before:
                owed.settled = True
                del self._held[owed.message.id]

    async def stop(self, grace_seconds: float) -> None:
        self._alarm.cancel()
        self.puller.stop()
        await self.pusher.stop(grace_seconds)

    def _add(self, owed: Owed, delay_seconds: float) -> None:
        if delay_seconds > 0:
            self._backlog.add_at(owed, asyncio.get_running_loop().time() + delay_seconds)
        else:
            self._backlog.add(owed)
