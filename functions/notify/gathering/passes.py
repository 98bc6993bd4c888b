"""One pass over the groups whose time has come: the time that it has, and what became of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from functions.notify.gathering.draft import Draft, LineTime, merged_bytes
from functions.notify.gathering.due import listed
from functions.notify.gathering.record import max_members
from functions.notify.gathering.settings import GatherSettings
from shared.errors import Temporary, place_of
from shared.ledger import Ledger
from shared.ports import Clock
from shared.store_ports import Answer

CLOSED_AT_ONCE: Final = 8
LINES_SECONDS: Final = 5.0
"""What the templates of lines compute in one pass at most; what comes then has a line of ours."""


@dataclass(slots=True)
class Pass:
    """A pass over the groups.

    since      the time of the oldest row of the groups that are closed next
    left_at    the time of the oldest row that stays due
    end        when it ends at the latest, but for what has begun
    line_time  what the templates of lines may still compute
    faults     what failed: it holds up no other group
    """

    clock: Clock
    now: float
    since: float
    left_at: float
    end: float
    count: int = 0
    line_time: LineTime = field(default_factory=lambda: LineTime(LINES_SECONDS))
    faults: list[Temporary] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        return self.clock.now() >= self.end

    def leave(self, at: float) -> None:
        """Note that a row of that time stays due."""
        self.left_at = min(self.left_at, at)

    def fail(self, error: Exception) -> None:
        """Note a fault, which is raised once the other groups were tried. Its group stays as it is."""
        self.faults.append(error if isinstance(error, Temporary) else Temporary("internal_error", place_of(error)))

    async def each(self, names: Sequence[str], act: Callable[[str], Awaitable[Answer]]) -> dict[str, Answer]:
        """Do it with each group, several at once, as long as there is time, and with the first ones anyway."""
        answers: dict[str, Answer] = {}
        for start in range(0, len(names), CLOSED_AT_ONCE):
            if start and self.is_over:
                self.leave(self.since)
                break
            some = names[start : start + CLOSED_AT_ONCE]
            found = await asyncio.gather(*[act(name) for name in some], return_exceptions=True)
            for name, answer in zip(some, found, strict=True):
                if isinstance(answer, Exception):
                    self.fail(answer)
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    answers[name] = answer
        return answers

    async def drafts(self, ledger: Ledger, groups: Mapping[str, tuple[str, GatherSettings]]) -> dict[str, Draft]:
        """Read what waits in the groups, of a burst also what is not due yet. What there is no time for stays due.

        `groups` has their destinations and the settings of these. Raises Temporary.
        """
        drafts = {
            name: Draft(destination, settings, max_members(merged_bytes(settings)), self.line_time)
            for name, (destination, settings) in groups.items()
        }
        if not drafts:
            return drafts
        waits = [settings.coalesce.wait_seconds for _, settings in groups.values() if settings.coalesce]
        async for row in listed(ledger, self.now + max(waits, default=0.0), self.since):
            draft = drafts.get(row.group)
            if draft is not None and row.destination == draft.destination:
                try:
                    draft.add(row, is_due=(row.retry_at or 0.0) <= self.now)
                except Exception as error:
                    self.fail(error)
                    del drafts[row.group]
            if self.is_over:
                self.leave(row.retry_at or 0.0)
                break
        return drafts
