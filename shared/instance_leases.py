"""The instances that a receiver may hold before it answers, where an instance takes one batch at a time: on AWS Lambda.

There an invocation ends with its slowest message, so one attempt that hangs holds a whole instance. A receiver that
hangs would soon hold all of them. So a process that does not know whether a receiver answers tries it only while it has
the receiver's lease. A lease is one write, and covers all attempts of the process that end before the lease does. Once
the receiver answers, or fails at once, the process opens it for all others, which is one more write.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from shared.errors import Temporary
from shared.gate import Health, ProcessGate, Turn
from shared.ports import Clock
from shared.store_ports import Grants

INSTANCES: Final = 1
"""How many instances of about 20 one receiver may hold. With two, seven receivers that hang would hold 14."""
COVER_SECONDS: Final = 5.0
"""What an attempt may take besides its timeout."""
LEASE_SECONDS: Final = 15.0
"""How long a lease lasts besides an attempt."""
ASK_AGAIN_SECONDS: Final = 1.0
"""A process that got no lease does not ask for it again before, and work without one comes back after it."""
WAIT_FACTOR: Final = 3
"""Work that comes back in vain waits so many times as long."""
MAX_WAIT_SECONDS: Final = 60.0
MAX_KNOWN: Final = 10_000
"""Receivers that are remembered. Of one that is forgotten, the lease ends by itself."""


@dataclass(slots=True)
class _Lease:
    """This process's lease for a receiver. `until` is its end. If it got none, it asks again at `ask_at`."""

    until: float = 0.0
    ask_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class InstanceLeases:
    """`grants` is called at first use: most processes need no lease. `holder` is the name of this process."""

    def __init__(self, grants: Callable[[], Grants], gate: ProcessGate, clock: Clock, holder: str) -> None:
        self._grants = cache(grants)
        self._gate = gate
        self._clock = clock
        self._holder = holder
        self._leases: OrderedDict[str, _Lease] = OrderedDict()

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
        return Turn(self._clock.now() + min(wait, MAX_WAIT_SECONDS), health)

    async def leave(self, lane: str) -> None:
        """Open the receiver for all processes if it answers now, for as long as the lease of this one lasts.

        Its bucket then has a slot reserved so far ahead. Such a bucket is queued, and needs no leases meanwhile.
        """
        lease = self._leases.get(lane)
        if lease is None or not self._gate.is_answering(lane):
            return
        del self._leases[lane]
        now = self._clock.now()
        if now < lease.until:
            with contextlib.suppress(Temporary):  # the lease ends by itself
                await self._grants().reserve(_bucket(lane), 1, lease.until - now, now, ahead=0.0)

    async def _has_lease(self, lane: str, lease: _Lease, timeout_seconds: float) -> bool:
        now = self._clock.now()
        if now + timeout_seconds + COVER_SECONDS <= lease.until:
            return True
        if 0 < lease.ask_at - now <= ASK_AGAIN_SECONDS:  # more: the clock was set back
            return False
        seconds = timeout_seconds + COVER_SECONDS + LEASE_SECONDS
        answer = await self._grants().lease(_bucket(lane), self._holder, 1, INSTANCES, now, seconds)
        if answer.places:
            lease.until = now + seconds
        elif not answer.is_queued:
            lease.ask_at = now + ASK_AGAIN_SECONDS
        return answer.places > 0 or answer.is_queued


def _bucket(lane: str) -> str:
    return f"{lane}:instances"
