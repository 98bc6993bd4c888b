"""Deliveries that are due while their destination is paused: the sweep moves them to the end of the pause.

That is one write for each, where to publish it, claim it and let it wait again would be three.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from functions.notify.registry import Configured, DestinationStates
from functions.notify.retry import spread
from shared.ledger import PAUSED_BY_OPERATOR, LedgerRow, Move
from shared.subscribers.names import SEPARATOR

READS_AT_ONCE: Final = 16
RECHECK_SECONDS: Final = 61.0
"""The longest wait that an instance gives for a pause that it knows of: an operator may have ended it since. The sweep
reads the state again, and moves the delivery to the end. It is longer than a wait that the bus keeps."""


def pause_wait(configured: Configured, end: float, now: float) -> float:
    """Return how long a delivery waits at least for a pause up to `end`."""
    if configured.expires_after_seconds is not None:  # the sweep does not move it
        return end - now
    return min(end - now, RECHECK_SECONDS)


def pause_text(configured: Configured, why: str) -> str:
    """Return why a delivery waits. That of an endpoint is read by its tenant, who knows no destinations."""
    if configured.health is None:
        return f"the destination is paused{f': {why}' if why else ''}"
    if why == PAUSED_BY_OPERATOR:
        return "the operator paused this endpoint"
    return f"paused after failures{f': {why}' if why else ''}"


class Pauses:
    def __init__(self, states: DestinationStates, configured: Mapping[str, Configured]) -> None:
        self._states = states
        self._configured = configured

    async def split(self, rows: Sequence[LedgerRow], now: float) -> tuple[list[LedgerRow], list[Move]]:
        """Return the rows that may be published, and the moves of those that may not. Raises Temporary."""
        ends: dict[str, float] = {}
        names = list(dict.fromkeys(row.destination for row in rows))  # with subscribers, as many as rows
        for begin in range(0, len(names), READS_AT_ONCE):
            some = names[begin : begin + READS_AT_ONCE]
            ends |= zip(some, await asyncio.gather(*map(self._end, some)), strict=True)
        moves = [
            (row.key, row.fence, now + spread(end - now, row.key, row.attempt_number))
            for row in rows
            if (end := ends[row.destination]) > max(now, row.retry_at or now)
        ]
        moved = {key for key, _, _ in moves}
        return [row for row in rows if row.key not in moved], moves

    async def resumed(self, rows: Sequence[LedgerRow]) -> set[str]:
        """Return the destinations of the rows whose pause is over by now. Raises Temporary."""
        names = {row.destination for row in rows}
        return {name for name in names if (await self._states.state(name, fresh=True)).paused_until is None}

    async def _end(self, name: str) -> float:
        """Return the end of the destination's pause; 0 without one.

        What is for a destination that is disabled is published, and held by notify. So is what may expire meanwhile.
        """
        configured = self._configured.get(name.partition(SEPARATOR)[0])  # an endpoint's options are its destination's
        if configured is None or configured.expires_after_seconds is not None:
            return 0.0
        state = await self._states.state(name)
        return 0.0 if state.disabled_reason is not None else state.paused_until or 0.0
