"""The gate of endpoints: how many attempts at one endpoint, and at the slow ones together, this process has under way.

A slow endpoint must not take the places of all others. One that answers quickly gets LIMIT places, or as many as
`in_flight` allows. A slow one (its last attempt failed or took long, or an attempt takes long now) gets
SLOW_LIMIT; further deliveries to it are scheduled for later, without an attempt that counts. A new one, which this
process knows nothing of, gets one place until it has answered.

The slow endpoints of a tenant, and those of all tenants, have only so many places together: a tenant with many
endpoints that never answer has no more of the process than another one.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from functions.notify.gates import Closed
from functions.notify.registry import Configured
from shared.delivery import Delivered, Delivery, Outcome
from shared.ports import Clock
from shared.subscribers.names import endpoint_name

LIMIT: Final = 10
SLOW_LIMIT: Final = 2
SLOW_OF_TENANT: Final = 6
SLOW_OF_ALL: Final = 16
"""Of the 40 deliveries that an instance takes at once."""
NEW_OF_TENANT: Final = 12
"""New endpoints of a tenant that are tried at once; NEW_BESIDE_SLOW where its slow ones have all their places."""
NEW_BESIDE_SLOW: Final = 2
SLOW_SECONDS: Final = 1.0
PATIENCE_SECONDS: Final = 1.0
"""How long a delivery to an endpoint that is not slow waits in the process for a place."""
MAX_WAITING: Final = 30
MAX_WAIT_SECONDS: Final = 300.0
MAX_LANES: Final = 10_000

Waiters: TypeAlias = deque[asyncio.Future[None]]


@dataclass(slots=True)
class _Lane:
    """The attempts at one endpoint. `began` are the times at which the attempts under way began, by delivery."""

    tenant: str
    began: OrderedDict[str, float] = field(default_factory=OrderedDict)
    waiting: Waiters = field(default_factory=deque)
    is_quick: bool | None = None
    seconds: float = SLOW_SECONDS
    next_at: float = 0.0

    def age(self, now: float) -> float:
        """Return how long the oldest attempt under way has been so."""
        return now - next(iter(self.began.values()), now)

    def is_slow(self, now: float) -> bool:
        return self.is_quick is False or self.age(now) > SLOW_SECONDS


class EndpointGate:
    """A gate. Deliveries to configured destinations pass.

    _used              the lanes with attempts under way
    _lines  by tenant, the deliveries that wait until new endpoints have answered
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._used: dict[str, _Lane] = {}
        self._waiting_for_new: dict[str, Waiters] = {}

    async def enter(self, configured: Configured, delivery: Delivery, slot_at: float) -> Closed | None:  # noqa: ARG002
        if configured.health is None:
            return None
        name, limit = configured.name, configured.in_flight or LIMIT
        lane = self._lane(name)
        if self._take(name, lane, delivery, limit) or await self._take_later(name, lane, delivery, limit):
            return None
        now = self._clock.now()
        places = min(limit, SLOW_LIMIT) if lane.is_slow(now) else limit
        after = max(now + PATIENCE_SECONDS, lane.next_at + max(lane.seconds, lane.age(now)) / places)
        lane.next_at = min(after, now + MAX_WAIT_SECONDS)
        return Closed(lane.next_at, "as many deliveries to this endpoint as may be are under way")

    async def leave(self, configured: Configured, delivery: Delivery, outcome: Outcome | None) -> None:
        lane = self._lanes.get(configured.name) if configured.health is not None else None
        began = lane.began.pop(delivery.id, None) if lane else None
        if lane is None or began is None:
            return
        if not lane.began:
            del self._used[configured.name]
        if outcome is not None:
            lane.seconds = self._clock.now() - began
            lane.is_quick = isinstance(outcome, Delivered) and lane.seconds <= SLOW_SECONDS
            if lane.is_quick:
                lane.next_at = 0.0
        _wake(lane.waiting, 1)
        _wake(self._waiting_for_new.get(lane.tenant, deque()), LIMIT)

    def _take(self, name: str, lane: _Lane, delivery: Delivery, limit: int) -> bool:
        now = self._clock.now()
        is_free = len(lane.began) < self._places(lane, limit, now)
        if is_free:
            lane.began[delivery.id] = now
            self._used[name] = lane
        return is_free

    async def _take_later(self, name: str, lane: _Lane, delivery: Delivery, limit: int) -> bool:
        """Wait for a place for a moment, where one may soon be free."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE_SECONDS
        while (waiters := self._waiters_of(lane)) is not None and (left := end - loop.time()) > 0:
            is_woken = await _is_woken(waiters, left)
            if not waiters and self._waiting_for_new.get(lane.tenant) is waiters:
                del self._waiting_for_new[lane.tenant]
            if self._take(name, lane, delivery, limit):
                return True
            if not is_woken:
                return False
        return False

    def _waiters_of(self, lane: _Lane) -> Waiters | None:
        """Return where a delivery to the endpoint waits; None if it does not: it would wait for slow answers."""
        now = self._clock.now()
        if lane.is_slow(now) or (not lane.is_quick and self._is_full(lane.tenant, now)):
            return None
        waiters = lane.waiting if lane.is_quick else self._waiting_for_new.setdefault(lane.tenant, deque())
        return waiters if len(waiters) < MAX_WAITING else None

    def _places(self, lane: _Lane, limit: int, now: float) -> int:
        if lane.is_quick and not lane.is_slow(now):
            return limit
        is_full = self._is_full(lane.tenant, now)
        if lane.is_slow(now):
            is_full = is_full or self._slow(now) >= SLOW_OF_ALL
            return 0 if is_full else min(limit, SLOW_LIMIT)
        new = [each for each in self._used.values() if each.is_quick is None and not each.is_slow(now)]
        most = NEW_BESIDE_SLOW if is_full else NEW_OF_TENANT
        return int(sum([each.tenant == lane.tenant for each in new]) < most)

    def _is_full(self, tenant: str, now: float) -> bool:
        """Return whether the slow endpoints of the tenant have all their places."""
        return self._slow(now, tenant) >= SLOW_OF_TENANT

    def _slow(self, now: float, tenant: str = "") -> int:
        """Return how many attempts are under way at slow endpoints, of that tenant or of all."""
        lanes = [each for each in self._used.values() if tenant in ("", each.tenant) and each.is_slow(now)]
        return sum([len(each.began) for each in lanes])

    def _lane(self, name: str) -> _Lane:
        lane = self._lanes.get(name)
        if lane is None:
            parts = endpoint_name(name)
            lane = self._lanes[name] = _Lane(parts.tenant if parts else name)
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


async def _is_woken(waiters: Waiters, seconds: float) -> bool:
    """Wait among the waiters until an attempt ends, for so long at most."""
    freed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiters.append(freed)
    try:
        await asyncio.wait_for(freed, seconds)
    except TimeoutError:
        return False
    finally:
        with contextlib.suppress(ValueError):
            waiters.remove(freed)
    return True


def _wake(waiters: Waiters, most: int) -> None:
    """Wake those that wait longest."""
    while waiters and most:
        freed = waiters.popleft()
        if not freed.done():
            freed.set_result(None)
            most -= 1
