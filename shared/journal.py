"""The journal: what people look at, and how the functions write it. Losing an entry loses no event."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from shared.event import Event
from shared.jsontext import Json
from shared.outcomes import RouteOutcome

KEPT: Final = "kept"
"""The state of a dead letter that an operator has not decided about."""
MAX_LISTED_ROUTES: Final = 20
"""The journal lists the decisions of this many routes about an event, and counts the others."""


@dataclass(slots=True)
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
    def outcome(self) -> RouteOutcome:
        """Return the outcome. `filtered`: its chain ended the event on purpose. `duplicate`: no route was asked."""
        if self.code is not None:
            return "dead_lettered"
        if not self.route:
            return "duplicate"
        if not self.matched:
            return "not_matched"
        return "matched" if self.destinations else "filtered"


@dataclass(slots=True)
class EventEntry:
    """An event as receive made it, and what transform decided.

    others    the number of routes whose decisions are not in `routes`
    document  the event's JSON; empty where nobody has it at hand
    """

    event: Event
    routes: tuple[RouteDecision, ...]
    at: float
    others: int = 0
    document: bytes = b""

    @property
    def expected(self) -> int:
        """Return the number of deliveries that come of it."""
        return sum([len(route.destinations) * route.events for route in self.routes if route.matched])

    @property
    def broken(self) -> int:
        return sum([route.code is not None for route in self.routes])


class AttemptEntry(NamedTuple):
    """An attempt at a delivery. `outcome` is an AttemptOutcome; an entry of an earlier version keeps its own word."""

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
    """Attempts are recorded in the ledger too, and a journal whose readers read them there keeps none."""

    async def record(self, entries: Sequence[JournalEntry]) -> None: ...

    def note(self, attempt: AttemptEntry) -> None:
        """Record an attempt soon, together with others. What ends with this process meanwhile is in the ledger."""
        ...


def route_documents(routes: Sequence[RouteDecision], others: int = 0) -> list[Json]:
    """Return the decisions as the journals store them and the page shows them, and the number of all other routes.

    Of more than MAX_LISTED_ROUTES, those that failed come first, then those that took the event.
    """
    if len(routes) > MAX_LISTED_ROUTES:
        others += len(routes) - MAX_LISTED_ROUTES
        routes = sorted(routes, key=lambda route: (route.code is None, not route.matched))[:MAX_LISTED_ROUTES]
    documents: list[Json] = [
        {
            "route": route.route,
            "matched": route.matched,
            "reason": route.reason,
            "destinations": list(route.destinations),
            "code": route.code,
        }
        for route in routes
    ]
    return [*documents, {"others": others}] if others else documents
