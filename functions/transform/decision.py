"""Transform's decision: an event in; what is owed to whom, what failed, and why, out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from functions.transform.matching import Match, match, match_rest
from functions.transform.routes import Route
from functions.transform.step import Services
from functions.transform.trail import Trail
from functions.transform.walk import ChainFault, Course
from shared.errors import Permanent, Temporary
from shared.event import MAX_HOPS, Event
from shared.journal import RouteDecision

MAX_TOLD: Final = 5


@dataclass(frozen=True, slots=True)
class Owed:
    """One event that a route makes of the event, and for whom."""

    route: str
    event: Event
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A route whose chain failed for this event. `done` are the steps before the one that did."""

    route: str
    code: str
    reason: str
    done: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """`unfinished` is why the event should come again, though what is owed by other routes is not held back for it.

    `outcome` is `routed`, `filtered` (a step ended the event on purpose), `dead_lettered` (a chain failed) or
    `no_route`; `because` says why nothing is owed, in words that hold no text of the event.
    """

    routes: tuple[RouteDecision, ...]
    owed: tuple[Owed, ...]
    failed: tuple[Failed, ...]
    unfinished: Temporary | None = None
    because: str = ""

    @property
    def outcome(self) -> Literal["routed", "dead_lettered", "filtered", "no_route"]:
        if self.owed:
            return "routed"
        if self.failed:
            return "dead_lettered"
        return "filtered" if any(route.matched for route in self.routes) else "no_route"


@dataclass(frozen=True, slots=True)
class OfRoute:
    """What one route decided. `trail` has the steps that were taken, where that was asked for. `because` says why it
    owes nothing, in words that hold no text of the event.
    """

    decision: RouteDecision
    owed: tuple[Owed, ...] = ()
    failed: Failed | None = None
    unfinished: Temporary | None = None
    trail: Trail | None = None
    because: tuple[str, ...] = ()


async def decide(event: Event, routes: Sequence[Route], services: Services | None, only: str | None = None) -> Decision:
    """`only` limits it to one destination, as a replay may. `services` may be None where no chain asks.

    Raises Permanent (`loop`) for an event that has been through us too often.
    """
    outcomes = await of_routes(event, routes, services, only)
    return Decision(
        routes=tuple(each.decision for each in outcomes),
        owed=tuple(owed for each in outcomes for owed in each.owed),
        failed=tuple(each.failed for each in outcomes if each.failed),
        unfinished=next((each.unfinished for each in outcomes if each.unfinished), None),
        because=_because(outcomes),
    )


def _because(outcomes: Sequence[OfRoute]) -> str:
    """Return why nothing is owed, naming a few routes; empty where something is, or where a failure says it."""
    if any(each.owed or each.failed or each.unfinished for each in outcomes):
        return ""
    why = [f"route {each.decision.route!r}: {reason}" for each in outcomes for reason in each.because]
    if not why:
        return f"none of {len(outcomes)} routes is for this source" if outcomes else "there are no routes"
    more = len(why) - MAX_TOLD
    return "; ".join([*why[:MAX_TOLD], *([f"{more} more"] if more > 0 else [])])


async def of_routes(
    event: Event, routes: Sequence[Route], services: Services | None, only: str | None = None, traced: bool = False
) -> list[OfRoute]:
    """Raises Permanent (`loop`)."""
    if event.hops > MAX_HOPS:
        raise Permanent("loop", f"the event has passed {event.hops} hops; more than {MAX_HOPS} is a loop")
    matches = match_rest(routes, [match(route, event) for route in routes])
    return [
        await _of_route(route, event, found, services, only, [] if traced else None)
        for route, found in zip(routes, matches, strict=True)
    ]


async def _of_route(
    route: Route, event: Event, found: Match, services: Services | None, only: str | None, trail: Trail | None
) -> OfRoute:
    if not found.matched:
        return OfRoute(RouteDecision(route.name, False, found.reason), because=(found.logged,) if found.logged else ())
    destinations = tuple(name for name in route.destinations if only in (None, name))
    if not destinations:
        return OfRoute(RouteDecision(route.name, False, f"{found.reason}; but this replay is for {only!r} only"))
    matched = RouteDecision(route.name, True, found.reason, destinations)
    try:
        course = await _run(route, event, services, trail)
    except Temporary as error:
        reason = f"{found.reason}; to come again: {error.detail}"
        return OfRoute(replace(matched, reason=reason), unfinished=error, trail=trail)
    return replace(_of_course(route, matched, course), trail=trail)


async def _run(route: Route, event: Event, services: Services | None, trail: Trail | None) -> Course:
    if not route.chain.asks:
        return route.chain.run(event, trail)
    assert services is not None
    return await route.chain.ask(event, services, trail)


def _of_course(route: Route, matched: RouteDecision, course: Course) -> OfRoute:
    owed = tuple(Owed(route.name, event, matched.destinations) for event in course.arrived)
    own = f"route {route.name!r}: "
    notes = _counted("noted at", course.noted)
    notes += _counted("went on from", [each.removeprefix(own) for each in course.skipped])
    notes += _counted("stopped at", course.stopped)
    failed = _failed(course.faults, route) if course.faults else None
    if course.faults:
        dropped = "; dropped, as `on_error` says" if route.chain.on_error == "drop" else ""
        notes.append(f"failed at {course.faults[0].detail.removeprefix(own)}{_more(course.faults)}{dropped}")
    decision = replace(
        matched,
        reason="; ".join([matched.reason, *notes]),
        destinations=matched.destinations if owed else (),
        events=max(1, len(owed)),
        code=failed.code if failed else None,
    )
    return OfRoute(decision, owed, failed, because=tuple(dict.fromkeys(course.stopped_logged)))


def _failed(faults: Sequence[ChainFault], route: Route) -> Failed | None:
    if route.chain.on_error == "drop":
        return None
    first = faults[0]
    return Failed(route.name, first.code, f"{first.detail}{_more(faults)}", first.done)


def _counted(what: str, words: Sequence[str]) -> list[str]:
    """Each once, and no more than a person reads: an event can become a thousand."""
    counts = Counter(words)
    told = [f"{what} {word}{f' ({count} times)' if count > 1 else ''}" for word, count in counts.items()]
    return told if len(told) <= MAX_TOLD else [*told[:MAX_TOLD], f"{len(told) - MAX_TOLD} more like these"]


def _more(faults: Sequence[ChainFault]) -> str:
    return f" (and so for {len(faults) - 1} more of the events it made)" if len(faults) > 1 else ""
