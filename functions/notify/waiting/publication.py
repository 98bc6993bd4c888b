"""The publication of due rows, each destination at its pace.

Ten thousand deliveries that failed together are due together. A destination that has just come back gets at most
MAX_PER_SECOND of them a second. The others are moved to their turn, and deliveries to other destinations pass them.

A row is moved by giving it a later `retry_at` and a new fence, so only one of two sweeps that find it moves it:

    to the end of the pause   if its destination is paused
    to its turn               if its destination has no turn left in this second
    by POSTPONE_SECONDS       before it is published. If this process dies in between, the row is due again then
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from functions.notify.waiting.due import due_message, move_rows
from functions.notify.waiting.pauses import SweepPauses
from shared import errors, ports
from shared.ledger import POSTPONE_SECONDS, Ledger, LedgerRow, Move
from shared.subscribers.names import SEPARATOR

MAX_PER_SECOND: Final = 400
"""The pace of each destination."""
REPORT_SECONDS: Final = 59.0
"""How often the backlog of each destination is reported: once a minute, or in each sweep, which may come a little
early."""


class DueCount(NamedTuple):
    """The number of deliveries that were due, and the age of the oldest one."""

    due: int
    oldest_seconds: float


class Backlog:
    """The deliveries that sweeps found due since the last report, by destination."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, float]] = {}
        self._reported_at = 0.0

    def note(self, rows: Iterable[LedgerRow]) -> None:
        """Count these rows."""
        for row in rows:
            # The destination's name alone: no metric has a label for each endpoint.
            name = row.destination.partition(SEPARATOR)[0]
            count, oldest_at = self._counts.get(name, (0, row.created_at))
            self._counts[name] = count + 1, min(oldest_at, row.created_at)

    def report(self, now: float) -> Mapping[str, DueCount]:
        """Return the numbers since the last report, and begin again; nothing within REPORT_SECONDS of it."""
        if now < self._reported_at + REPORT_SECONDS:
            return {}
        counts = {name: DueCount(count, max(0.0, now - at)) for name, (count, at) in self._counts.items()}
        self._counts, self._reported_at = {}, now
        return counts


@dataclass(slots=True)
class _Second:
    """The last second in which a destination has turns, and the number of its turns in that second."""

    start: float
    count: int = 0


@dataclass(slots=True)
class Pace:
    """The turns of the deliveries that a sweep publishes.

    latest    the time of the last turn that was given out
    _seconds  by destination: how far its turns are given out, by this sweep or an earlier one
    _turns    the keys and fences of the rows that this sweep moved to their turns, and publishes when they are due
    """

    latest: float = 0.0
    _seconds: dict[str, _Second] = field(default_factory=dict)
    _turns: set[tuple[str, int]] = field(default_factory=set)

    def begin(self, now: float) -> None:
        """Begin a sweep. Turns after now that an earlier sweep gave out are forgotten, and given out again."""
        self.latest = now
        self._turns.clear()
        for second in self._seconds.values():
            if second.start > now:
                # The turns of this second may be used, so it counts as full, and the next turn is a second later.
                second.start = now
                second.count = MAX_PER_SECOND

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
        """Return whether the row got a turn before, and was moved to it."""
        return (row.key, row.fence) in self._turns

    def give_turn(self, row: LedgerRow, fence: int, at: float) -> None:
        """Remember that the row, which has this fence now, was moved to its turn at `at`."""
        self._turns.add((row.key, fence))
        self.latest = max(self.latest, at)

    def _next_turn(self, destination: str, now: float) -> float:
        """Return the time of the destination's next free turn. There are MAX_PER_SECOND turns in each second."""
        second = self._seconds.get(destination)
        if second is None or second.start + 1 <= now:
            second = self._seconds[destination] = _Second(now)
        if second.count == MAX_PER_SECOND:
            second.start, second.count = second.start + 1, 0
        second.count += 1
        return second.start


