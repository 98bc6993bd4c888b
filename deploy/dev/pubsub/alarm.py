"""One timer that rings at the earliest time it was asked for: nothing runs while there is nothing to do."""

import asyncio
from collections.abc import Callable


class Alarm:
    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float | None) -> None:
        """`at` is in the event loop's time; None asks for nothing."""
        if at is None or (self._at is not None and self._at <= at):
            return
        self.cancel()
        self._at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._now)

    def cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._at = self._timer = None

    def _now(self) -> None:
        self._at = self._timer = None
        self._ring()
