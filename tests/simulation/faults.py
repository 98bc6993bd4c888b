"""What goes wrong, and when: all of it from one seeded source of chance, so that a seed replays a run."""

import asyncio
import math
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random
from typing import Final

from shared.errors import Temporary, TemporaryCode
from tests.kill.checker import Disturbance


class Crash(BaseException):
    """The process died here. No code of ours may catch it."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares of all effects: each may crash or fail before it happens or after, or be slow; and the bus's own."""

    crash: float = 0.01
    fail: float = 0.02
    slow: float = 0.01
    stall: float = 0.001
    duplicate: float = 0.05
    destination_fails: float = 0.05
    destination_silent: float = 0.01
    skew_seconds: float = 1.0
    unanswered: float = 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """One worker's run of one message."""

    worker: str


RUN: Final[ContextVar[Run | None]] = ContextVar("RUN", default=None)

CALM = Rates(0, 0, 0, 0, 0, 0, 0, 0)


class Weather:
    """`rates` is set to CALM at the end of a run, so that what is in flight can come to its end."""

    def __init__(self, random: Random, rates: Rates) -> None:
        self.random = random
        self.rates = rates
        self.noted: list[Disturbance] = []
        self._runs = 0

    def begin_run(self) -> None:
        """In this task, from here on, another worker is at work."""
        self._runs += 1
        RUN.set(Run(str(self._runs)))

    async def before(self, part: TemporaryCode) -> None:
        await self._delay()
        self._strike(part)

    async def after(self, part: TemporaryCode) -> None:
        self._strike(part)
        await self._delay()

    def happens(self, rate: float) -> bool:
        return self.random.random() < rate

    def _strike(self, part: TemporaryCode) -> None:
        chance = self.random.random()
        if chance < self.rates.crash + self.rates.fail:
            self.strike()
            raise Crash(part) if chance < self.rates.crash else Temporary(part, "as the simulation has it")

    def strike(self) -> None:
        now = asyncio.get_running_loop().time()
        self._note("strike", now, now)

    def note_silence(self) -> None:
        """The destination took a copy and answers nothing: its sender cannot know."""
        now = asyncio.get_running_loop().time()
        self._note("silence", now, now)

    def _note(self, kind: str, began_at: float, ended_at: float, delays: bool = False) -> None:
        run = RUN.get()
        self.noted.append(Disturbance(kind, began_at, ended_at, run.worker if run else "nobody", delays))

    def count(self, kind: str) -> int:
        return sum(each.kind == kind for each in self.noted)

    async def _delay(self) -> None:
        """Mostly milliseconds, now and then seconds, seldom longer than any lease."""
        chance = self.random.random()
        if chance < self.rates.stall:
            # Its lease may be over: whatever this worker still does comes late.
            self._note("stall", asyncio.get_running_loop().time(), math.inf, delays=True)
            await asyncio.sleep(self.random.uniform(30, 120))
        elif chance < self.rates.stall + self.rates.slow:
            await asyncio.sleep(self.random.uniform(0.5, 5))
        elif chance < 0.3:
            await asyncio.sleep(self.random.uniform(0.0005, 0.02))


class SkewedClock:
    """A worker's own clock: the loop's time, off by a constant."""

    def __init__(self, epoch: float, skew: float) -> None:
        self._epoch = epoch
        self._skew = skew

    def now(self) -> float:
        return self._epoch + asyncio.get_running_loop().time() + self._skew
