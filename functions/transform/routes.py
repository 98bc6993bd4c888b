"""The routes of a configuration, and which of them take an event, and why.

Matching reads a route and an event, and does nothing else. route_runs.py then runs the routes that take the event.
"""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.transform.chain import Chain
from shared import errors, jsontext, time_bound
from shared.event import NO_TYPE, Event, view_of
from shared.journal import MAX_LISTED_ROUTES

if TYPE_CHECKING:
    from shared.expressions import Expression

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
            candidates = [*group.others]
            for type_name in _type_names(event):
                candidates += group.by_type.get(type_name, [])
            # The first routes of the group are added. Those that are candidates too count once, so that fewer than
            # MAX_LISTED_ROUTES may be listed.
            added_count = max(0, MAX_LISTED_ROUTES - len(candidates))
            positions += {*candidates, *group.all[:added_count]}
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
        type_name = next(filter(route.types.pattern.match, _type_names(event)), None)
        if type_name is None:
            return _unmatched_type(route.types, event)
        reasons.append(f"type {type_name!r} matches {route.types.text}")
    if route.where is not None:
        where_match = _match_where(route.where, event)
        if not where_match.matched:
            return where_match
        reasons.append(where_match.reason)
    return Match(True, "; ".join(reasons) or "it takes every event")


def _type_names(event: Event) -> list[str]:
    """Return what globs are matched with: the type, and the type with the action if there is one."""
    return [event.type] if event.action is None else [event.type, f"{event.type}.{event.action}"]


@cache
def _in_any_case(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)  # once: the cache of `re` is small and slower


def _unmatched_type(types: TypeGlobs, event: Event) -> Match:
    rule = f"does not match {types.text}"
    if event.type == NO_TYPE:
        rule += f" (an event has the type {NO_TYPE!r} if its source finds none: see the source's `type`)"
    in_any_case = _in_any_case(types.pattern.pattern)
    if any(map(in_any_case.match, _type_names(event))):
        rule += ": types are case-sensitive"
    action = "" if event.action is None else f" with the action {event.action!r}"
    return Match(False, f"type {event.type!r}{action} {rule}", f"the type {rule}")


def match_all(routes: Sequence[Route], event: Event) -> list[Match]:
    """Return a match for each route; an `else` route takes only what no other route takes."""
    return with_else_routes(routes, [match(route, event) for route in routes])


def with_else_routes(routes: Sequence[Route], matches: list[Match]) -> list[Match]:
    """Return the matches, in which an `else` route takes the event only if no other route does.

    `matches` has the match of each route alone.
    """
    if not any(route.is_else for route in routes):
        return matches
    matches = [*matches]
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
    from functions.transform.comparisons import false_hint, truth_hint
    from functions.transform.expression_paths import missing_text
    from shared.expressions import is_true
    from shared.jsontext import kind_of

    view = view_of(event)
    try:
        with time_bound.bounded():
            value = where.search(view)
    except time_bound.OutOfTime:
        reason = f"{_UNCOMPUTED}: it computes for more than {time_bound.MAX_COMPUTING_SECONDS:g} s"
    except errors.Permanent as error:
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
