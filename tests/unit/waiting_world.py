"""transform and notify between fakes. The bus keeps messages back, and brings again what was not acknowledged."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import Final

from functions.notify.notifier import Acknowledged
from functions.transform.program import read_program
from functions.transform.routes import Routes
from functions.transform.transform import Transformer
from shared.errors import Permanent, Temporary
from shared.event import Event, to_cloudevent
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.jsontext import JsonObject, to_json
from shared.ports import DEAD_LETTERS, EVENTS, BusMessage
from shared.push import Push
from tests.fakes.bus import FakeBus
from tests.fakes.notifier import FakeNotifier
from tests.unit.transform.asked_hosts import Hosts

AGAIN_SECONDS: Final = 61.0
"""The wait before the bus brings a message again: longer than a lease."""
SWEEP_SECONDS: Final = 60.0


class Crash(BaseException):
    """The process dies."""


class CrashingBus(FakeBus):
    """Dies before or after the publish of that number."""

    def __init__(self, before: int = 0, after: int = 0) -> None:
        super().__init__(max_delay_seconds=900)
        self.before, self.after, self.calls = before, after, 0

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None:
        self.calls += 1
        if self.calls == self.before:
            raise Crash
        await super().publish(topic, messages)
        if self.calls == self.after:
            raise Crash


@dataclass
class World:
    """`copies` is how often the bus brings each message."""

    routes: Sequence[JsonObject]
    hosts: Hosts = field(default_factory=Hosts)
    bus: CrashingBus = field(default_factory=CrashingBus)
    copies: int = 1
    nacked: list[Temporary | str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.notifier = FakeNotifier(bus=self.bus, clock=self.hosts.clock)
        self.clock, self.journal = self.hosts.clock, self.notifier.journal
        self._waiting: list[tuple[float, int, str, BusMessage]] = []
        self._numbers, self._read = count(), 0
        self._program: tuple[Sequence[JsonObject], Routes] | None = None
        self._swept_at = self.clock.now()

    @property
    def transformer(self) -> Transformer:
        if self._program is None or self._program[0] is not self.routes:
            self._program = self.routes, read_program({"routes": list(self.routes)}).routes
        services = self.hosts.services
        return Transformer(self._program[1], self.bus, services.blobs, self.journal, self.clock, services)

    async def send(self, event: Event, **attributes: str) -> None:
        await self.bus.publish(EVENTS, [BusMessage(to_json(to_cloudevent(event)).encode(), attributes)])

    async def run(self, seconds: float) -> None:
        """Take what the bus brings in that time, and sweep each minute."""
        end = self.clock.now() + seconds
        while True:
            for topic, message in self.bus.sent[self._read :]:
                for _ in range(self.copies):
                    self._add(self.clock.now() + message.delay_seconds, topic, message)
            self._read = len(self.bus.sent)
            at = self._waiting[0][0] if self._waiting else end + 1
            if min(at, self._swept_at + SWEEP_SECONDS) > end:
                self.clock.time = end
                return
            if at > self._swept_at + SWEEP_SECONDS:
                self._swept_at += SWEEP_SECONDS
                self.clock.time = max(self.clock.time, self._swept_at)
                with contextlib.suppress(Crash, Temporary):
                    await self.notifier.sweep()
                continue
            _, _, topic, message = heappop(self._waiting)
            self.clock.time = max(self.clock.time, at)
            await self._take(topic, message)

    def _add(self, at: float, topic: str, message: BusMessage) -> None:
        heappush(self._waiting, (at, next(self._numbers), topic, message))

    async def _take(self, topic: str, message: BusMessage) -> None:
        try:
            if topic == DEAD_LETTERS:
                return
            if topic == EVENTS:
                await self.transformer.take(Push(message.data, message.attributes, "m1"))
                return
            result = await self.notifier.take_message(message)
            if isinstance(result, Acknowledged):
                return
            self.nacked.append(result.outcome)
        except Permanent:
            return
        except Temporary as error:
            self.nacked.append(error)
        except Crash:
            self.notifier.start()
        self._add(self.clock.now() + AGAIN_SECONDS, topic, message)

    @property
    def delivered(self) -> list[str]:
        """The routes of the deliveries that the destination got."""
        return [each.route for each in self.notifier.crm.delivered]

    @property
    def letters(self) -> list[JsonObject]:
        return [json.loads(message.data)["data"] for message in self.bus.on(DEAD_LETTERS)]

    @property
    def tries(self) -> list[AttemptEntry]:
        """The journal's attempts of routes, those with a number."""
        return [each for each in self.journal.attempts if each.destination == "(route)" and each.attempt_number]

    def decisions(self) -> dict[str, RouteDecision]:
        """The last decision of each route in the journal."""
        entries = [each for each in self.journal.entries if isinstance(each, EventEntry)]
        return {decision.route: decision for entry in entries for decision in entry.routes}
