"""Decide which routes take an event and why, run their chains, and return what each route owes to its destinations.

Matching reads a route and an event, and does nothing else. Then the chain of each route that takes the event runs.
"""

import asyncio
import fnmatch
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from functions.transform.chain import Chain, ChainResult, StepRecord
from functions.transform.step import Services, SystemUnavailable
from shared import jsontext, outcomes, time_bound
from shared.errors import Permanent, PermanentCode, Temporary
from shared.event import MAX_HOPS, NO_TYPE, Event, view_of
from shared.journal import MAX_LISTED_ROUTES, RouteDecision

if TYPE_CHECKING:
    from shared.expressions import Expression


MAX_LISTED: Final = 5
"""The most reasons of one kind that a message lists: a person does not read more."""
_WILDCARD: Final = re.compile(r"[*?\[]")
_UNCOMPUTED: Final = "where cannot be computed for this event, which counts as false"


@dataclass(frozen=True, slots=True)
class TypeGlobs:
    """The globs of a route's `types`. A `*` matches any text, also dots; case counts.

    A glob matches an event's type, or its type and action with a dot between them: `issues.opened`.

    text     the globs as a list for messages
    pattern  a pattern that matches whatever one of the globs matches
    names    the globs themselves if none of them has a wildcard; else empty
    """

    text: str
    pattern: re.Pattern[str]
    names: tuple[str, ...] = ()

    @classmethod
    def compile(cls, globs: tuple[str, ...]) -> "TypeGlobs":
        pattern = re.compile("|".join(fnmatch.translate(glob) for glob in globs))
        has_wildcard = any(map(_WILDCARD.search, globs))
        return cls(_any_of(globs), pattern, () if has_wildcard else globs)


@dataclass(frozen=True, slots=True)
class Route:
    """A rule: which events go through which steps to which destinations.

    `sources`, `types` and `where` are None if the route takes all. `is_else`: it takes only what no other route takes.
    """

    name: str
    chain: Chain
    destinations: tuple[str, ...]
    sources: frozenset[str] | None = None
    types: TypeGlobs | None = None
    where: "Expression | None" = None
    is_else: bool = False
    enabled: bool = True


@dataclass(slots=True)
class _Group:
    """The positions of the routes for one source, or for every source, in the order of the configuration.

    all      the positions of all these routes
    by_type  the positions of enabled routes that name whole types, by each type
    others   the positions of the other enabled routes, which take every type or have globs
    """

    all: list[int] = field(default_factory=list)
    by_type: dict[str, list[int]] = field(default_factory=dict)
    others: list[int] = field(default_factory=list)

    def add(self, position: int, route: Route) -> None:
        self.all.append(position)
        if route.enabled:
            names = set(route.types.names) if route.types else set[str]()
            for name in names:
                self.by_type.setdefault(name, []).append(position)
            if not names:
                self.others.append(position)


