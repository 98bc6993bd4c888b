"""A clock that stands still while the event loop does not turn, and the turns of long computations.

For example, if a computation begins with a beat and takes 0.90 s:

    at 0.05 s  the next beat is due, and cannot come
    at 0.10 s  LATE_SECONDS have passed: the clock stands still
    at 0.90 s  the loop turns and the beat comes. 0.80 s did not count, and no further long computation begins for
               0.90 s, as long as this one took
"""

import asyncio
from collections.abc import Callable
from typing import Final

from shared.time_bound import LATE_SECONDS

BEAT_SECONDS: Final = 0.05
"""How often a timer shows that the event loop turns. If shorter, the timer costs more; if longer, computations give
way later."""
MOST_REST_SECONDS: Final = 1.0
"""The longest rest after a turn that took too long. If longer, long computations use less of the process while nobody
else needs it; if shorter, the work of others takes more turns beside them."""


class LoopTime:
    """A clock that stands still while the event loop does not turn: the process computes, or it is paused.

    No answer of a receiver is read then, so that time must not count as time that the receiver took. Of a long turn,
    the first LATE_SECONDS count, and the rest does not. While work is under way, from `enter` to `leave`, a timer shows
    that the loop turns.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._work_count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._beat_began_at = 0.0
        self._lost_seconds = 0.0
        self._rests_until = 0.0

    def now(self) -> float:
        """Return the time of the clock that the constructor was given, less the time that did not count."""
        now = self._now()
        # Without a call, because each look at a receiver's health asks for the time.
        if self._work_count and now > self._beat_began_at + LATE_SECONDS:
            now = self._beat_began_at + LATE_SECONDS
        return now - self._lost_seconds

    def enter(self) -> None:
        if self._work_count == 0:
            # The timer may be late, or that of a loop that has ended: nobody waited for it meanwhile.
            self._start_timer()
        self._work_count += 1

    def leave(self) -> None:
        self._work_count -= 1

    async def wait_to_compute(self, limit_seconds: float) -> bool:
        """Wait until a long computation may begin. Return False if that takes longer than the limit.

        One may begin in each turn, because all tasks that can go on run in the same turn, and the answers to all others
        would wait for all of them. After each, the loop has as much time for the work of others.
        """
        began_at = self._now()
        while True:
            now = self._now()
            if now - began_at >= limit_seconds:
                return False
            if self._late_seconds() > 0:
                await asyncio.sleep(0)
            elif now < self._rests_until:
                await asyncio.sleep(self._rests_until - now)
            else:
                return True

    def _late_seconds(self) -> float:
        if self._work_count == 0:
            return 0.0
        return max(0.0, self._now() - self._beat_began_at - LATE_SECONDS)

    def _on_beat(self) -> None:
        if late_seconds := self._late_seconds():
            self._lost_seconds += late_seconds
            now = self._now()
            self._rests_until = now + min(now - self._beat_began_at, MOST_REST_SECONDS)
        if self._work_count:
            self._start_timer()
        else:
            self._timer = None

    def _start_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._beat_began_at = self._now()
        self._timer = asyncio.get_running_loop().call_later(BEAT_SECONDS, self._on_beat)
