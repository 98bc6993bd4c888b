"""Routes, and which of them take an event and why. Matching is pure: it only reads a route and an event."""

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from functions.transform.chain import Chain
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.journal import MAX_LISTED_ROUTES
from shared.jsontext import Json
from shared.time_bound import MAX_COMPUTING_SECONDS, OutOfTime, bounded

if TYPE_CHECKING:  # a configuration without conditions does not need it
    from shared.expressions import Expression

_SPECIAL: Final = re.compile(r"[*?\[]")
_UNCOMPUTED: Final = "where cannot be computed for this event, which counts as false"


@dataclass(frozen=True, slots=True)
class TypeGlobs:
    """The globs of a route's `types`. A `*` matches any text, also dots; case counts.

    text     lists them for messages
    pattern  matches what one of them matches
    names    the globs themselves if each is a whole type; else none
    """

    text: str
    pattern: re.Pattern[str]
    names: tuple[str, ...] = ()

    @classmethod
    def compile(cls, globs: tuple[str, ...]) -> "TypeGlobs":
        pattern = re.compile("|".join(fnmatch.translate(glob) for glob in globs))
        return cls(_any_of(globs), pattern, () if any(map(_SPECIAL.search, globs)) else globs)


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
    """The positions of routes that are for the same sources, in order.

    all      all of them
    by_type  those that can take a type, of the routes that name whole types
    others   the others that are enabled: they take every type, or name globs
    """

    all: list[int] = field(default_factory=list)
    by_type: dict[str, list[int]] = field(default_factory=dict)
    others: list[int] = field(default_factory=list)

    def add(self, position: int, route: Route) -> None:
        self.all.append(position)
        if route.enabled:
            names = route.types.names if route.types else ()
            for each in [self.by_type.setdefault(name, []) for name in set(names)] or [self.others]:
                each.append(position)


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
        """Return the routes to decide about, in their order: no other route takes the event.

        Of the routes that are for the event's source, they are all that may take its type. If these are few, others
        are among them, so that the journal can list why they did not take it.
        """
        positions: list[int] = []
        for group in (self._of_every_source, self._of_source.get(event.source_name)):
            if group is None or len(group.all) <= MAX_LISTED_ROUTES:
                positions += group.all if group else ()
                continue
            candidates = group.by_type.get(event.type, []) + group.others
            positions += {*candidates, *group.all[: max(0, MAX_LISTED_ROUTES - len(candidates))]}
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
    """The answer of a route to an event: true if the route takes it, and why.

    reason  for people who may see the event
    logged  for the log: without any text of the event; empty if the route is not for the event's source at all
    """

    matched: bool
    reason: str
    logged: str = ""


def match(route: Route, event: Event) -> Match:
    """Return the first condition that is false as the reason, or else all conditions that are true."""
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
        if route.types.pattern.match(event.type) is None:
            rule = f"does not match {route.types.text}"
            if re.match(route.types.pattern.pattern, event.type, re.IGNORECASE):
                rule += ": types are case-sensitive"
            return Match(False, f"type {event.type!r} {rule}", f"the type {rule}")
        reasons.append(f"type {event.type!r} matches {route.types.text}")
    if route.where is not None:
        found = _match_where(route.where, event)
        if not found.matched:
            return found
        reasons.append(found.reason)
    return Match(True, "; ".join(reasons) or "it takes every event")


def match_all(routes: Sequence[Route], event: Event) -> list[Match]:
    """Return a match for each route; an `else` route takes only what no other route takes."""
    matches = [match(route, event) for route in routes]
    if not any(route.is_else for route in routes):
        return matches
    takers = [route.name for route, found in zip(routes, matches, strict=True) if found.matched and not route.is_else]
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
    """An expression that cannot be computed for this event, such as the length of a missing field, counts as false."""
    from functions.transform.comparisons import number_hint
    from shared.expressions import is_true
    from shared.jsontext import kind_of

    view = view_of(event)
    try:
        with bounded():
            value = where.search(view)
    except OutOfTime:
        reason = f"{_UNCOMPUTED}: it computes for more than {MAX_COMPUTING_SECONDS:g} s"
    except Permanent as error:
        reason = f"{_UNCOMPUTED}: {error.detail}{number_hint(where, view)}"
    else:
        if is_true(value):
            return Match(True, f"where {where.text} is true")
        reason = f"where {where.text} is {_false_value(value, kind_of(value))}{number_hint(where, view)}"
    return Match(False, reason, reason)


def _false_value(value: Json, kind: str) -> str:
    return "false" if value is False else f"{kind}{'' if value is None else ' that is empty'}, which counts as false"


def _any_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
