"""Leases that limit how many instances one receiver or sender can hold on AWS Lambda, where an instance has one batch.

A Lambda invocation ends with its slowest message, so one attempt that hangs holds a whole instance. A receiver that
hangs would soon hold all instances. So a process that does not know whether a receiver answers calls it only while it
has the receiver's lease. A lease takes one write, and is valid for all attempts that end before it does.
When the receiver answers, or fails at once, the process opens the receiver for all other processes. If the answer took
long, it opens it only for some of them. That takes one more write.

A receiver's bucket in the store says all of this. Its places are the leases. One slot that is reserved ahead makes the
bucket `queued`, which means here: open for all, and no lease is needed.

A healthy receiver that takes a second for an answer holds instances, too, if a sender sends more than it can handle.
While messages wait in the bus because of one group, only a part of the instances works for this group, and only on
batches with several of its messages. The other instances put its messages back, so that they are free for everybody
else.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from typing import Final, TypeVar

from shared import errors, ports, store_ports
from shared.outgoing.gate import ADMITTED, Admitted, ComeBack, Health, Load, ProcessGate

# Leases
COVER_SECONDS: Final = 5.0
"""The time that an attempt may take besides its timeout."""
LEASE_SECONDS: Final = 15.0
"""How long a lease lasts besides the time of one attempt."""
MOST_INSTANCES: Final = 12
"""The number of instances, of about 20, that work for a receiver that answers slowly, or for groups that flood the bus.
The others work for everybody else. A process without an answer from the receiver leases all of these places, so only
one process at a time waits for the first answer: with two, seven receivers that hang would hold 14 instances."""
LONG_SECONDS: Final = 2.0
"""A receiver that takes longer is not opened for all instances, because the first round of attempts would hold every
instance for that time."""

# The return of work
ASK_AGAIN_SECONDS: Final = 1.0
"""The wait before a process that got no lease asks for it again, and before work without a lease comes back."""
WAIT_FACTOR: Final = 3
"""The factor by which the wait grows when work comes back in vain."""
MAX_GROWTHS: Final = 4
"""The wait grows at most so often. It is longer than MAX_WAIT_SECONDS then."""
MAX_WAIT_SECONDS: Final = 60.0
"""The longest wait for a lease of a receiver."""

# Floods
FLOOD_LOAD: Final = 7.0
FLOOD_SHARE: Final = 1 / 3
"""A group counts as the cause of a queue in the bus if its recent work in this process is at least FLOOD_LOAD, and at
least this share of all recent work."""
FLOOD_SECONDS: Final = 30.0
"""For so long after a message has waited in the bus, a group can become the cause. It stays the cause for as long."""
HOLDING_SECONDS: Final = 0.5
"""A receiver that answers sooner holds no instance for long."""
FULL_BATCH: Final = 5
"""One message holds an instance for as long as ten. So in a flood, a batch must have at least so many messages of the
group."""
PASSES_AFTER: Final = 3
"""Work that came back so often is done even if its batch has fewer messages than FULL_BATCH."""
ROUND_SECONDS: Final = 2.0
"""Work of a flood comes back at multiples of this time, so that it comes in full batches."""
TOGETHER_SECONDS: Final = 0.001
"""All messages of a batch begin within this time."""

MAX_KNOWN: Final = 10_000
"""The number of receivers, and of groups, that are remembered. The lease of a forgotten receiver ends by itself."""
_FLOOD_BUCKET: Final = ":instances"
"""The bucket for floods, whose leases all groups share. Each place in it is an instance that works for a flood."""

_Known = TypeVar("_Known")


@dataclass(slots=True)
class _Lease:
    """The lease of this process for a receiver, which ends at `until`. Without a lease, it asks again at `ask_at`."""

    until: float = 0.0
    ask_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Flooding:
    """A group whose messages may fill the bus.

    load      its recent work
    until     the time until which it counts as the cause of a queue
    together  the number of its messages that began within TOGETHER_SECONDS
    """

    load: Load = field(default_factory=Load)
    until: float = 0.0
    together: int = 0

    async def count_batch(self) -> int:
        """Return how many messages of the group began together with this one."""
        self.together += 1
        try:
            await asyncio.sleep(TOGETHER_SECONDS)
            count = self.together
            # In the meantime, the other instances count this one.
            await asyncio.sleep(TOGETHER_SECONDS)
            return count
        finally:
            self.together -= 1


class InstanceLeases:
    """The leases of this process. `grants` is called at first use, because most processes need no lease.

    `holder` is the name of this process. A lane is a receiver, by the name that the gate has for it.
    """

    def __init__(
        self, grants: Callable[[], store_ports.Grants], gate: ProcessGate, clock: ports.Clock, holder: str
    ) -> None:
        self._grants = cache(grants)
        self._gate = gate
        self._clock = clock
        self._holder = holder
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._load = Load()
        self._flooding: OrderedDict[str, _Flooding] = OrderedDict()
        self._flood_lease = _Lease()

    async def enter(
        self, lane: str, timeout_seconds: float, return_count: int = 0, *, is_troubled: bool = False
    ) -> Admitted | ComeBack:
        """Return ADMITTED if this process may call the receiver now, or else when the work comes back.

        `return_count` is how often the work came back before. `is_troubled`: the receiver was paused because of
        failures, even if this process does not know of any. Raises Temporary.
        """
        if self._gate.is_answering(lane):
            return ADMITTED
        lease = _remembered(self._leases, lane, _Lease)
        async with lease.lock:  # the messages of a batch come together, and the first one asks for all
            if self._gate.is_answering(lane):
                return ADMITTED
            if await self._may_call(_bucket(lane), lease, timeout_seconds, wanted=MOST_INSTANCES):
                return ADMITTED
        health: Health = "troubled" if is_troubled else self._gate.health(lane)
        wait = ASK_AGAIN_SECONDS * WAIT_FACTOR ** min(return_count, MAX_GROWTHS)
        if health == "troubled":  # the attempt of the process that has the lease ends first
            wait = max(wait, timeout_seconds)
        return ComeBack(min(wait, MAX_WAIT_SECONDS), health)

    async def enter_flood(
        self, lane: str, group: str, timeout_seconds: float, return_count: int
    ) -> Admitted | ComeBack:
        """Return ADMITTED if the work may begin, or else when it comes back. Raises Temporary.

        Work may begin if its group does not flood the bus, or its receiver answers fast. Work of a flood may begin if
        it is part of a full batch or has come back often, and this process has a lease for floods.
        """
        now = self._clock.now()
        flooding = _remembered(self._flooding, group, _Flooding)
        if return_count == 0:
            self._note_new_work(flooding, now)
        is_flood = now < flooding.until
        if not is_flood or self._gate.usual_seconds(lane) < HOLDING_SECONDS:
            return ADMITTED
        if await flooding.count_batch() >= FULL_BATCH or return_count >= PASSES_AFTER:
            async with self._flood_lease.lock:
                if await self._may_call(_FLOOD_BUCKET, self._flood_lease, timeout_seconds, wanted=1):
                    return ADMITTED
        now = self._clock.now()
        at = now + ASK_AGAIN_SECONDS * WAIT_FACTOR ** min(return_count, PASSES_AFTER)
        return ComeBack(ceil(at / ROUND_SECONDS) * ROUND_SECONDS - now, "healthy")

    def _note_new_work(self, flooding: _Flooding, now: float) -> None:
        """Count work of the group that comes for the first time, and note if the group causes the queue in the bus."""
        self._load.add(now)
        flooding.load.add(now)
        is_most = flooding.load.count >= max(FLOOD_LOAD, FLOOD_SHARE * self._load.count)
        if is_most and self._gate.has_seen_queue(FLOOD_SECONDS):
            flooding.until = now + FLOOD_SECONDS

    async def leave(self, lane: str) -> None:
        """Open the receiver for other processes until the lease of this one ends, if the receiver answers now."""
        lease = self._leases.get(lane)
        if lease is None or not self._gate.is_answering(lane):
            return
        del self._leases[lane]
        now = self._clock.now()
        left_seconds = lease.until - now
        if left_seconds <= 0:
            return
        with contextlib.suppress(errors.Temporary):  # the lease ends by itself
            if self._gate.usual_seconds(lane) < LONG_SECONDS:
                # Open it for all: the next slot is free when the lease ends, and until then the bucket is queued.
                await self._grants().reserve(_bucket(lane), 1, left_seconds, now, ahead=0.0)
            else:  # keep one place, so that MOST_INSTANCES - 1 other processes can have one each
                await self._grants().lease(_bucket(lane), self._holder, 1, MOST_INSTANCES, now, left_seconds)

    async def _may_call(self, bucket: str, lease: _Lease, timeout_seconds: float, *, wanted: int) -> bool:
        """Return whether the lease covers an attempt, or could be had, or the bucket is open for all. Raises Temporary.

        A new lease has `wanted` places; only one if other processes have places.
        """
        now = self._clock.now()
        if now + timeout_seconds + COVER_SECONDS <= lease.until:
            return True
        # After a clock was set back, more than these seconds would be left.
        if 0 < lease.ask_at - now <= ASK_AGAIN_SECONDS:
            return False
        seconds = timeout_seconds + COVER_SECONDS + LEASE_SECONDS
        # `used` is as if all places were in use, so that no share of them goes to other processes that want some.
        answer = await self._grants().lease(bucket, self._holder, wanted, MOST_INSTANCES, now, seconds, used=wanted)
        if 0 < answer.places < wanted:  # the receiver has answered other processes, so one place is enough
            answer = await self._grants().lease(bucket, self._holder, 1, MOST_INSTANCES, now, seconds, used=1)
        is_open_for_all = answer.is_queued
        if answer.places:
            lease.until = now + seconds
        elif not is_open_for_all:
            lease.ask_at = now + ASK_AGAIN_SECONDS
        return answer.places > 0 or is_open_for_all


def _bucket(lane: str) -> str:
    return f"{lane}:instances"


def _remembered(known: OrderedDict[str, _Known], name: str, make: Callable[[], _Known]) -> _Known:
    """Return what is known by this name, which counts as used last. Of too many, forget the one used longest ago."""
    found = known.setdefault(name, make())
    known.move_to_end(name)
    if len(known) > MAX_KNOWN:
        known.popitem(last=False)
    return found
