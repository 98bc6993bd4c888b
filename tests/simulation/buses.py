"""The buses of the two clouds, as far as one receiver's trouble could reach another through them.

Both hand messages to INSTANCES of a function, and bring each at least once. Neither knows whom a message is for.
"""

import asyncio
import heapq
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from shared.ports import BusMessage
from shared.times import rfc3339
from tests.simulation.bus import push_body
from tests.simulation.faults import Weather

INSTANCES: Final = 20
PLACES: Final = 40
"""Requests that an instance on Cloud Run takes at once."""
START_SECONDS: Final = 1.0
"""How long a new instance takes to start."""
BUSY_SHARE: Final = 0.6
"""Cloud Run starts instances so that this part of their places is in use."""
REJECTED_AFTER_SECONDS: Final = 10.0
"""How long Cloud Run lets a request wait for a place before it answers 429."""
FIRST_WINDOW: Final = 5
MOST_WINDOW: Final = 3_000
ACK_DEADLINE_SECONDS: Final = 600.0
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 60.0
RETRY_SECONDS: Final = (10.0, 600.0)
"""The least and the longest wait of a message that was not acknowledged: the subscriptions' retry policy."""
BATCH: Final = 10
MAX_DELAY_SECONDS: Final = 900.0

Handler = Callable[[int, bytes], Awaitable[bool]]
"""Takes the number of an instance and the body of a push; True acknowledges."""


@dataclass(slots=True)
class _Message:
    body: bytes
    failures: int = 0

    def retry_wait(self) -> float:
        self.failures += 1
        return min(RETRY_SECONDS[1], RETRY_SECONDS[0] * 2.0 ** (self.failures - 1))


class CloudBus(ABC):
    """A bus with one subscription for each topic. `brought` counts what it handed over."""

    max_delay_seconds = 0.0

    def __init__(self, weather: Weather, epoch: float) -> None:
        self.brought = 0
        self.is_stopped = False
        self._weather = weather
        self._epoch = epoch
        self._count = 0
        self._unfinished = 0
        self._subscriptions: dict[str, _Subscription] = {}

    def subscribe(self, topic: str, handler: Handler) -> None:
        self._subscriptions[topic] = self._subscription(handler)

    @property
    def is_empty(self) -> bool:
        return self._unfinished == 0

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        await self._weather.before("bus_unavailable")
        loop = asyncio.get_running_loop()
        for message in messages:
            copies = 2 if self._weather.happens(self._weather.rates.duplicate) else 1
            for _ in range(copies):
                self._count += 1
                at = rfc3339(self._epoch + loop.time())
                body = push_body(message.data, message.attributes, str(self._count), at)
                delay = min(message.delay_seconds, self.max_delay_seconds)
                self._unfinished += 1
                wait = delay + self._weather.random.expovariate(50)
                loop.call_later(wait, self._subscriptions[topic].offer, _Message(body))
        await self._weather.after("bus_unavailable")

    def finished(self) -> None:
        self._unfinished -= 1

    @abstractmethod
    def _subscription(self, handler: Handler) -> "_Subscription": ...


class _Subscription(ABC):
    @abstractmethod
    def offer(self, message: _Message) -> None:
        """Take a message that is ready to be handed over."""


class PushBus(CloudBus):
    """Pub/Sub, which pushes to Cloud Run. https://cloud.google.com/pubsub/docs/push#push_backoff"""

    def _subscription(self, handler: Handler) -> "_Subscription":
        return _Pushes(self, handler, self._weather)


