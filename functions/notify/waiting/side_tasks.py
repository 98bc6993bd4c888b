"""Tasks that run beside the sweep. They send requests to other systems, so they may take long, and must not delay it.

A sweep starts the tasks whose time has come, and publishes due rows while they run. On a cloud, the sweep waits for the
tasks at its end, because the platform may stop the process after the answer. Locally, a sweep comes each second and
does not wait.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from shared import errors, logs, ports

LIMIT_SECONDS: Final = 20.0
"""The longest time that a task may run."""


class Task(NamedTuple):
    """Work that is started every `every_seconds`. `name` is for the log.

    `run` logs the faults that it expects. What it raises is logged as a failure of the task.
    """

    name: str
    every_seconds: float
    run: Callable[[], Awaitable[None]]


class SideTasks:
    """The tasks, and when each of them began last in this process."""

    def __init__(self, tasks: Sequence[Task], clock: ports.Clock, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._tasks = tasks
        self._clock = clock
        self._limit_seconds = limit_seconds
        self._started_at: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Start the tasks whose time has come, except for a task that still runs since an earlier sweep."""
        now = self._clock.now()
        for task in self._tasks:
            started_at = self._started_at.get(task.name)
            is_due = started_at is None or not started_at <= now < started_at + task.every_seconds
            running = self._running.get(task.name)
            if is_due and (running is None or running.done()):
                self._started_at[task.name] = now
                self._running[task.name] = asyncio.create_task(self._run(task))

    async def finish(self) -> None:
        """Wait until no task runs. Each of them is cancelled `limit_seconds` after its start."""
        if self._running:
            await asyncio.wait(self._running.values())

    async def _run(self, task: Task) -> None:
        """Run the task and log its failure."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._limit_seconds):
                await task.run()
        except TimeoutError:
            text = f"it did not end within {self._limit_seconds:.0f} s"
            _log_failure("WARNING", task, started, errors.Temporary("host_unreachable", text))
        except errors.HookchainError as error:
            _log_failure("WARNING", task, started, error)
        except Exception as error:  # a fault of Hookchain. Its text may be a secret, which asyncio would print
            _log_failure("ERROR", task, started, errors.Temporary("internal_error", errors.place_of(error)))


def _log_failure(severity: str, task: Task, started: float, fault: errors.HookchainError) -> None:
    logs.log(severity, f"{task.name} failed", started, function="notify", code=fault.code, detail=fault.detail)
