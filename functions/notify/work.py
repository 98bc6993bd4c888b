"""The values that notify works with, and its result."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from functions.notify.gates import Gate
from functions.notify.registry import Destinations, DestinationStates
from shared.delivery import Delivery
from shared.journal import Journal
from shared.ledger import Claimed, Ledger
from shared.outcomes import DeliveryOutcome
from shared.ports import Bus, Clock
from shared.time_bound import Deadlines

if TYPE_CHECKING:
    from functions.notify.people import Person
    from functions.notify.recipient import Recipients
    from functions.notify.subscribers.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class Notifier:
    """The ports and the state of this process.

    `suspects`: held by a delivery whose attempt before ended without a record, one at a time.

    `gates`: what a delivery passes before its attempt, in order.

    `recipients`: None if no destination's `to` names a person.

    `endpoints`: those of subscribers; None if the configuration has none.

    `under_way`: the ids of the deliveries that this process works on now.
    """

    destinations: Destinations
    states: DestinationStates
    ledger: Ledger
    bus: Bus
    journal: Journal | None
    clock: Clock
    gates: Sequence[Gate] = ()
    suspects: asyncio.Lock = field(default_factory=asyncio.Lock)
    deadlines: Deadlines = field(default_factory=Deadlines)
    under_way: set[str] = field(default_factory=set)
    recipients: "Recipients | None" = None
    endpoints: "Endpoints | None" = None


@dataclass(slots=True)
class Work:
    """A delivery that is claimed. `message` is its CloudEvent as the bus brought it.

    `attempt_number` is the number of the attempt that is made, or would be. `person` is the recipient, once known.
    """

    delivery: Delivery
    message: bytes
    claim: Claimed
    attempt_number: int
    person: "Person | None" = None


@dataclass(slots=True)  # nobody changes one
class Result:
    """`outcome` names what was done, for the log; `code` and `reason` say why where it was not delivered.

    `attempt_seconds` is the duration of the attempt, None if none was made.
    """

    outcome: DeliveryOutcome
    delivery: Delivery | None = None
    attempt_number: int | None = None
    code: str | None = None
    reason: str | None = None
    attempt_seconds: float | None = None


class Acknowledged(Result):
    """Done, scheduled, held or dead-lettered: the bus may forget it."""


class Nacked(Result):
    """The bus brings it again."""
