"""Run the routes that take an event, and return what each of them owes to its destinations.

`run_routes` matches the routes with the event and runs the chains of those that take it. `decide` makes one decision
about the event of their results.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from functions.transform.chain import ChainResult, StepRecord
from functions.transform.routes import Match, Route, Routes, match, with_else_routes
from functions.transform.step import Services, SystemUnavailable
from shared import errors, outcomes, time_bound
from shared.event import MAX_HOPS, Event
from shared.journal import RouteDecision

MAX_LISTED: Final = 5
"""The most reasons of one kind that a message lists: a person does not read more."""


class OwedEvent(NamedTuple):
    """One event that a route owes to destinations."""

    route: str
    event: Event
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailedRoute:
    """A route whose chain failed for the event. `previous_steps` are the labels of the steps before the failure."""

    route: str
    code: errors.PermanentCode
    reason: str
    previous_steps: tuple[str, ...] = ()


class RouteResult(NamedTuple):
    """The outcome of one route for one event.

    owed              the events for its destinations
    failed            the failure of its chain
    redelivery_error  the error after which the bus must deliver the event again, to all its routes
    unavailable       the error after which this route alone runs again later
    records           the steps that ran, if they were recorded
    reasons           why it owes nothing, without any text of the event
    """

    decision: RouteDecision
    owed: tuple[OwedEvent, ...] = ()
    failed: FailedRoute | None = None
    redelivery_error: errors.Temporary | None = None
    unavailable: SystemUnavailable | None = None
    records: tuple[StepRecord, ...] = ()
    reasons: tuple[str, ...] = ()


Publish: TypeAlias = Callable[[Sequence[RouteResult]], Awaitable[None]]
"""A function that publishes what routes owe, and their failures. It may raise Temporary."""


class Decision(NamedTuple):
    """The outcome of all routes for one event.

    routes            the decisions of the routes that took it, and of others of its source
    others            the number of the other routes, none of which took it
    redelivery_error  the first error after which the bus must deliver the event again. The caller raises it, once what
                      other routes owe is published
    waiting           the routes that run again later, each with its error
    reason            why nothing is owed, without any text of the event; empty if something is, or if a route failed
    """

    routes: tuple[RouteDecision, ...]
    owed: tuple[OwedEvent, ...] = ()
    failed: tuple[FailedRoute, ...] = ()
    redelivery_error: errors.Temporary | None = None
    reason: str = ""
    others: int = 0
    waiting: tuple[tuple[str, SystemUnavailable], ...] = ()

    @property
    def outcome(self) -> outcomes.EventOutcome:
        """Return the outcome for the log of an event without a `redelivery_error`.

        `filtered` means that a step ended the event on purpose.
        """
        if self.owed:
            return "routed"
        if self.waiting:
            return "waiting"
        if self.failed:
            return "dead_lettered"
        return "filtered" if any(route.matched for route in self.routes) else "no_route"


class RunOptions(NamedTuple):
    """Options of a run of routes.

    only         the only destination to deliver to, for a replay; None for all
    characters   an upper bound of the characters in the event's data; None if no bound is known
    is_recorded  whether the results have a record of each step
    """

    only: str | None = None
    characters: int | None = None
    is_recorded: bool = False


NO_OPTIONS: Final = RunOptions()


async def decide(
    event: Event,
    routes: Routes,
    services: Services | None,
    options: RunOptions = NO_OPTIONS,
    publish: Publish | None = None,
) -> Decision:
    """Run the routes that may take the event, publish what each owes, and return the decision about all of them.

    `services` may be None if no chain asks. `publish` is called, and errors are raised, as run_routes describes.
    """
    results = await run_routes(event, routes.considered(event), services, options, publish)
    owed: list[OwedEvent] = []
    failed: list[FailedRoute] = []
    redelivery_error: errors.Temporary | None = None
    waiting: list[tuple[str, SystemUnavailable]] = []
    for each in results:
        owed += each.owed
        if each.failed:
            failed.append(each.failed)
        if each.unavailable:
            waiting.append((each.decision.route, each.unavailable))
        redelivery_error = redelivery_error or each.redelivery_error
    is_over = not (owed or failed or redelivery_error or waiting)
    return Decision(
        routes=tuple([each.decision for each in results]),
        owed=tuple(owed),
        failed=tuple(failed),
        redelivery_error=redelivery_error,
        reason=_why_nothing_is_owed(results, routes, event) if is_over else "",
        others=routes.count - len(results),
        waiting=tuple(waiting),
    )


async def run_routes(
    event: Event,
    routes: Sequence[Route],
    services: Services | None,
    options: RunOptions = NO_OPTIONS,
    publish: Publish | None = None,
) -> list[RouteResult]:
    """Return the result of each route.

    First, all routes run that ask no other system, and `publish` gets their results together, with an empty result for
    each of the others. Then the routes that ask run at the same time, and `publish` gets each result as soon as its
    route has ended. Between long computations, other events of this process get their turn.

    Raises Permanent (`too_many_hops`) before anything is published. Raises what `publish` raises: the first time at
    once, so that no route asks, and afterwards once every route has ended.
    """
    if event.hops > MAX_HOPS:
        raise errors.Permanent(
            "too_many_hops", f"the event has passed {event.hops} hops; more than {MAX_HOPS} is a loop"
        )
    computing = time_bound.measure_computing()
    own_matches: list[Match] = []
    for route in routes:
        if computing.is_long():
            await computing.rest()
        own_matches.append(match(route, event))
    matches = with_else_routes(routes, own_matches)

    results: list[RouteResult] = []
    asking: list[int] = []  # the positions of the routes that ask
    for position, route in enumerate(routes):
        if computing.is_long():
            await computing.rest()
        route_match = matches[position]
        if not route_match.matched:
            reasons = (route_match.logged,) if route_match.logged else ()
            result = RouteResult(RouteDecision(route.name, matched=False, reason=route_match.reason), reasons=reasons)
        elif route.chain.asks_others:
            asking.append(position)
            # Empty until the route has run: `publish` finds nothing in it.
            result = RouteResult(RouteDecision(route.name, matched=True, reason=route_match.reason))
        else:
            result = await _run_route(route, event, route_match, services, options)
        results.append(result)
    if publish is not None:
        await publish(results)
    if not asking:
        return results

    # The routes start one after another. Otherwise all of them would compute in the same turn of the event loop.
    starts = asyncio.Lock()

    async def run_and_publish(position: int) -> None:
        async with starts:
            if computing.is_long():
                await computing.rest()
        result = await _run_route(routes[position], event, matches[position], services, options)
        results[position] = result
        if publish is not None:
            await publish([result])

    await _run_all([run_and_publish(position) for position in asking])
    return results


async def _run_all(runs: Sequence[Coroutine[None, None, None]]) -> None:
    """Await all at the same time. Raises the first exception once all have ended. A cancellation ends all at once."""
    if len(runs) == 1:  # this is usual, and saves the task that `gather` makes of each
        await runs[0]
        return
    for ended in await asyncio.gather(*runs, return_exceptions=True):
        if ended is not None:
            raise ended


async def _run_route(
    route: Route,
    event: Event,
    route_match: Match,
    services: Services | None,
    options: RunOptions,
) -> RouteResult:
    """Return the result of a route that takes the event: run its chain, and explain the outcome."""
    destinations = route.destinations
    if options.only is not None:
        destinations = tuple(name for name in route.destinations if name == options.only)
        if not destinations:
            reason = f"{route_match.reason}; but this replay is for {options.only!r} only"
            return RouteResult(RouteDecision(route.name, matched=False, reason=reason))
    records: list[StepRecord] | None = [] if options.is_recorded else None
    try:
        result = await route.chain.run(event, services, records, options.characters)
    except SystemUnavailable as error:
        reason = f"{route_match.reason}; waiting: {error.detail.removeprefix(f'route {route.name!r}: ')}"
        decision = RouteDecision(route.name, matched=True, reason=reason, destinations=destinations, is_waiting=True)
        return RouteResult(decision, unavailable=error, records=tuple(records or ()))
    except errors.Temporary as error:
        reason = f"{route_match.reason}; to come again: {error.detail}"
        decision = RouteDecision(route.name, matched=True, reason=reason, destinations=destinations)
        return RouteResult(decision, redelivery_error=error, records=tuple(records or ()))
    owed = tuple([OwedEvent(route.name, each, destinations) for each in result.events])
    failed: FailedRoute | None = None
    reason = route_match.reason
    stops = tuple(dict.fromkeys(result.logged_stops))  # each once
    if result.notes or result.skipped_faults or result.stops or result.faults:
        failed, reason = _explain_result(route, route_match, result)
        if result.faults and failed is None:
            stops = (*stops, f"failed ({result.faults[0].code}), and dropped as `on_error` says")
    decision = RouteDecision(
        route.name,
        matched=True,
        reason=reason,
        destinations=destinations if owed else (),
        code=failed.code if failed else None,
        events=max(1, len(owed)),
    )
    return RouteResult(decision, owed, failed, records=tuple(records or ()), reasons=stops)


def _explain_result(route: Route, route_match: Match, result: ChainResult) -> tuple[FailedRoute | None, str]:
    """Return the failed route, None if it did not fail or has `on_error: drop`, and the reason for the journal."""
    prefix = f"route {route.name!r}: "
    reasons = [
        route_match.reason,
        *_counted("noted at", result.notes),
        *_counted("went on from", [fault.removeprefix(prefix) for fault in result.skipped_faults]),
        *_counted("filtered at", result.journal_stops),
    ]
    failed = None
    if result.faults:
        first, *others = result.faults
        detail = first.detail
        if others:
            detail += f" (and so for {len(others)} more of the events it made)"
        reasons.append(f"failed at {detail.removeprefix(prefix)}")
        if route.chain.on_error == "drop":
            reasons.append("dropped, as `on_error` says")
        else:
            failed = FailedRoute(route.name, first.code, detail, first.previous_steps)
    return failed, "; ".join(reasons)


def _counted(label: str, reasons: Sequence[str]) -> list[str]:
    """Return each reason once, such as `filtered at step 2: a test event (3 times)`, and at most MAX_LISTED of them."""
    lines: list[str] = []
    for reason, count in Counter(reasons).items():
        times = f" ({count} times)" if count > 1 else ""
        lines.append(f"{label} {reason}{times}")
    if len(lines) <= MAX_LISTED:
        return lines
    return [*lines[:MAX_LISTED], f"{len(lines) - MAX_LISTED} more like these"]


def _why_nothing_is_owed(results: Sequence[RouteResult], routes: Routes, event: Event) -> str:
    """Return the reasons of the routes, at most MAX_LISTED of them, and how many more there are."""
    reasons = [f"route {each.decision.route!r}: {reason}" for each in results for reason in each.reasons]
    if not reasons:
        return f"none of {routes.count} routes is for this source" if routes.count else "there are no routes"
    unlisted_reasons = max(0, len(reasons) - MAX_LISTED)
    other_routes = routes.count_of_source(event.source_name) - len(results)
    more = unlisted_reasons + other_routes
    listed = reasons[:MAX_LISTED]
    if more > 0:
        listed.append(f"{more} more")
    return "; ".join(listed)
