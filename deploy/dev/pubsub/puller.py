"""Pull delivery of one subscription: each message is leased to the client until its ack deadline ends."""

import asyncio
import contextlib
import heapq
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from deploy.dev.pubsub.backlog import Alarm, PendingDelivery
from deploy.dev.pubsub.google_json import invalid
from deploy.dev.pubsub.messages import received_message
from deploy.dev.pubsub.pusher import DeliverySource

_ACK_ID: Final = re.compile(r"\d{1,20}-\d{1,20}")


@dataclass(slots=True)
class _Lease:
    pending: PendingDelivery
    until: float


class Leases:
    """Messages that a pull returned and nobody has acknowledged. Times are seconds of one clock, the caller's."""

    def __init__(self) -> None:
        self._leases: dict[str, _Lease] = {}
        self._ends: list[tuple[float, str]] = []
        self._numbers = count(1)

    def grant(self, pending: PendingDelivery, until: float) -> str:
        """Return the ack id: a new one each time a message is returned."""
        ack_id = f"{pending.message.id}-{next(self._numbers)}"
        self._leases[ack_id] = _Lease(pending, until)
        heapq.heappush(self._ends, (until, ack_id))
        return ack_id

    def release(self, ack_id: str) -> PendingDelivery | None:
        """End a lease; None if it has ended: the message is delivered again then, as Google's is."""
        lease = self._leases.pop(ack_id, None)
        return lease.pending if lease else None

    def extend(self, ack_id: str, until: float) -> None:
        """Set a new deadline, later or earlier, if the lease has not ended."""
        lease = self._leases.get(ack_id)
        if lease:
            lease.until = until
            heapq.heappush(self._ends, (until, ack_id))

    def end(self, now: float) -> list[PendingDelivery]:
        """End the leases whose deadline has passed; return their deliveries."""
        ended: list[PendingDelivery] = []
        while self._ends and self._ends[0][0] <= now:
            _, ack_id = heapq.heappop(self._ends)
            lease = self._leases.get(ack_id)
            if lease and lease.until <= now:
                del self._leases[ack_id]
                ended.append(lease.pending)
        return ended

    def next_time(self) -> float | None:
        return self._ends[0][0] if self._ends else None


def checked_ack_ids(ack_ids: Sequence[object]) -> list[str]:
    """Return the ack ids. Raises ApiError for what cannot be one; an ended one is valid, as at Google."""
    if not ack_ids:
        raise invalid("The request contains no ack_ids.")
    checked = [each for each in ack_ids if isinstance(each, str) and _ACK_ID.fullmatch(each)]
    if len(checked) != len(ack_ids):
        raise invalid("You have passed an invalid ack ID to the service; an ack ID comes from a pull.")
    return checked


class Puller:
    def __init__(self, source: DeliverySource) -> None:
        self._source = source
        self._leases = Leases()
        self._arrived = asyncio.Event()
        self._alarm = Alarm(self.wake)

    async def pull(self, most: int, wait_seconds: float) -> list[str]:
        """Return up to `most` messages, as JSON texts. Waits for the first for at most `wait_seconds`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + wait_seconds
        while not (pending := self._take(most)) and loop.time() < until:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), until - loop.time())
        return [self._hand_out(each) for each in pending]

    def acknowledge(self, ack_ids: list[str]) -> None:
        for ack_id in ack_ids:
            if pending := self._leases.release(ack_id):
                self._source.acknowledged(pending)

    def modify_deadline(self, ack_ids: list[str], seconds: int) -> None:
        """Extend leases; zero seconds returns the message (a nack)."""
        until = asyncio.get_running_loop().time() + seconds
        for ack_id in ack_ids:
            if seconds:
                self._leases.extend(ack_id, until)
            elif pending := self._leases.release(ack_id):
                self._source.failed(pending)
        self._alarm.set(self._leases.next_time())

    def wake(self) -> None:
        for pending in self._leases.end(asyncio.get_running_loop().time()):
            self._source.failed(pending)
        self._alarm.set(self._leases.next_time())
        self._arrived.set()
        self._arrived = asyncio.Event()

    def stop(self) -> None:
        self._alarm.cancel()

    def _take(self, most: int) -> list[PendingDelivery]:
        now = asyncio.get_running_loop().time()
        deliveries: list[PendingDelivery] = []
        while len(deliveries) < most and (pending := self._source.take(now)):
            deliveries.append(pending)
        return deliveries

    def _hand_out(self, pending: PendingDelivery) -> str:
        until = asyncio.get_running_loop().time() + self._source.config.ack_deadline_seconds
        ack_id = self._leases.grant(pending, until)
        self._alarm.set(until)
        return received_message(pending.message, ack_id, self._source.attempt_of(pending))
