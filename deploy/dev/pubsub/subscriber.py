"""One subscription at work: what it owes, and what comes of each delivery."""

import asyncio
from typing import Protocol

from deploy.dev.pubsub.alarm import Alarm
from deploy.dev.pubsub.backlog import Backlog, Owed
from deploy.dev.pubsub.backoff import retry_delay
from deploy.dev.pubsub.faults import FaultPlan
from deploy.dev.pubsub.messages import Message
from deploy.dev.pubsub.puller import Puller
from deploy.dev.pubsub.push_client import PushClient
from deploy.dev.pubsub.pusher import Pusher
from deploy.dev.pubsub.subscriptions import Subscription


class Recorder(Protocol):
    """Who makes the outcomes last: the broker."""

    def acknowledged(self, subscriber: "Subscriber", message: Message) -> None: ...

    def failed(self, subscriber: "Subscriber", owed: Owed) -> None: ...

    def dead_lettered(self, subscriber: "Subscriber", owed: Owed) -> bool:
        """False where the dead-letter topic is not there: the message stays owed, as Google has it."""
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
        """A new message. `wake` delivers it."""
        owed = self._held[message.id] = Owed(message)
        arrival = self._plan.arrival()
        self._add(owed, arrival.delay_seconds)
        if arrival.copy_after_seconds is not None:
            self._add(Owed(message, extra=True), arrival.delay_seconds + arrival.copy_after_seconds)

    def restore(self, message: Message, failures: int) -> None:
        """A message from before the restart or the seek."""
        owed = self._held[message.id] = Owed(message, failures)
        self._backlog.add(owed)

    def wake(self) -> None:
        self._backlog.ripen(asyncio.get_running_loop().time())
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
        """Counted from 1, and told only where a dead-letter policy makes it matter."""
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

    def held(self) -> list[Message]:
        return [owed.message for owed in self._held.values()]

    def drop(self, published_before: float | None = None) -> None:
        """Owe nothing any more, or nothing that old. What is under way then comes to nothing."""
        for owed in list(self._held.values()):
            if published_before is None or owed.message.published_at < published_before:
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
