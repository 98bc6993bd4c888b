"""The decision about one event: what each route owes to which destinations, what failed, and why."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from functions.transform.chain import ChainResult, StepRecord
from functions.transform.routes import Match, Route, Routes, match_all
from functions.transform.step import Services, SystemUnavailable
from shared.errors import Permanent, PermanentCode, Temporary
from shared.event import MAX_HOPS, Event
from shared.journal import RouteDecision
from shared.outcomes import EventOutcome

MAX_LISTED: Final = 5


class OwedEvent(NamedTuple):
    """One event that a route owes to destinations."""

    route: str
    event: Event
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedRoute:
    """A route whose chain failed for the event. `previous_steps` are the labels of the steps before the failure."""

    route: str
    code: PermanentCode
    reason: str
    previous_steps: tuple[str, ...] = ()


class RouteResult(NamedTuple):
    """The outcome of one route for one event.

    unfinished  why the event has to come again
    waiting     why the route has to run again later, by itself
    records     the steps that ran, if they were recorded
    reasons     why it owes nothing, without any text of the event
    """

    decision: RouteDecision
    owed: tuple[OwedEvent, ...] = ()
    failed: FailedRoute | None = None
    unfinished: Temporary | None = None
    waiting: SystemUnavailable | None = None
    records: tuple[StepRecord, ...] = ()
    reasons: tuple[str, ...] = ()


Publish: TypeAlias = Callable[[Sequence[RouteResult]], Awaitable[None]]
"""Publishes what routes owe, and their failures."""


class Decision(NamedTuple):
    """The outcome of all routes for one event.

    routes      the decisions of the routes that took it, and of others of its source
    others      the number of the other routes, none of which took it
    unfinished  why the event should come again; what other routes owe is published all the same
    waiting     the routes that run again later, and why
    reason      why nothing is owed, without any text of the event; empty if something is, or if a route failed
    """

    routes: tuple[RouteDecision, ...]
    owed: tuple[OwedEvent, ...] = ()
    failed: tuple[FailedRoute, ...] = ()
    unfinished: Temporary | None = None
    reason: str = ""
    others: int = 0
    waiting: tuple[tuple[str, SystemUnavailable], ...] = ()

    @property
    def outcome(self) -> EventOutcome:
        """Return the outcome for the log; `filtered` means that a step ended the event on purpose."""
        if self.owed:
            return "routed"
        if self.waiting:
            return "waiting"
        if self.failed:
            return "dead_lettered"
        return "filtered" if any(route.matched for route in self.routes) else "no_route"


async def decide(
    event: Event,
    routes: Routes,
    services: Services | None,
    only: str | None = None,
    characters: int | None = None,
    publish: Publish | None = None,
) -> Decision:
    """Return the decision; `only` limits it to one destination, as a replay may. `services` may be None if no chain
    asks. `characters` is an upper bound of those in the event's data, if one is known. `publish` is as in run_routes.
    Raises Permanent (`too_many_hops`) for an event of too many hops."""
    results = await run_routes(event, routes.considered(event), services, only, characters, publish=publish)
    owed: list[OwedEvent] = []
    failed: list[FailedRoute] = []
    unfinished: Temporary | None = None
    waiting: list[tuple[str, SystemUnavailable]] = []
    for each in results:
        owed += each.owed
        if each.failed:
            failed.append(each.failed)
        if each.waiting:
            waiting.append((each.decision.route, each.waiting))
        unfinished = unfinished or each.unfinished
    reason = "" if owed or failed or unfinished or waiting else _why_nothing_is_owed(results, routes, event)
    decisions = tuple([each.decision for each in results])
    return Decision(
        decisions, tuple(owed), tuple(failed), unfinished, reason, routes.count - len(results), tuple(waiting)
    )


async def run_routes(
    event: Event,
    routes: Sequence[Route],
    services: Services | None,
    only: str | None = None,
    characters: int | None = None,
    *,
    recorded: bool = False,
    publish: Publish | None = None,
) -> list[RouteResult]:
    """Return the result of each route, with the steps that ran if `recorded`.

    `publish` gets the results of the routes that ask no other system first and together. Then those that ask run at
    the same time, and `publish` gets each result by itself. Raises Permanent (`too_many_hops`) before anything is
    published, and what `publish` raises, once every route has ended.
    """
    if event.hops > MAX_HOPS:
        raise Permanent("too_many_hops", f"the event has passed {event.hops} hops; more than {MAX_HOPS} is a loop")
    results: list[RouteResult] = []
    asking: list[int] = []
    matches = match_all(routes, event)
    for route, found in zip(routes, matches, strict=True):
        if not found.matched:
            reasons = (found.logged,) if found.logged else ()
            result = RouteResult(RouteDecision(route.name, False, found.reason), reasons=reasons)
        elif route.chain.asks_others:
            asking.append(len(results))
            result = RouteResult(RouteDecision(route.name, True, found.reason))
        else:
            result = await _run_route(route, event, found, services, only, [] if recorded else None, characters)
        results.append(result)
    if publish is not None:
        await publish(results)
    if asking:

        async def run(position: int) -> None:
            records: list[StepRecord] | None = [] if recorded else None
            found = matches[position]
            result = await _run_route(routes[position], event, found, services, only, records, characters)
            results[position] = result
            if publish is not None:
                await publish([result])

        await _run_all([run(position) for position in asking])
    return results


async def _run_all(runs: Sequence[Coroutine[None, None, None]]) -> None:
    """Run them at the same time. Raise the first exception once all have ended; a cancellation ends all at once."""
    if len(runs) == 1:  # as good as always, and in no task of its own
        await runs[0]
        return
    for ended in await asyncio.gather(*runs, return_exceptions=True):
        if ended is not None:
            raise ended


async def _run_route(
    route: Route,
    event: Event,
    found: Match,
    services: Services | None,
    only: str | None,
    records: list[StepRecord] | None,
    characters: int | None,
) -> RouteResult:
    destinations = route.destinations if only is None else tuple(name for name in route.destinations if name == only)
    if not destinations:
        return RouteResult(RouteDecision(route.name, False, f"{found.reason}; but this replay is for {only!r} only"))
    try:
        result = await route.chain.run(event, services, records, characters)
    except SystemUnavailable as error:
        reason = f"{found.reason}; waiting: {error.detail.removeprefix(f'route {route.name!r}: ')}"
        decision = RouteDecision(route.name, True, reason, destinations, is_waiting=True)
        return RouteResult(decision, waiting=error, records=tuple(records or ()))
    except Temporary as error:
        reason = f"{found.reason}; to come again: {error.detail}"
        decision = RouteDecision(route.name, True, reason, destinations)
        return RouteResult(decision, unfinished=error, records=tuple(records or ()))
    owed = tuple([OwedEvent(route.name, each, destinations) for each in result.events])
    failed: FailedRoute | None = None
    reason, stops = found.reason, tuple(dict.fromkeys(result.logged_stops))
    if result.notes or result.skipped_faults or result.stops or result.faults:
        failed, reason = _explain_result(route, found, result)
    decision = RouteDecision(
        route.name, True, reason, destinations if owed else (), failed.code if failed else None, max(1, len(owed))
    )
    return RouteResult(decision, owed, failed, records=tuple(records or ()), reasons=stops)


def _explain_result(route: Route, found: Match, result: ChainResult) -> tuple[FailedRoute | None, str]:
    """Return the failed route, if it failed, and the reason for the journal."""
    reasons, failed = [found.reason], None
    prefix = f"route {route.name!r}: "
    reasons += _count("noted at", result.notes)
    reasons += _count("went on from", [each.removeprefix(prefix) for each in result.skipped_faults])
    reasons += _count("filtered at", result.stops)
    if result.faults:
        reason, failed = _failure(route, result)
        reasons.append(reason)
    return failed, "; ".join(reasons)


def _failure(route: Route, result: ChainResult) -> tuple[str, FailedRoute | None]:
    """Return the reason for the journal, and the failed route, None with `on_error: drop`."""
    first = result.faults[0]
    others = len(result.faults) - 1
    detail = f"{first.detail} (and so for {others} more of the events it made)" if others else first.detail
    reason = f"failed at {detail.removeprefix(f'route {route.name!r}: ')}"
    if route.chain.on_error == "drop":
        return f"{reason}; dropped, as `on_error` says", None
    return reason, FailedRoute(route.name, first.code, detail, first.previous_steps)


def _count(label: str, reasons: Sequence[str]) -> list[str]:
    """Return each reason once with how often it came, and no more of them than a person reads."""
    counts = Counter(reasons)
    lines = [f"{label} {reason}{f' ({count} times)' if count > 1 else ''}" for reason, count in counts.items()]
    return lines if len(lines) <= MAX_LISTED else [*lines[:MAX_LISTED], f"{len(lines) - MAX_LISTED} more like these"]


def _why_nothing_is_owed(results: Sequence[RouteResult], routes: Routes, event: Event) -> str:
    reasons = [f"route {each.decision.route!r}: {reason}" for each in results for reason in each.reasons]
    if not reasons:
        return f"none of {routes.count} routes is for this source" if routes.count else "there are no routes"
    more = len(reasons) - MAX_LISTED
    more = max(0, more) + routes.count_of_source(event.source_name) - len(results)
    return "; ".join([*reasons[:MAX_LISTED], *([f"{more} more"] if more > 0 else [])])
