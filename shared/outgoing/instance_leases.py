"""The instances that a receiver may hold before it answers, where an instance takes one batch at a time: on AWS Lambda.

There an invocation ends with its slowest message, so one attempt that hangs holds a whole instance. A receiver that
hangs would soon hold all of them. So a process that does not know whether a receiver answers tries it only while it has
the receiver's lease. A lease is one write, and covers all attempts of the process that end before the lease does. Once
the receiver answers, or fails at once, the process opens it for all others, or for some if the answer took its time.
That is one more write.

A healthy receiver that takes a second holds instances, too, if somebody sends it more than they can do. While messages
wait in the bus because of a group, a part of the instances works for it, and only where a batch brings several of its
messages. What the other instances get of it comes back later, so that they are free for everybody else.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from typing import Final

from shared.errors import Temporary
from shared.outgoing.gate import Health, Load, ProcessGate, Turn
from shared.ports import Clock
from shared.store_ports import Grants

COVER_SECONDS: Final = 5.0
"""What an attempt may take besides its timeout."""
LEASE_SECONDS: Final = 15.0
"""How long a lease lasts besides an attempt."""
ASK_AGAIN_SECONDS: Final = 1.0
"""A process that got no lease does not ask for it again before, and work without one comes back after it."""
WAIT_FACTOR: Final = 3
"""The factor by which the wait grows when work comes back in vain."""
MOST_INSTANCES: Final = 12
"""How many instances of about 20 work for a receiver that takes its time, or for whom messages wait. The others serve
everybody else. A process that has no answer yet takes all of these places: with two such processes, seven receivers
that hang would hold 14 instances."""
FLOOD_LOAD: Final = 7.0
FLOOD_SHARE: Final = 1 / 3
"""Messages wait because of a group that brought at least this much of this process's recent work, and this share of
it."""
FLOOD_SECONDS: Final = 30.0
"""How long after a message that waited in the bus, and how long a group counts as the cause."""
HOLDING_SECONDS: Final = 0.5
"""A receiver that answers sooner holds no instance for long."""
LONG_SECONDS: Final = 2.0
"""A receiver that takes longer is not opened for all instances, because the first round of attempts would hold every
instance for that time."""
FULL_BATCH: Final = 5
"""An instance is held as long by one message as by ten. In a flood, it therefore takes at least this many."""
PASSES_AFTER: Final = 3
"""Work that came back so often needs no others beside it."""
ROUND_SECONDS: Final = 2.0
"""Work of a flood comes back at multiples of this, so that batches are full."""
TOGETHER_SECONDS: Final = 0.001
"""The messages of a batch begin so close to each other."""
MAX_WAIT_SECONDS: Final = 60.0
MAX_KNOWN: Final = 10_000
"""Receivers that are remembered. If a receiver is forgotten, its lease ends by itself."""


@dataclass(slots=True)
class _Lease:
    """This process's lease for a receiver. `until` is its end. If it got none, it asks again at `ask_at`."""

    until: float = 0.0
    ask_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True)