@dataclass(slots=True)
class DuePublisher:
    """The publication of the due rows that one sweep finds.

    count        the number of deliveries that it has published
    faults       the errors so far, which do not keep other rows from being published
    is_bus_down  the bus accepts no messages
    """

    ledger: Ledger
    bus: ports.Bus
    clock: ports.Clock
    pauses: SweepPauses | None
    pace: Pace
    backlog: Backlog
    count: int = 0
    faults: list[errors.Temporary] = field(default_factory=list)
    is_bus_down: bool = False

    async def publish(self, rows: Sequence[LedgerRow]) -> None:
        """Publish the due rows whose turn is now, and move the others: to their turns, or to the ends of pauses.

        A row that cannot be moved does not keep the others from being published.
        """
        now = self.clock.now()
        self.backlog.note(row for row in rows if not self.pace.has_turn(row))
        ready, later = self.pace.split(await self._without_paused(rows, now), now)
        for turn, waiting in later.items():
            await self._move_to_turn(waiting, now, turn)
        if ready:
            await self._postpone_and_publish(ready, now)

    async def publish_ahead(self, rows: Sequence[LedgerRow], now: float) -> None:
        """Publish rows that become due within a minute of `now`. Each message has the delay until its row is due."""
        await self._postpone_and_publish(await self._without_paused(rows, now), now)

    async def _without_paused(self, rows: Sequence[LedgerRow], now: float) -> Sequence[LedgerRow]:
        """Move the rows of paused destinations to the ends of their pauses, and return the other rows."""
        if self.pauses is None:
            return rows
        try:
            others, moves = await self.pauses.split(rows, now)
            if moves:
                await self._move_to_end(rows, moves, now)
        except errors.Temporary as error:
            self.faults.append(error)
            return []  # they stay due
        return others

    async def _move_to_end(self, rows: Sequence[LedgerRow], moves: Sequence[Move], now: float) -> None:
        """Move the rows to the ends of their pauses. Raises Temporary.

        If an operator ended a pause meanwhile, make its rows due again: `hookchain resume` looked for the rows that
        wait before these did.
        """
        assert self.pauses is not None
        by_key = {row.key: row for row in rows}
        fences_or_faults = await self.ledger.postpone_all(moves, now)
        self.faults += [each for each in fences_or_faults if isinstance(each, errors.Temporary)]
        keys_and_fences = zip((key for key, *_ in moves), fences_or_faults, strict=True)
        moved = [(by_key[key], fence) for key, fence in keys_and_fences if isinstance(fence, int)]
        if resumed := await self.pauses.resumed([row for row, _ in moved]):
            back = [(row.key, fence, now) for row, fence in moved if row.destination in resumed]
            await self.ledger.postpone_all(back, now)

    async def _postpone_and_publish(self, rows: Sequence[LedgerRow], now: float) -> None:
        """Postpone the rows, and publish those that were postponed. Note faults."""
        moved, faults = await move_rows(self.ledger, rows, now, now + POSTPONE_SECONDS)
        self.faults += faults
        try:
            if moved:
                await self.bus.publish(ports.DELIVERIES, [due_message(row, fence, now) for row, fence in moved])
        except errors.Temporary as error:
            # Make each row due again at its own time. With its new fence, a message that was published after all has no
            # effect. A row that stays postponed because it cannot be written is due later, so that error is not noted.
            self.faults.append(error)
            self.is_bus_down = True
            back = [(row.key, fence, max(now, row.retry_at or now)) for row, fence in moved]
            await self.ledger.postpone_all(back, now)
        else:
            self.count += len(moved)

    async def _move_to_turn(self, rows: Sequence[LedgerRow], now: float, turn: float) -> None:
        """Move the rows to their turn, at which the sweep finds them again."""
        moved, faults = await move_rows(self.ledger, rows, now, turn)
        for row, fence in moved:
            self.pace.give_turn(row, fence, turn)
        self.faults += faults
