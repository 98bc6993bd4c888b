"""Work beside the sweep: what asks other systems now and then, and delays no row that is due.

A sweep starts the tasks whose time has come, and publishes rows while they run. Where another sweep comes a minute
later, it ends only after them, because nothing runs after its answer. On this machine, a sweep comes each second and
does not wait for them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from shared.errors import HookchainError, Temporary, place_of
from shared.logs import log
from shared.ports import Clock

LIMIT_SECONDS: Final = 20.0
"""The time of a task in one sweep."""


class Task(NamedTuple):
    """Work that is done every so many seconds. `name` is for the log: a task reports what it expects to fail itself."""

    name: str
    every_seconds: float
    run: Callable[[], Awaitable[None]]


class Beside:
    def __init__(self, tasks: Sequence[Task], clock: Clock, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._tasks = tasks
        self._clock = clock
        self._limit_seconds = limit_seconds
        self._started_at: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Start the tasks whose time has come, except for those that an earlier sweep started and that still run."""
        now = self._clock.now()
        for task in self._tasks:
            started_at = self._started_at.get(task.name)
            has_time = started_at is None or not started_at <= now < started_at + task.every_seconds
            running = self._running.get(task.name)
            if has_time and (running is None or running.done()):
                self._started_at[task.name] = now
                self._running[task.name] = asyncio.create_task(self._run(task))

    async def finish(self) -> None:
        """Wait until no task runs. Each ends in time."""
        if self._running:
            await asyncio.wait(self._running.values())

    async def _run(self, task: Task) -> None:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._limit_seconds):
                await task.run()
        except TimeoutError:
            text = f"it did not end within {self._limit_seconds:.0f} s"
            _log_fault("WARNING", task, started, Temporary("host_unreachable", text))
        except HookchainError as error:
            _log_fault("WARNING", task, started, error)
        except Exception as error:
            _log_fault("ERROR", task, started, Temporary("internal_error", place_of(error)))


def _log_fault(severity: str, task: Task, started: float, fault: HookchainError) -> None:
    log(severity, f"{task.name} failed", started, function="notify", code=fault.code, detail=fault.detail)
