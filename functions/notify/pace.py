"""The pace of a sweep: how many retries go to one destination in a second.

Ten thousand deliveries that failed together are due together. A destination that has just come back gets at most so
many of them a second; the others wait for their turn, and deliveries to other destinations pass them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from shared.ledger import LedgerRow

MAX_PER_SECOND: Final = 400


@dataclass(slots=True)
class _Second:
    """A second of one destination, and how many deliveries it has."""

    start: float
    count: int = 0


@dataclass(slots=True)
class Pace:
    """The turns that a sweep gives out. `latest` is the time of the last one."""

    latest: float = 0.0
    _seconds: dict[str, _Second] = field(default_factory=dict)
    _turns: set[tuple[str, int]] = field(default_factory=set)

    def begin(self, now: float) -> None:
        """Begin a sweep: turns that it finds given out for later are given out again, from now on."""
        self.latest = now
        self._turns.clear()
        for second in self._seconds.values():
            if second.start > now:
                second.start, second.count = now, MAX_PER_SECOND

    def split(self, rows: Iterable[LedgerRow], now: float) -> tuple[list[LedgerRow], dict[float, list[LedgerRow]]]:
        """Return the rows whose turn is now, and the others by the time of their turn."""
        ready: list[LedgerRow] = []
        later: dict[float, list[LedgerRow]] = {}
        for row in rows:
            turn = now if self.has_turn(row) else self._next_turn(row.destination, now)
            if turn <= now:
                self._turns.discard((row.key, row.fence))
                ready.append(row)
            else:
                later.setdefault(turn, []).append(row)
        return ready, later

    def has_turn(self, row: LedgerRow) -> bool:
        """Return whether the row waited for a turn, and this is it."""
        return (row.key, row.fence) in self._turns

    def give_turn(self, row: LedgerRow, fence: int, at: float) -> None:
        """Remember that the row comes under this fence when its turn is."""
        self._turns.add((row.key, fence))
        self.latest = max(self.latest, at)

    def _next_turn(self, destination: str, now: float) -> float:
        second = self._seconds.get(destination)
        if second is None or second.start + 1 <= now:
            second = self._seconds[destination] = _Second(now)
        if second.count == MAX_PER_SECOND:
            second.start, second.count = second.start + 1, 0
        second.count += 1
        return second.start
