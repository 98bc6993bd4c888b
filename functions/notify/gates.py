"""The gates before an attempt: what may let a delivery wait, such as an open circuit breaker or a rate.

A delivery enters the gates of its destination in order. One that is closed says until when, and the delivery then waits
without an attempt that counts. What was entered is left again, whatever happens.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from functions.notify.registry import Configured
from shared.delivery import Delivery, Outcome
from shared.errors import Temporary


class Closed(NamedTuple):
    """The decision that a delivery is not tried before `until`, in Unix seconds. `reason` is for people.

    `has_slot`: that time is its own, and the gate that gave it lets it pass then.
    `gathers`: at a destination that gathers what is over its rate, the delivery waits for a digest.
    """

    until: float
    reason: str
    has_slot: bool = False
    gathers: bool = False


class Gate(Protocol):
    async def enter(self, configured: Configured, delivery: Delivery, slot_at: float) -> Closed | None:
        """Return None where the delivery may pass. `slot_at` is its row's. Raises Temporary."""
        ...

    async def leave(self, configured: Configured, delivery: Delivery, outcome: Outcome | None) -> None:
        """End what `enter` began, once the outcome is recorded; None where no attempt was made. Raises Temporary."""
        ...


class Passage:
    """The way of one delivery through the gates."""

    def __init__(self, gates: Sequence[Gate], configured: Configured, delivery: Delivery, slot_at: float) -> None:
        self._gates = gates
        self._configured = configured
        self._delivery = delivery
        self._slot_at = slot_at
        self._entered: list[Gate] = []

    async def enter(self) -> Closed | None:
        """Enter the gates up to one that is closed. Raises Temporary."""
        for gate in self._gates:
            if closed := await gate.enter(self._configured, self._delivery, self._slot_at):
                return closed
            self._entered.append(gate)
        return None

    async def leave(self, outcome: Outcome | None) -> None:
        """Leave all the gates that were entered, then raise the last Temporary that one of them raised."""
        fault: Temporary | None = None
        while self._entered:
            try:
                await self._entered.pop().leave(self._configured, self._delivery, outcome)
            except Temporary as error:
                fault = error
        if fault is not None:
            raise fault
