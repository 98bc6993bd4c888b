"""The gate of endpoints: how many attempts at one endpoint this process has under way.

A slow endpoint must not take the places of all others. One that answers quickly gets LIMIT places, or as many as
`in_flight` allows. One that does not (its last attempt failed or took long, or one is under way for long) gets
SLOW_LIMIT, and what comes for it meanwhile waits outside, without an attempt that counts.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from functions.notify.gates import Closed
from functions.notify.registry import Configured
from shared.delivery import Delivered, Delivery, Outcome
from shared.ports import Clock

LIMIT: Final = 10
SLOW_LIMIT: Final = 2
SLOW_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 1.0
"""How long a delivery to a quick endpoint waits in the process for a place."""
MAX_WAITING: Final = 30
MAX_WAIT_SECONDS: Final = 300.0
MAX_LANES: Final = 10_000


@dataclass(slots=True)
class _Lane:
    """The attempts at one endpoint. `began` are the times at which the attempts under way began, by delivery."""

    began: OrderedDict[str, float] = field(default_factory=OrderedDict)
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    is_quick: bool = True
    seconds: float = SLOW_SECONDS
    next_at: float = 0.0

    def is_slow(self, now: float) -> bool:
        oldest = next(iter(self.began.values()), now)
        return not self.is_quick or now - oldest > SLOW_SECONDS


class EndpointGate:
    """A gate. Deliveries to configured destinations pass."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()

    async def enter(self, configured: Configured, delivery: Delivery, slot_at: float) -> Closed | None:  # noqa: ARG002
        if configured.health is None:
            return None
        lane, limit = self._lane(configured.name), configured.in_flight or LIMIT
        if self._take(lane, delivery, limit):
            return None
        if not lane.is_slow(self._clock.now()) and len(lane.waiting) < MAX_WAITING:
            await _wait(lane)
            if self._take(lane, delivery, limit):
                return None
        now = self._clock.now()
        places = min(limit, SLOW_LIMIT) if lane.is_slow(now) else limit
        lane.next_at = max(now + PATIENCE_SECONDS, lane.next_at + lane.seconds / places)
        until = min(lane.next_at, now + MAX_WAIT_SECONDS)
        return Closed(until, "as many deliveries to this endpoint as may be are under way")

    async def leave(self, configured: Configured, delivery: Delivery, outcome: Outcome | None) -> None:
        lane = self._lanes.get(configured.name) if configured.health is not None else None
        began = lane.began.pop(delivery.id, None) if lane else None
        if lane is None or began is None:
            return
        if outcome is not None:
            lane.seconds = self._clock.now() - began
            lane.is_quick = isinstance(outcome, Delivered) and lane.seconds <= SLOW_SECONDS
        while lane.waiting:
            freed = lane.waiting.popleft()
            if not freed.done():
                freed.set_result(None)
                return

    def _take(self, lane: _Lane, delivery: Delivery, limit: int) -> bool:
        now = self._clock.now()
        is_free = len(lane.began) < (min(limit, SLOW_LIMIT) if lane.is_slow(now) else limit)
        if is_free:
            lane.began[delivery.id] = now
        return is_free

    def _lane(self, name: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = _Lane()
            if len(self._lanes) > MAX_LANES:
                self._forget()
        self._lanes.move_to_end(name)
        return lane

    def _forget(self) -> None:
        """Forget the endpoint that was used longest ago, unless an attempt at it is under way."""
        name, lane = next(iter(self._lanes.items()))
        if lane.began or lane.waiting:
            self._lanes.move_to_end(name)
        else:
            del self._lanes[name]


async def _wait(lane: _Lane) -> None:
    """Wait until an attempt ends, for a moment at most."""
    freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    lane.waiting.append(freed)
    try:
        await asyncio.wait_for(freed, PATIENCE_SECONDS)
    except TimeoutError:
        return
    finally:
        with contextlib.suppress(ValueError):
            lane.waiting.remove(freed)
