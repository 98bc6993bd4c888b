"""The journal: what people look at. Losing an entry loses no event."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from shared.event import Event

KEPT: Final = "kept"
"""The state of a dead letter that an operator has not decided about."""


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """Why a route took an event or did not, in words. `code` where its chain failed. `route` is empty where the event
    as a whole came to no route: given up on, or a duplicate.

    `destinations` are owed a delivery of each of the `events` that its chain made of the one.
    """

    route: str
    matched: bool
    reason: str
    destinations: tuple[str, ...] = ()
    code: str | None = None
    events: int = 1

    @property
    def word(self) -> str:
        """Stopped: it took the event, and its chain ended it on purpose. Duplicate: no route was asked."""
        if self.code is not None:
            return "failed"
        if not self.route:
            return "duplicate"
        if not self.matched:
            return "no match"
        return "matched" if self.destinations else "stopped"


@dataclass(frozen=True, slots=True)
class EventEntry:
    """An event as receive made it, and what transform decided."""

    event: Event
    routes: tuple[RouteDecision, ...]
    at: float

    @property
    def expected(self) -> int:
        """How many deliveries come of it."""
        return sum(len(route.destinations) * route.events for route in self.routes if route.matched)

    @property
    def broken(self) -> int:
        return sum(route.code is not None for route in self.routes)


@dataclass(frozen=True, slots=True)
class AttemptEntry:
    """`outcome` is delivered, retry_later, refused, disabled or unknown."""

    delivery_id: str
    event_id: str
    route: str
    destination: str
    attempt_number: int
    started_at: float
    ended_at: float
    outcome: str
    reason: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message given up on. `id` is the delivery's id, or `<event id>:<route>` before there is a delivery."""

    id: str
    code: str
    reason: str
    at: float
    message: bytes
    topic: str
    event_id: str = ""
    route: str = ""
    destination: str = ""


JournalEntry: TypeAlias = EventEntry | AttemptEntry | DeadLetter


class Journal(Protocol):
    async def record(self, entries: Sequence[JournalEntry]) -> None: ...
