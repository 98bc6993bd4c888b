"""The values that the functions of notify pass on: its ports and state, a claimed delivery, and a result."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from functions.notify.registry import Destinations
from functions.notify.waiting.pauses import Breakers, DestinationStates
from shared import jsontext, outcomes, ports, time_bound
from shared.delivery import Delivery
from shared.journal import Journal
from shared.ledger import Claimed, Ledger
from shared.outgoing.gate import ProcessGate

if TYPE_CHECKING:
    from functions.notify.recipients.people import Person
    from functions.notify.recipients.recipient import Recipients
    from functions.notify.subscribers.endpoints import Endpoints
    from functions.notify.tracing import NotifySpans
    from functions.notify.waiting.caps import Caps
    from shared.outgoing.instance_leases import InstanceLeases


@dataclass(frozen=True, slots=True)
class Notifier:
    """The ports of notify and the state of this process.

    journal     None if the platform has no place for one
    gate        the places of this process, which decide which deliveries may begin
    caps        the `rate` and `in_flight` of destinations over all instances; None if no destination has one
    instances   the leases of destinations that may hang; None except on AWS, where one attempt holds an instance
    recipients  finds the persons that `to` names; None if no destination's `to` names a person
    endpoints   finds the endpoints of subscribers; None if the configuration has no subscribers
    removals    the paths that the steps of a route may have removed from an event, by route and by step
    suspects    the lock for deliveries whose last attempt left no record, which are attempted one at a time
    under_way   the first message of each delivery that this process works on now, by the delivery's id
    spans       records spans; None if telemetry is off
    sleep       waits about so many seconds, give or take half
    """

    destinations: Destinations
    states: DestinationStates
    ledger: Ledger
    bus: ports.Bus
    journal: Journal | None
    clock: ports.Clock
    breakers: Breakers
    gate: ProcessGate
    caps: "Caps | None" = None
    instances: "InstanceLeases | None" = None
    recipients: "Recipients | None" = None
    endpoints: "Endpoints | None" = None
    removals: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    suspects: asyncio.Lock = field(default_factory=asyncio.Lock)
    deadlines: time_bound.Deadlines = field(default_factory=time_bound.Deadlines)
    under_way: dict[str, "FirstMessage"] = field(default_factory=dict)
    spans: "NotifySpans | None" = None
    sleep: Callable[[float], Awaitable[None]] = time_bound.back_off


class FirstMessage(NamedTuple):
    """The message of a delivery that this process works on. The bus keeps it until this work has ended."""

    message_id: str
    claimed_hash: str


@dataclass(slots=True)
class Work:
    """A claimed delivery. An attempt changes it on the way.

    claim           the claim as the last write left it: a suspect's attempt begins with a write of its own
    attempt_number  the number of the next attempt
    person          the recipient, after it was found
    """

    delivery: Delivery
    claim: Claimed
    attempt_number: int
    person: "Person | None" = None


@dataclass(slots=True)
class Result:
    """The result of a delivery that the bus brought.

    outcome          the outcome, as the log shows it
    code, reason     the reason if it was not delivered

    `attempt_seconds` and `has_failed` are added after an attempt (attempt.py):

    attempt_seconds  the duration of the attempt; None if none was made
    has_failed       whether the destination failed; None if it was not called, or nothing was sent
    """

    outcome: outcomes.DeliveryOutcome
    delivery: Delivery | None = None
    attempt_number: int | None = None
    code: str | None = None
    reason: str | None = None
    attempt_seconds: float | None = None
    has_failed: bool | None = None


class Acknowledged(Result):
    """A result after which the bus may forget the message: delivered, scheduled, held or dead-lettered."""


class Nacked(Result):
    """A result after which the bus must bring the message again."""


def read_removals(notify: jsontext.JsonObject) -> dict[str, dict[str, list[str]]]:
    """Return the paths that the steps of each route may remove, by the step's label. `notify` is the slice."""
    removals = jsontext.mappings_at(notify, "removals")
    return {
        route: {label: [*map(str, jsontext.list_at(steps, label))] for label in steps}
        for route, steps in removals.items()
    }
