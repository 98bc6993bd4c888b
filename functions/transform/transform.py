"""Transform's decision, pure: an event in; what is owed to whom, what failed, and why, out."""

from collections.abc import Iterable
from dataclasses import dataclass

from functions.transform.routes import Route, match
from shared.errors import Permanent
from shared.event import MAX_HOPS, Event
from shared.ports import RouteDecision


@dataclass(frozen=True, slots=True)
class Owed:
    """What one route makes of the event, and for whom."""

    route: str
    event: Event
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A route whose chain failed for this event."""

    route: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    routes: tuple[RouteDecision, ...]
    owed: tuple[Owed, ...]
    failed: tuple[Failed, ...]


def decide(event: Event, routes: Iterable[Route], only: str | None = None) -> Decision:
    """`only` limits it to one destination, as a replay may.

    Raises Permanent (`loop`) for an event that has been through us too often, and Temporary where a step says so.
    """
    if event.hops > MAX_HOPS:
        raise Permanent("loop", f"the event has passed {event.hops} hops; more than {MAX_HOPS} is a loop")
    outcomes = [_of_route(route, event, only) for route in routes]
    return Decision(
        routes=tuple(decision for decision, _ in outcomes),
        owed=tuple(what for _, what in outcomes if isinstance(what, Owed)),
        failed=tuple(what for _, what in outcomes if isinstance(what, Failed)),
    )


def _of_route(route: Route, event: Event, only: str | None) -> tuple[RouteDecision, Owed | Failed | None]:
    found = match(route, event)
    if not found.matched:
        return RouteDecision(route.name, False, found.reason), None
    destinations = tuple(name for name in route.destinations if only in (None, name))
    if not destinations:
        return RouteDecision(route.name, False, f"{found.reason}; but this replay is for {only!r} only"), None
    try:
        after = route.chain.run(event)
    except Permanent as error:
        decision = RouteDecision(route.name, True, f"{found.reason}; but {error.detail}", code=error.code)
        return decision, Failed(route.name, error.code, error.detail)
    return RouteDecision(route.name, True, found.reason, destinations), Owed(route.name, after, destinations)
