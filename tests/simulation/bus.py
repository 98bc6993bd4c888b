"""A bus as Pub/Sub promises to be: at least once, in any order, again after a nack or when the deadline is over."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from shared.ports import BusMessage
from tests.simulation.faults import CALM, Crash, Weather

ACK_DEADLINE_SECONDS: Final = 60.0

Handler = Callable[[bytes], Awaitable[bool]]
"""Takes a push body; True acknowledges."""


class SimulatedBus:
    max_delay_seconds = 900.0

    def __init__(self, weather: Weather) -> None:
        self._weather = weather
        self._handlers: dict[str, Handler] = {}
        self._tasks: set[asyncio.Task[None] | asyncio.Task[bool]] = set()
        self._count = 0
        self.empty = 0
        """Messages without content."""

    def subscribe(self, topic: str, handler: Handler) -> None:
        self._handlers[topic] = handler

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        await self._weather.before("bus_unavailable")
        for message in messages:
            self._keep(topic, message)
        await self._weather.after("bus_unavailable")

    @property
    def is_empty(self) -> bool:
        return not self._tasks

    def _keep(self, topic: str, message: BusMessage) -> None:
        self._count += 1
        self.empty += not message.data
        body = push_body(message.data, message.attributes, str(self._count))
        copies = 2 if self._weather.happens(self._weather.rates.duplicate) else 1
        for _ in range(copies):
            task = asyncio.get_running_loop().create_task(
                self._deliver(self._handlers[topic], body, message.delay_seconds)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, handler: Handler, body: bytes, delay_seconds: float) -> None:
        backoff = 0.5
        await asyncio.sleep(delay_seconds + self._weather.random.expovariate(20))
        while not await self._pushed(handler, body):
            await asyncio.sleep(backoff * self._weather.random.uniform(0.5, 1.5))
            backoff = min(backoff * 2, 60.0)

    async def _pushed(self, handler: Handler, body: bytes) -> bool:
        """A worker that is too slow goes on beside the next delivery of the same message: nothing stops it."""
        worker = asyncio.get_running_loop().create_task(self._survived(handler, body))
        self._tasks.add(worker)
        worker.add_done_callback(self._tasks.discard)
        done, _ = await asyncio.wait({worker}, timeout=ACK_DEADLINE_SECONDS)
        acknowledged = bool(done) and worker.result()
        is_lost = self._weather.rates is not CALM and self._weather.happens(self._weather.rates.fail)
        return acknowledged and not is_lost

    async def _survived(self, handler: Handler, body: bytes) -> bool:
        self._weather.begin_run()
        try:
            return await handler(body)
        except Crash:
            return False


def push_body(data: bytes, attributes: Mapping[str, str], message_id: str, published_at: str = "") -> bytes:
    message = {"data": base64.b64encode(data).decode(), "attributes": dict(attributes), "messageId": message_id}
    if published_at:
        message["publishTime"] = published_at
    return json.dumps({"message": message, "subscription": "projects/p/subscriptions/s"}).encode()