class _Flooding:
    """A group whose messages may fill the bus: its recent work, and until when it counts as the cause of a queue."""

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
    """`grants` is called at first use: most processes need no lease. `holder` is the name of this process."""

    def __init__(self, grants: Callable[[], Grants], gate: ProcessGate, clock: Clock, holder: str) -> None:
        self._grants = cache(grants)
        self._gate = gate
        self._clock = clock
        self._holder = holder
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._load = Load()
        self._flooding: OrderedDict[str, _Flooding] = OrderedDict()
        self._flood_lease = _Lease()

    async def enter(
        self, lane: str, timeout_seconds: float, turns: int = 0, *, is_troubled: bool = False
    ) -> Turn | None:
        """Return None if this process may try the receiver now, or when the work comes back. Raises Temporary.

        `turns` counts how often the work came back. `is_troubled`: the receiver was paused, whatever this process
        knows.
        """
        if self._gate.is_answering(lane):
            return None
        lease = self._leases.setdefault(lane, _Lease())
        self._leases.move_to_end(lane)
        if len(self._leases) > MAX_KNOWN:
            self._leases.popitem(last=False)
        async with lease.lock:  # the messages of a batch come together, and the first one asks for all
            if self._gate.is_answering(lane) or await self._has_lease(lane, lease, timeout_seconds):
                return None
        health: Health = "troubled" if is_troubled else self._gate.health(lane)
        wait = ASK_AGAIN_SECONDS * WAIT_FACTOR ** min(turns, 4)
        if health == "troubled":  # the attempt of the process that has the lease ends first
            wait = max(wait, timeout_seconds)
        return Turn(min(wait, MAX_WAIT_SECONDS), health)

    async def enter_flood(self, lane: str, group: str, timeout_seconds: float, turns: int) -> Turn | None:
        """Return None unless messages wait because of the group, and this process does not work for it now.

        Raises Temporary.
        """
        now = self._clock.now()
        flooding = self._flooding.setdefault(group, _Flooding())
        self._flooding.move_to_end(group)
        if len(self._flooding) > MAX_KNOWN:
            self._flooding.popitem(last=False)
        if not turns:
            self._load.add(now)
            flooding.load.add(now)
            is_most = flooding.load.count >= max(FLOOD_LOAD, FLOOD_SHARE * self._load.count)
            if is_most and self._gate.has_seen_queue(FLOOD_SECONDS):
                flooding.until = now + FLOOD_SECONDS
        if now >= flooding.until or self._gate.usual_seconds(lane) < HOLDING_SECONDS:
            return None
        if await flooding.count_batch() >= FULL_BATCH or turns >= PASSES_AFTER:
            async with self._flood_lease.lock:
                if await self._has_lease("", self._flood_lease, timeout_seconds, wanted=1):
                    return None
        now = self._clock.now()
        at = now + ASK_AGAIN_SECONDS * WAIT_FACTOR ** min(turns, PASSES_AFTER)
        return Turn(ceil(at / ROUND_SECONDS) * ROUND_SECONDS - now, "healthy")

    async def leave(self, lane: str) -> None:
        """Open the receiver for all processes if it answers now, for as long as the lease of this one lasts.

        Its bucket then has a slot reserved so far ahead. Such a bucket is queued, and needs no leases meanwhile.
        """
        lease = self._leases.get(lane)
        if lease is None or not self._gate.is_answering(lane):
            return
        del self._leases[lane]
        now = self._clock.now()
        if now >= lease.until:
            return
        left_seconds = lease.until - now
        with contextlib.suppress(Temporary):  # the lease ends by itself
            if self._gate.usual_seconds(lane) < LONG_SECONDS:
                await self._grants().reserve(_bucket(lane), 1, left_seconds, now, ahead=0.0)
            else:
                await self._grants().lease(_bucket(lane), self._holder, 1, MOST_INSTANCES, now, left_seconds)

    async def _has_lease(self, lane: str, lease: _Lease, timeout_seconds: float, wanted: int = MOST_INSTANCES) -> bool:
        now = self._clock.now()
        if now + timeout_seconds + COVER_SECONDS <= lease.until:
            return True
        if 0 < lease.ask_at - now <= ASK_AGAIN_SECONDS:  # more: the clock was set back
            return False
        seconds = timeout_seconds + COVER_SECONDS + LEASE_SECONDS
        bucket = _bucket(lane)
        # As if all of them were in use: the others that want places get no part of them meanwhile.
        answer = await self._grants().lease(bucket, self._holder, wanted, MOST_INSTANCES, now, seconds, used=wanted)
        if 0 < answer.places < wanted:  # others have answers already, and leave places to as many processes
            answer = await self._grants().lease(bucket, self._holder, 1, MOST_INSTANCES, now, seconds, used=1)
        if answer.places:
            lease.until = now + seconds
        elif not answer.is_queued:
            lease.ask_at = now + ASK_AGAIN_SECONDS
        return answer.places > 0 or answer.is_queued


def _bucket(lane: str) -> str:
    return f"{lane}:instances"