class Routes:
    """The routes of a configuration in their order, indexed by source and type. `count` is their number."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._routes = tuple(routes)
        self.count = len(self._routes)
        self._of_every_source = _Group()
        self._of_source: dict[str, _Group] = {}
        for position, route in enumerate(self._routes):
            if route.sources is None:
                self._of_every_source.add(position, route)
            for name in route.sources or ():
                self._of_source.setdefault(name, _Group()).add(position, route)

    def considered(self, event: Event) -> list[Route]:
        """Return the routes to match with the event, in their order. No other route can take it.

        These are the routes for the event's source that may take its type. If they are few, other routes of the source
        are added, so that the journal can list why those did not take the event.
        """
        positions: list[int] = []
        for group in (self._of_every_source, self._of_source.get(event.source_name)):
            if group is None or len(group.all) <= MAX_LISTED_ROUTES:
                positions += group.all if group else ()
                continue
            candidates = group.by_type.get(event.type, []) + group.others
            if event.action is not None:
                candidates += group.by_type.get(_with_action(event), [])
            added = max(0, MAX_LISTED_ROUTES - len(candidates))
            positions += {*candidates, *group.all[:added]}
        return [self._routes[position] for position in sorted(positions)]

    def count_of_source(self, source_name: str) -> int:
        """Return the number of routes that are for the source."""
        own = self._of_source.get(source_name)
        return len(self._of_every_source.all) + (len(own.all) if own else 0)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def __getitem__(self, position: int) -> Route:
        return self._routes[position]


class Match(NamedTuple):
    """The result of matching a route with an event.

    matched  true if the route takes the event
    reason   why, or why not, for people who may see the event
    logged   why not, for the log: without any text of the event; empty if the route is not for the event's source
    """

    matched: bool
    reason: str
    logged: str = ""


def match(route: Route, event: Event) -> Match:
    """Return whether the route takes the event. The reason is the first false condition, or else all conditions."""
    is_of_source = route.sources is None or event.source_name in route.sources
    if not route.enabled:
        rule = "it is disabled (`enabled: false`)"
        return Match(False, rule, rule if is_of_source else "")
    reasons = []
    if route.sources is not None:
        if not is_of_source:
            return Match(False, f"from {event.source_name!r}, which is not {_any_of(sorted(route.sources))}")
        reasons.append(f"from {event.source_name!r}")
    if route.types is not None:
        matched = event.type
        if route.types.pattern.match(matched) is None:
            if event.action is None:
                return _unmatched_type(route.types, event)
            matched = _with_action(event)
            if route.types.pattern.match(matched) is None:
                return _unmatched_type(route.types, event)
        reasons.append(f"type {matched!r} matches {route.types.text}")
    if route.where is not None:
        where_match = _match_where(route.where, event)
        if not where_match.matched:
            return where_match
        reasons.append(where_match.reason)
    return Match(True, "; ".join(reasons) or "it takes every event")


def _with_action(event: Event) -> str:
    return f"{event.type}.{event.action}"


@cache
def _in_any_case(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)  # once: the cache of `re` is small and slower


def _unmatched_type(types: TypeGlobs, event: Event) -> Match:
    rule = f"does not match {types.text}"
    if event.type == NO_TYPE:
        rule += f" (an event has the type {NO_TYPE!r} if its source finds none: see the source's `type`)"
    in_any_case = _in_any_case(types.pattern.pattern)
    if in_any_case.match(event.type) or (event.action is not None and in_any_case.match(_with_action(event))):
        rule += ": types are case-sensitive"
    action = "" if event.action is None else f" with the action {event.action!r}"
    return Match(False, f"type {event.type!r}{action} {rule}", f"the type {rule}")


def match_all(routes: Sequence[Route], event: Event) -> list[Match]:
    """Return a match for each route; an `else` route takes only what no other route takes."""
    return _with_else(routes, [match(route, event) for route in routes])


def _with_else(routes: Sequence[Route], matches: list[Match]) -> list[Match]:
    """Return the matches, those of `else` routes as those of the other routes decide."""
    if not any(route.is_else for route in routes):
        return matches
    takers = [route.name for route, each in zip(routes, matches, strict=True) if each.matched and not route.is_else]
    for number, route in enumerate(routes):
        if not route.is_else or not matches[number].matched:
            continue
        if takers:
            rule = f"it is for what nothing else takes; {takers[0]!r} took it"
            matches[number] = Match(False, rule, rule)
        else:
            matches[number] = Match(True, f"{matches[number].reason}; no other route took it")
    return matches


def _match_where(where: "Expression", event: Event) -> Match:
    """Return whether the expression is true for the event.

    One that cannot be computed for the event, such as the length of a missing field, counts as false.
    """
    # Imported here, because many configurations have no `where`, and a start is quicker without JMESPath.
    from functions.transform.comparisons import false_hint, missing_text, truth_hint
    from shared.expressions import is_true
    from shared.jsontext import kind_of

    view = view_of(event)
    try:
        with time_bound.bounded():
            value = where.search(view)
    except time_bound.OutOfTime:
        reason = f"{_UNCOMPUTED}: it computes for more than {time_bound.MAX_COMPUTING_SECONDS:g} s"
    except Permanent as error:
        reason = f"{_UNCOMPUTED}: {error.detail}{false_hint(where, view)}"
    else:
        if is_true(value):
            hint = truth_hint(where, value)
            return Match(True, f"where {hint}" if hint else f"where {where.text} is true")
        reason = f"where {where.text} is {_false_value(value, kind_of(value))}{false_hint(where, view)}"
    return Match(False, f"{reason}{missing_text(where, view=view)}", reason)


def _false_value(value: jsontext.Json, kind: str) -> str:
    if value is False:
        return "false"
    if value is None:
        return f"{kind}, which counts as false"
    return f"{kind} that is empty, which counts as false"


def _any_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"


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

    owed        the events for its destinations
    failed      the failure of its chain
    unfinished  why the event has to be delivered again
    waiting     why this route alone has to run again later
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
"""A function that publishes what routes owe, and their failures."""


class Decision(NamedTuple):
    """The outcome of all routes for one event.

    routes      the decisions of the routes that took it, and of others of its source
    others      the number of the other routes, none of which took it
    unfinished  why the event has to be delivered again; what other routes owe is published all the same
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
    def outcome(self) -> outcomes.EventOutcome:
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
    *,
    recorded: bool = False,
) -> Decision:
    """Run the routes that may take the event, publish what each owes, and return the decision about all of them.

    services    may be None if no chain asks
    only        the only destination to deliver to, for a replay; None for all
    characters  an upper bound of the characters in the event's data, if one is known
    publish     a function that publishes results, as run_routes describes
    recorded    whether the results have a record of each step

    Raises Permanent (`too_many_hops`) for an event of too many hops, and what `publish` raises.
    """
    considered = routes.considered(event)
    results = await run_routes(event, considered, services, only, characters, recorded=recorded, publish=publish)
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

    First, all routes run that ask no other system, and `publish` gets their results together. Then the routes that ask
    run at the same time, and `publish` gets each result as soon as its route has ended. Between long computations,
    other events of this process get their turn. Raises Permanent (`too_many_hops`) before anything is published. Raises
    what `publish` raises once every route has ended.
    """
    if event.hops > MAX_HOPS:
        raise Permanent("too_many_hops", f"the event has passed {event.hops} hops; more than {MAX_HOPS} is a loop")
    results: list[RouteResult] = []
    asking: list[int] = []
    matches: list[Match] = []
    computing = time_bound.measure_computing()
    for route in routes:
        await time_bound.rest_after(computing)
        matches.append(match(route, event))
    matches = _with_else(routes, matches)
    for route, route_match in zip(routes, matches, strict=True):
        await time_bound.rest_after(computing)
        if not route_match.matched:
            reasons = (route_match.logged,) if route_match.logged else ()
            result = RouteResult(RouteDecision(route.name, False, route_match.reason), reasons=reasons)
        elif route.chain.asks_others:
            asking.append(len(results))
            result = RouteResult(RouteDecision(route.name, True, route_match.reason))
        else:
            result = await _run_route(route, event, route_match, services, only, [] if recorded else None, characters)
        results.append(result)
    if publish is not None:
        await publish(results)
    if asking:
        # The routes start one after another. Otherwise all of them would compute in the same turn of the event loop.
        starts = asyncio.Lock()

        async def run(position: int) -> None:
            async with starts:
                await time_bound.rest_after(computing)
            records: list[StepRecord] | None = [] if recorded else None
            route_match = matches[position]
            result = await _run_route(routes[position], event, route_match, services, only, records, characters)
            results[position] = result
            if publish is not None:
                await publish([result])

        await _run_all([run(position) for position in asking])
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
    only: str | None,
    records: list[StepRecord] | None,
    characters: int | None,
) -> RouteResult:
    """Return the result of a route that takes the event: run its chain, and explain the outcome."""
    destinations = route.destinations if only is None else tuple(name for name in route.destinations if name == only)
    if not destinations:
        return RouteResult(
            RouteDecision(route.name, False, f"{route_match.reason}; but this replay is for {only!r} only")
        )
    try:
        result = await route.chain.run(event, services, records, characters)
    except SystemUnavailable as error:
        reason = f"{route_match.reason}; waiting: {error.detail.removeprefix(f'route {route.name!r}: ')}"
        decision = RouteDecision(route.name, True, reason, destinations, is_waiting=True)
        return RouteResult(decision, waiting=error, records=tuple(records or ()))
    except Temporary as error:
        reason = f"{route_match.reason}; to come again: {error.detail}"
        decision = RouteDecision(route.name, True, reason, destinations)
        return RouteResult(decision, unfinished=error, records=tuple(records or ()))
    owed = tuple([OwedEvent(route.name, each, destinations) for each in result.events])
    failed: FailedRoute | None = None
    reason = route_match.reason
    stops = tuple(dict.fromkeys(result.logged_stops))  # each once
    if result.notes or result.skipped_faults or result.stops or result.faults:
        failed, reason = _explain_result(route, route_match, result)
    decision = RouteDecision(
        route.name, True, reason, destinations if owed else (), failed.code if failed else None, max(1, len(owed))
    )
    return RouteResult(decision, owed, failed, records=tuple(records or ()), reasons=stops)


def _explain_result(route: Route, route_match: Match, result: ChainResult) -> tuple[FailedRoute | None, str]:
    """Return the failed route, if it failed, and the reason for the journal."""
    reasons = [route_match.reason]
    failed = None
    prefix = f"route {route.name!r}: "
    reasons += _counted("noted at", result.notes)
    reasons += _counted("went on from", [fault.removeprefix(prefix) for fault in result.skipped_faults])
    reasons += _counted("filtered at", result.journal_stops)
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
