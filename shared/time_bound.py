"""Time limits for computations (`bounded`) and for waits (`Deadlines`), and the wait before a call is repeated.

An operator's template, expression or pattern may compute for MAX_COMPUTING_SECONDS, because a hostile event can make
one run for days. The signal SIGVTALRM ends it. It counts only the time in which this process computes, so an event does
not fail because the machine stalls. Python handles a signal in the main thread, in which the functions serve, between
two of its instructions or in the middle of a long search by `re`. In another thread, and on a platform without this
signal, there is no limit.
"""

import asyncio
import random
import signal
import threading
from collections.abc import Awaitable, Coroutine, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from time import perf_counter
from types import FrameType, TracebackType
from typing import Final, Generic, TypeVar

Answer = TypeVar("Answer")
MAX_COMPUTING_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 0.2
"""The time until OutOfTime is raised again, for code that catches all exceptions and goes on."""
LATE_SECONDS: Final = 0.1
"""A turn of the event loop that takes longer than this is too long. If shorter, the usual work of a busy process counts
as such; if longer, computations give way later."""
REST_SECONDS: Final = 0.1
"""The time for which a task lets others go on after it has computed for LATE_SECONDS. If longer, an event with many
long routes takes longer. If shorter, other events wait longer beside it."""


class OutOfTime(BaseException):
    """The time is used up. It is not an Exception, so that no template engine or operator's own step catches it.

    Whoever uses `bounded` catches it.
    """


class bounded:  # noqa: N801 a context manager, written as one for its speed
    """A context manager that interrupts the code inside with OutOfTime, and adds its time to the task's Computing.

    It does not nest.
    """

    __slots__ = ("_began_at", "_is_set", "_seconds")

    def __init__(self, seconds: float = MAX_COMPUTING_SECONDS) -> None:
        self._seconds = seconds
        self._is_set = False
        self._began_at = 0.0

    def __enter__(self) -> None:
        self._began_at = perf_counter()
        if threading.current_thread() is threading.main_thread() and _handles_signal():
            self._is_set = True
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds, _AGAIN_SECONDS)

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._is_set:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if computing := _COMPUTING.get():
            computing.seconds += perf_counter() - self._began_at


class BoundedCoroutine(Generic[Answer]):
    """An awaitable that runs a coroutine and limits the time in which it computes, from one wait to the next.

    The time for which it waits is not counted. Raises OutOfTime inside the coroutine, and what the coroutine raises.

    is_closed  true once the event loop has destroyed the task, and Python forbids the coroutine to wait once more
    """

    def __init__(self, coroutine: Coroutine[object, object, Answer]) -> None:
        self.is_closed = False
        self._coroutine = coroutine

    def __await__(self) -> Generator[object, object, Answer]:
        """Drive the coroutine by hand, as the event loop would, so that only the code between two waits is bounded.

        Each turn has two halves. In the first, the coroutine computes until it waits. In the second, the event loop
        waits in its place, and the answer or error is passed back into the coroutine in the next turn.
        """
        answer: object = None
        error: BaseException | None = None
        while True:
            with bounded():
                try:
                    awaited = self._coroutine.send(answer) if error is None else self._coroutine.throw(error)
                except StopIteration as end:  # the coroutine has returned
                    returned: Answer = end.value
                    return returned
            answer = error = None
            try:
                answer = yield awaited
            except GeneratorExit:
                self.is_closed = True
                self._coroutine.close()
                raise
            except BaseException as raised:  # a cancellation is passed on too: the coroutine decides what it means
                error = raised


@dataclass(slots=True)
class Computing:
    """The time that the bounded computations of a task took together, in `seconds`, since the task rested."""

    seconds: float = 0.0

    def is_long(self) -> bool:
        """Return whether they took so long that other tasks must go on."""
        return self.seconds >= LATE_SECONDS

    async def rest(self) -> None:
        """Let other tasks go on for REST_SECONDS."""
        await asyncio.sleep(REST_SECONDS)
        self.seconds = 0.0


_COMPUTING: Final[ContextVar[Computing | None]] = ContextVar("computing", default=None)


def measure_computing() -> Computing:
    """Return a counter of the time of the bounded computations of this task from now on."""
    computing = Computing()
    _COMPUTING.set(computing)
    return computing


@cache
def _handles_signal() -> bool:
    """Handle the signal from now on, and return True; return False if the platform has no such signal.

    Must be called in the main thread.
    """
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
    """Tasks that wait, each until a deadline of its own. One timer watches all of them.

    asyncio.timeout, which has a timer for each task, took 7 of the 100 µs of a request to receive, and 9 of transform's
    210. If a deadline passes while the event loop does not turn, the loop first reads what came meanwhile, so that a
    task whose answer is there is not cancelled.

    _deadlines  by task; a task that is removed during its wait was cancelled by `_watch`
    _was_late   the last alarm came late, and the loop was left to read first
    """

    def __init__(self) -> None:
        self._deadlines: dict[asyncio.Task[object], float] = {}
        self._alarm: asyncio.Handle | None = None
        # Kept here, because uvloop's handle of a time that has just come does not know it.
        self._alarm_at = 0.0
        self._was_late = False

    async def wait(self, awaited: Awaitable[Answer], deadline: float) -> Answer:
        """Await it in the current task until the deadline, a time of the event loop. Raises TooLate at the deadline.

        A task makes one such wait at a time.
        """
        task = asyncio.current_task()
        assert task
        self._deadlines[task] = deadline
        loop = asyncio.get_running_loop()
        # Only the alarm cancels a task, and not this call: before Python 3.13, a task that cancels itself and then ends
        # its wait at once would be cancelled in its next wait.
        at = max(deadline, loop.time())
        if self._alarm is None or at < self._alarm_at:
            self._set_alarm(loop, at)
        try:
            return await awaited
        except asyncio.CancelledError as error:
            if task in self._deadlines or task.cancelling() > 1:  # somebody else cancelled the task
                raise
            raise TooLate from error
        finally:
            # `_watch` removes a task before it cancels it. That cancellation ends here, as TooLate.
            if self._deadlines.pop(task, None) is None:
                task.uncancel()

    def _watch(self) -> None:
        """Cancel the tasks that are late, and wake up for the next deadline."""
        loop = asyncio.get_running_loop()
        is_late = loop.time() - self._alarm_at > LATE_SECONDS
        if is_late and not self._was_late:
            self._was_late = True
            self._set_alarm(loop, loop.time() + LATE_SECONDS)
            return
        self._was_late = False
        for task in [task for task, deadline in self._deadlines.items() if deadline <= loop.time()]:
            del self._deadlines[task]
            task.cancel()
        self._alarm = None
        if self._deadlines:
            self._set_alarm(loop, min(self._deadlines.values()))

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = loop.call_at(at, self._watch)


async def back_off(seconds: float) -> None:
    """Sleep for 0.5 to 1.5 times as long, so that callers that failed together do not try again together."""
    await asyncio.sleep(random.uniform(0.5, 1.5) * seconds)  # noqa: S311 no secret
