"""The metrics of the whole deployment: the deliveries that a sweep found due, and the states of the destinations.

This module is imported only if metrics are sent. The states cost one read for each destination and minute.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from functions.notify.waiting.publication import DueCount
from shared import batching, errors, logs, ports
from shared.delivery import ROUTE_ITSELF
from shared.ledger import DestinationState, Ledger
from shared.telemetry.metrics import STATE, Metrics
from shared.telemetry.spans import DESTINATION

EVERY_SECONDS: Final = 50.0
"""How often the metrics are measured: in each sweep of the scheduler, which comes each minute, or a little earlier."""

State = Literal["delivering", "paused", "disabled"]
STATES: Final[tuple[State, ...]] = ("delivering", "paused", "disabled")


class SweepLevels:
    """The levels of the deployment, as a process measures them.

    find_metrics  returns the metrics of the process; None if the collector accepts none. Then nothing is read
    destinations  the names of all configured destinations
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
        self._names = {*destinations, ROUTE_ITSELF}
        """The destinations, the routes that wait, and what else had a backlog here: destinations that were removed."""
        self._next_at = 0.0

    async def note(self, backlogs: Mapping[str, DueCount]) -> None:
        """Set the levels, at most every EVERY_SECONDS. `backlogs` is what the sweeps since the last call found due.

        Raises nothing if a state cannot be read, so that the sweep goes on.
        """
        metrics = self._find_metrics()
        if metrics is None:
            return
        self._backlogs |= backlogs
        now = self._clock.now()
        if now < self._next_at:
            return
        self._next_at = now + EVERY_SECONDS
        backlogs = self._backlogs
        self._backlogs = {}
        # A destination without a backlog is set to 0. Otherwise, its last number would stay.
        self._names |= backlogs.keys()
        due = {name: backlogs.get(name, DueCount(0, 0.0)) for name in self._names}
        counts_due = [({DESTINATION: name}, backlog.due) for name, backlog in due.items()]
        metrics.set_levels("hookchain.backlog", counts_due)
        ages = [({DESTINATION: name}, backlog.oldest_seconds) for name, backlog in due.items()]
        metrics.set_levels("hookchain.backlog.oldest", ages)
        try:
            counts = await self._states(now)
        except errors.Temporary as error:
            logs.log("WARNING", "states not measured", function="notify", code=error.code, detail=error.detail)
            return
        metrics.set_levels("hookchain.destinations", [({STATE: name}, count) for name, count in counts.items()])

    async def _states(self, now: float) -> dict[State, int]:
        """Return how many destinations are in each state. Raises Temporary."""
        stored_states = await batching.await_all(map(self._ledger.destination_state, self._destinations))
        states = [_state_of(stored, now) for stored in stored_states]
        return {name: states.count(name) for name in STATES}


def _state_of(stored: DestinationState, now: float) -> State:
    if stored.disabled_reason is not None:
        return "disabled"
    return "paused" if (stored.paused_until or 0.0) > now else "delivering"
