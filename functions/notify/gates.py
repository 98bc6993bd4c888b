"""The gates before an attempt: what can make a delivery wait, such as an open circuit breaker or a rate.

A delivery enters the gates of its destination in order. A closed gate says until when; the delivery then waits, which
is not an attempt. Every gate that was entered is left, whatever happens.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from functions.notify.registry import Configured
from shared.delivery import Delivery, Outcome
from shared.errors import Temporary


class Closed(NamedTuple):
    """The decision that a delivery is not tried before `until`, in Unix seconds. `reason` is for people.

    `has_slot`: that time is reserved for the delivery, and the gate lets it pass then.
    `gathers`: at a destination that gathers what is over its rate, the delivery waits for a digest.
    """

    until: float
    reason: str
    has_slot: bool = False
    gathers: bool = False


class Gate(Protocol):
    async def enter(self, configured: Configured, delivery: Delivery, slot_at: float) -> Closed | None:
        """Return None if the delivery may pass. `slot_at` is that of its ledger row. Raises Temporary."""
        ...

    async def leave(self, configured: Configured, delivery: Delivery, outcome: Outcome | None) -> None:
        """End what `enter` began, once the outcome is recorded; None if no attempt was made. Raises Temporary."""
        ...


async def leave_gates(
    entered: Sequence[Gate], configured: Configured, delivery: Delivery, outcome: Outcome | None
) -> None:
    """Leave all the gates, the last one first, then raise the last Temporary that one of them raised."""
    fault: Temporary | None = None
    for gate in reversed(entered):
        try:
            await gate.leave(configured, delivery, outcome)
        except Temporary as error:
            fault = error
    if fault is not None:
        raise fault
