"""The metrics that a sweep finds of the whole deployment: what came due, and the states of the destinations.

Imported only if metrics are sent. The states cost a read for each destination a minute.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from functions.notify.waiting.sweep import DueCount
from shared import batching, errors, logs, ports
from shared.ledger import DestinationState, Ledger
from shared.telemetry.metrics import STATE, Metrics
from shared.telemetry.spans import DESTINATION

EVERY_SECONDS: Final = 50.0
"""Less than the minute after which the scheduler's next sweep comes."""
AT_ONCE: Final = 16

State = Literal["delivering", "paused", "disabled"]
STATES: Final[tuple[State, ...]] = ("delivering", "paused", "disabled")


class SweepLevels:
    """The levels in the metrics of the process.

    find_metrics  returns the metrics; None if the collector takes none. Then nothing is read
    destinations  the names of all that are configured
    """

    def __init__(
        self,
        find_metrics: Callable[[], Metrics | None],
        destinations: Sequence[str],
        ledger: Ledger,
        clock: ports.Clock,
    ) -> None:
        self._find_metrics = find_metrics
        self._destinations = destinations
        self._ledger = ledger
        self._clock = clock
        self._backlogs: dict[str, DueCount] = {}
        self._next_at = 0.0

    async def note(self, backlogs: Mapping[str, DueCount]) -> None:
        """Note what the sweeps of a minute found due. A fault costs the sweep nothing."""
        metrics = self._find_metrics()
        if metrics is None:
            return
        self._backlogs |= backlogs
        now = self._clock.now()
        if now < self._next_at:
            return
        self._next_at = now + EVERY_SECONDS
        found, self._backlogs = self._backlogs, {}
        # A destination that is not in the report has no backlog, and without a zero its last number would stay.
        names = {*self._destinations, *found}
        due = {name: found.get(name, DueCount(0, 0.0)) for name in names}
        metrics.set_levels("hookchain.backlog", [({DESTINATION: name}, each.due) for name, each in due.items()])
        ages = [({DESTINATION: name}, each.oldest_seconds) for name, each in due.items()]
        metrics.set_levels("hookchain.backlog.oldest", ages)
        try:
            counts = await self._states(now)
        except errors.Temporary as error:
            logs.log("WARNING", "states not measured", function="notify", code=error.code, detail=error.detail)
            return
        metrics.set_levels("hookchain.destinations", [({STATE: name}, count) for name, count in counts.items()])

    async def _states(self, now: float) -> dict[State, int]:
        found: list[DestinationState] = []
        for names in batching.batches(self._destinations, AT_ONCE):
            found += await asyncio.gather(*(self._ledger.destination_state(name) for name in names))
        states = [_state_of(each, now) for each in found]
        return {name: states.count(name) for name in STATES}


def _state_of(found: DestinationState, now: float) -> State:
    if found.disabled_reason is not None:
        return "disabled"
    return "paused" if (found.paused_until or 0.0) > now else "delivering"
