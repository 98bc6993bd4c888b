"""The journal: the records of events, attempts and dead letters that people look at.

No function decides by it, so a lost entry loses no event.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol, TypeAlias

from shared.event import Event
from shared.jsontext import Json, JsonObject, objects_at
from shared.outcomes import RouteOutcome

KEPT: Final = "kept"
"""The state of a dead letter that an operator has not decided about."""
MAX_LISTED_ROUTES: Final = 20
"""The most routes whose decisions about an event the journal lists. It counts the others."""
MAX_KEPT_SPANS: Final = 64
"""The most spans of an event, about 8 KB: those that ended first, and the last one, which contains the steps."""


@dataclass(slots=True)
class RouteDecision:
    """The decision of a route about an event.

    route         the name of the route; empty if no route saw the event, because it was a duplicate or a dead letter
    matched       whether the route took the event
    reason        why, for people
    destinations  the destinations that each event of the chain is for
    code          the code of the failure if the chain failed
    events        the number of events that the chain made of the event
    is_waiting    a step's system did not answer, and the route runs again later; until then one event is expected
    """

    route: str
    matched: bool
    reason: str
    destinations: tuple[str, ...] = ()
    code: str | None = None
    events: int = 1
    is_waiting: bool = False

    @property
    def expected(self) -> int:
        """Return the number of deliveries to expect of the route."""
        return len(self.destinations) * self.events if self.matched else 0

    @property
    def outcome(self) -> RouteOutcome:
        """Return the outcome. `filtered` means that the chain ended the event on purpose."""
        if self.code is not None:
            return "dead_lettered"
        if self.is_waiting:
            return "waiting"
        if not self.route:
            return "duplicate"
        if not self.matched:
            return "not_matched"
        return "matched" if self.destinations else "filtered"


@dataclass(slots=True)
class EventEntry:
    """An event as receive made it, with the decisions of transform.

    routes      the listed decisions
    others      the number of routes that are not listed
    document    the event's JSON; empty if the caller does not have it
    is_partial  only the listed routes ran: the stored decisions of all others stay as they are
    unlisted    the number of deliveries to expect of those other routes
    spans       the spans of receive and transform, as documents of shared/telemetry/spans.py; none without telemetry
    """

    event: Event
    routes: tuple[RouteDecision, ...]
    at: float
    others: int = 0
    document: bytes = b""
    is_partial: bool = False
    unlisted: int = 0
    spans: tuple[JsonObject, ...] = ()

    @property
    def expected(self) -> int:
        """Return the number of deliveries to expect of the event."""
        return self.unlisted + sum([route.expected for route in self.routes])

    @property
    def broken(self) -> int:
        """Return the number of listed routes whose chain failed."""
        return sum([route.code is not None for route in self.routes])


NO_ATTEMPT: Final = 0
"""The attempt number of an entry without an attempt. It counts for the event's status, and is not shown."""


class AttemptEntry(NamedTuple):
    """An attempt at a delivery. `outcome` is an AttemptOutcome, or a word that an earlier version wrote."""

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
    """A message that is not tried again. `id` is the delivery's id, or `<event id>:<route>` if no delivery was made."""

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
    """Stores entries. The ledger records attempts too. A journal whose readers read them in the ledger stores none."""

    async def record(self, entries: Sequence[JournalEntry]) -> None:
        """Store the entries. Raises Temporary (`journal_unavailable`): each of them may have been stored or not."""

    async def has_event(self, event_id: str) -> bool:
        """Return whether an event is recorded. Raises Temporary."""

    def note(self, attempt: AttemptEntry) -> None:
        """Record an attempt soon, together with others. If this process ends first, only the ledger has the attempt."""


def route_documents(routes: Sequence[RouteDecision], others: int = 0, spans: Sequence[JsonObject] = ()) -> list[Json]:
    """Return the decisions as the journals store them and the page shows them, and then the number of all other routes
    and the event's spans, if there are any:

        [{"route": "all", "matched": true, …}, {"route": "eu", …}, {"others": 7, "spans": […]}]

    Of more than MAX_LISTED_ROUTES, first those that failed are listed, then those that wait, then those that took the
    event.
    """
    if len(routes) > MAX_LISTED_ROUTES:
        others += len(routes) - MAX_LISTED_ROUTES
        by_interest = sorted(routes, key=lambda each: (each.code is None, not each.is_waiting, not each.matched))
        routes = by_interest[:MAX_LISTED_ROUTES]
    documents: list[Json] = [
        {
            "route": route.route,
            "matched": route.matched,
            "reason": route.reason,
            "destinations": list(route.destinations),
            "code": route.code,
            **({"events": route.events} if route.events > 1 else {}),
            **({"waiting": True} if route.is_waiting else {}),
        }
        for route in routes
    ]
    rest: dict[str, Json] = {"others": others} if others else {}
    if spans:
        rest["spans"] = [*spans[: MAX_KEPT_SPANS - 1], spans[-1]] if len(spans) > MAX_KEPT_SPANS else [*spans]
    return [*documents, rest] if rest else documents


def decisions_from(documents: Json) -> tuple[RouteDecision, ...]:
    """Return the decisions that route_documents wrote."""
    assert isinstance(documents, list)
    return tuple(_decision(document) for document in documents if isinstance(document, dict) and "route" in document)


def other_routes_from(documents: Json) -> int:
    """Return the number of other routes that route_documents wrote."""
    others = _last_document(documents).get("others")
    return others if isinstance(others, int) else 0


def spans_from(documents: Json) -> tuple[JsonObject, ...]:
    """Return the spans that route_documents wrote."""
    return tuple(objects_at(_last_document(documents), "spans"))


def _last_document(documents: Json) -> JsonObject:
    assert isinstance(documents, list)
    last = documents[-1] if documents else None
    return last if isinstance(last, dict) else {}


def _decision(document: JsonObject) -> RouteDecision:
    destinations, code, events = document["destinations"], document["code"], document.get("events")
    assert isinstance(destinations, list)
    return RouteDecision(
        route=str(document["route"]),
        matched=bool(document["matched"]),
        reason=str(document["reason"]),
        destinations=tuple(str(name) for name in destinations),
        code=code if isinstance(code, str) else None,
        events=events if isinstance(events, int) else 1,
        is_waiting=document.get("waiting") is True,
    )


def updated_entry(entry: EventEntry, documents: Json, expected: int) -> EventEntry:
    """Return the whole entry: the stored decisions, in which the decisions of the partial `entry` replace those of the
    same routes, and the stored spans with those of the partial entry.

    `documents` are the stored decisions, as route_documents wrote them, and `expected` is the stored number.
    """
    stored, new = decisions_from(documents), {decision.route: decision for decision in entry.routes}
    stored_routes = {each.route for each in stored}
    replaced = [new.get(each.route, each) for each in stored]
    added = [each for route, each in new.items() if route not in stored_routes]  # they were among the others so far
    return replace(
        entry,
        routes=(*replaced, *added),
        others=max(0, other_routes_from(documents) - len(added)),
        is_partial=False,
        unlisted=max(0, expected - sum([each.expected for each in stored])),
        spans=(*spans_from(documents), *entry.spans),
    )