class _Pushes(_Subscription):
    """At most `window` pushes at once: one more after each acknowledgement, half as many after a failure.

    After a failure the whole subscription pauses, and longer after the next one if no acknowledgement was between them.
    Pushes that began before are no further failures: a crash that ends many is one.
    """

    def __init__(self, bus: PushBus, handler: Handler, weather: Weather) -> None:
        self._bus = bus
        self._handler = handler
        self._weather = weather
        self._window = FIRST_WINDOW
        self._failures = 0
        self._paused_until = 0.0
        self._failed_at = -1.0
        self._ready: deque[_Message] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._used = [0] * INSTANCES
        self._started = 1
        self._starting = False

    def offer(self, message: _Message) -> None:
        self._ready.append(message)
        self._push_ready()

    def _push_ready(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._paused_until:
            return
        while self._ready and len(self._under_way) < self._window:
            task = loop.create_task(self._push(self._ready.popleft()))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._push_ready()

    async def _push(self, message: _Message) -> None:
        began = asyncio.get_running_loop().time()
        instance = await self._place()
        is_acknowledged = False
        if instance is not None:
            self._bus.brought += 1
            try:
                is_acknowledged = await asyncio.wait_for(self._handler(instance, message.body), ACK_DEADLINE_SECONDS)
            except TimeoutError:
                pass
            finally:
                self._used[instance] -= 1
        loop = asyncio.get_running_loop()
        if is_acknowledged:
            self._failures = 0
            self._window = min(MOST_WINDOW, self._window + 1)
            self._bus.finished()
            return
        if began > self._failed_at:
            self._slow_down(loop)
        loop.call_later(message.retry_wait(), self.offer, message)

    def _slow_down(self, loop: asyncio.AbstractEventLoop) -> None:
        self._failures += 1
        self._window = max(1, self._window // 2)
        self._failed_at = loop.time()
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 20))
        self._paused_until = max(self._paused_until, loop.time() + pause)
        loop.call_at(self._paused_until + 0.001, self._push_ready)

    async def _place(self) -> int | None:
        """Return an instance with a free place, which the caller then has; None for a 429."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + REJECTED_AFTER_SECONDS
        while True:
            self._start_instances()
            free = [number for number in range(self._started) if self._used[number] < PLACES]
            if free:
                number = self._weather.random.choice(free)
                self._used[number] += 1
                return number
            if loop.time() >= give_up_at:
                return None
            await asyncio.sleep(0.1)

    def _start_instances(self) -> None:
        wanted = min(INSTANCES, math.ceil((len(self._under_way) + 1) / (PLACES * BUSY_SHARE)))
        if wanted > self._started and not self._starting:
            self._starting = True
            asyncio.get_running_loop().call_later(START_SECONDS, self._has_started, wanted)

    def _has_started(self, wanted: int) -> None:
        self._starting = False
        self._started = max(self._started, wanted)


class QueueBus(CloudBus):
    """SQS, from which Lambda takes batches: an instance has one at a time, and it ends with its slowest message."""

    max_delay_seconds = MAX_DELAY_SECONDS

    def _subscription(self, handler: Handler) -> "_Subscription":
        return _Batches(self, handler)


class _Batches(_Subscription):
    def __init__(self, bus: QueueBus, handler: Handler) -> None:
        self._bus = bus
        self._handler = handler
        self._ready: list[tuple[float, int, _Message]] = []
        self._offered = 0
        self._idle = list(range(INSTANCES))
        self._invocations: set[asyncio.Task[None]] = set()

    def offer(self, message: _Message) -> None:
        self._offered += 1
        heapq.heappush(self._ready, (asyncio.get_running_loop().time(), self._offered, message))
        self._invoke()

    def _invoke(self) -> None:
        while self._ready and self._idle:
            batch = [heapq.heappop(self._ready)[2] for _ in range(min(BATCH, len(self._ready)))]
            task = asyncio.get_running_loop().create_task(self._run(self._idle.pop(), batch))
            self._invocations.add(task)
            task.add_done_callback(self._invocations.discard)

    async def _run(self, instance: int, batch: Sequence[_Message]) -> None:
        self._bus.brought += len(batch)
        results = await asyncio.gather(*(self._handler(instance, message.body) for message in batch))
        loop = asyncio.get_running_loop()
        for message, is_acknowledged in zip(batch, results, strict=True):
            if is_acknowledged:
                self._bus.finished()
            else:
                loop.call_later(message.retry_wait(), self.offer, message)
        self._idle.insert(0, instance)
        self._invoke()
