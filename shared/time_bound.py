"""A bound on the processor time that an operator's template, expression or pattern takes for one event: a hostile event
can make one run for days.

SIGVTALRM counts only the time in which this process computes, so a machine that stalls fails no event. A signal reaches
Python between two of its own instructions (and in the middle of a long search by `re`), in the main thread, which is
where the functions serve; elsewhere, and where the platform has no such signal, there is no bound.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Final

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
        if threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGVTALRM"):
            if signal.getsignal(signal.SIGVTALRM) is not _out_of_time:
                signal.signal(signal.SIGVTALRM, _out_of_time)
            self._is_set = True
            signal.setitimer(signal.ITIMER_VIRTUAL, self._seconds, _AGAIN_SECONDS)

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        if self._is_set:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _out_of_time(_: int, __: FrameType | None) -> None:
    raise OutOfTime
