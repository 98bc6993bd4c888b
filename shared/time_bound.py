"""Time limits for computations (`bounded`) and for waits (`Deadlines`); and the wait before a call is repeated.

An operator's template, expression or pattern has seconds of the processor for an event: a hostile event can make one
run for days. SIGVTALRM counts only the time in which this process computes, so a machine that stalls fails no event. A
signal reaches Python between two of its own instructions (and in the middle of a long search by `re`), in the main
thread, which is where the functions serve; elsewhere, and where the platform has no such signal, there is no bound.
"""

import asyncio
import random
import signal
import threading
from collections.abc import Awaitable
from functools import cache
from types import FrameType, TracebackType
from typing import Final, TypeVar

Answer = TypeVar("Answer")
MAX_COMPUTING_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 0.2  # for code that catches whatever is raised, and goes on


class OutOfTime(BaseException):
    """The time is used up. It is no Exception, so that no template engine or operator's own step catches it."""


class bounded:  # noqa: N801 a context manager, written as one for its speed
    """A context manager that interrupts the code inside with OutOfTime. It does not nest."""

    __slots__ = ("_is_set", "_seconds")

    def __init__(self, seconds: float = MAX_COMPUTING_SECONDS) -> None:
        self._seconds = seconds
        self._is_set = False

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread() and _handles_signal():
            self._is_set = True
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds, _AGAIN_SECONDS)

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._is_set:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


@cache
def _handles_signal() -> bool:
    """Handle the signal from now on, and return True; False where the platform has none. Called in the main thread."""
    if not hasattr(signal, "SIGVTALRM"):
        return False
    signal.signal(signal.SIGVTALRM, _out_of_time)
    return True


def _out_of_time(_: int, __: FrameType | None) -> None:
    raise OutOfTime


def is_cancelled() -> bool:
    """Return whether the current task is to end, and not only something that it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class TooLate(TimeoutError):
    """A wait that did not end by its deadline."""


class Deadlines:
    """Tasks that wait, each with a deadline of its own. One timer watches all of them: asyncio.timeout, with one for
    each, took 7 of the 100 µs of a request to receive, and 9 of transform's 210."""

    def __init__(self) -> None:
        self._deadlines: dict[asyncio.Task[object], float] = {}
        self._alarm: asyncio.TimerHandle | None = None

    async def wait(self, awaited: Awaitable[Answer], deadline: float) -> Answer:
        """Await it in the current task, until a time of the event loop. Raises TooLate where it is cancelled then."""
        task = asyncio.current_task()
        assert task
        self._deadlines[task] = deadline
        if self._alarm is None or deadline < self._alarm.when():
            self._watch()
        try:
            return await awaited
        except asyncio.CancelledError as error:
            if task in self._deadlines or task.cancelling() > 1:  # somebody else cancelled the task
                raise
            raise TooLate from error
        finally:
            if self._deadlines.pop(task, None) is None:
                task.uncancel()

    def _watch(self) -> None:
        """Cancel the tasks that are late, and wake up for the next deadline."""
        if self._alarm is not None:
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        for task in [task for task, deadline in self._deadlines.items() if deadline <= loop.time()]:
            del self._deadlines[task]
            task.cancel()
        self._alarm = loop.call_at(min(self._deadlines.values()), self._watch) if self._deadlines else None


async def back_off(seconds: float) -> None:
    """Sleep for about that long, so that those who failed together do not come back together."""
    await asyncio.sleep(random.uniform(0.5, 1.5) * seconds)  # noqa: S311 no secret
