"""Pull delivery of one subscription: messages handed out for a while, to whoever asks."""

import asyncio
import contextlib

from deploy.dev.pubsub.alarm import Alarm
from deploy.dev.pubsub.backlog import Owed
from deploy.dev.pubsub.leases import Leases
from deploy.dev.pubsub.pusher import Debtor
from deploy.dev.pubsub.wire import received_message


class Puller:
    def __init__(self, debtor: Debtor) -> None:
        self._debtor = debtor
        self._leases = Leases()
        self._arrived = asyncio.Event()
        self._alarm = Alarm(self.wake)

    async def pull(self, most: int, wait_seconds: float) -> list[str]:
        """At most so many messages, as JSON texts; waits for the first of them no longer than that."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        while not (owed := self._take(most)) and loop.time() < until:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), until - loop.time())
        return [self._hand_out(each) for each in owed]

    def acknowledge(self, ack_ids: list[str]) -> None:
        for ack_id in ack_ids:
            if owed := self._leases.release(ack_id):
                self._debtor.acknowledged(owed)

    def modify_deadline(self, ack_ids: list[str], seconds: int) -> None:
        """Zero seconds gives the message back: a nack."""
        until = asyncio.get_running_loop().time() + seconds
        for ack_id in ack_ids:
            if seconds:
                self._leases.extend(ack_id, until)
            elif owed := self._leases.release(ack_id):
                self._debtor.failed(owed)
        self._alarm.set(self._leases.next_time())

    def wake(self) -> None:
        for owed in self._leases.end(asyncio.get_running_loop().time()):
            self._debtor.failed(owed)
        self._alarm.set(self._leases.next_time())
        self._arrived.set()
        self._arrived = asyncio.Event()

    def stop(self) -> None:
        self._alarm.cancel()

    def _take(self, most: int) -> list[Owed]:
        now = asyncio.get_running_loop().time()
        taken: list[Owed] = []
        while len(taken) < most and (owed := self._debtor.take(now)):
            taken.append(owed)
        return taken

    def _hand_out(self, owed: Owed) -> str:
        until = asyncio.get_running_loop().time() + self._debtor.config.ack_deadline_seconds
        ack_id = self._leases.grant(owed, until)
        self._alarm.set(until)
        return received_message(owed.message, ack_id, self._debtor.attempt_of(owed))
