"""Routes, and which of them take an event and why. Matching is pure: it only reads a route and an event."""

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from functions.transform.chain import Chain
from functions.transform.comparisons import number_hint
from functions.transform.expressions import Expression, is_true, kind_of
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.jsontext import Json
from shared.time_bound import MAX_COMPUTING_SECONDS, OutOfTime, bounded

_UNCOMPUTED: Final = "where cannot be computed for this event, which counts as false"


@dataclass(frozen=True, slots=True)
class TypeGlobs:
    """The globs of a route's `types`. A `*` matches any text, also dots; case counts.

    `text` lists them for messages.
    """

    text: str
    pattern: re.Pattern[str]

    @classmethod
    def compile(cls, globs: tuple[str, ...]) -> "TypeGlobs":
        return cls(_any_of(globs), re.compile("|".join(fnmatch.translate(glob) for glob in globs)))


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
    where: Expression | None = None
    is_else: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Match:
    """Whether a route takes an event, and why.

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
        rule = "it is switched off (`enabled: false`)"
        return Match(False, rule, rule if is_of_source else "")
    reasons = []
    if route.sources is not None:
        if not is_of_source:
            return Match(False, f"from {event.source_name!r}, which is not {_any_of(sorted(route.sources))}")
        reasons.append(f"from {event.source_name!r}")
    if route.types is not None:
        if route.types.pattern.match(event.type) is None:
            rule = f"does not match {route.types.text}"
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


def _match_where(where: Expression, event: Event) -> Match:
    """An expression that cannot be computed for this event, such as the length of a missing field, counts as false."""
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
        reason = f"where {where.text} is {_false_value(value)}{number_hint(where, view)}"
    return Match(False, reason, reason)


def _false_value(value: Json) -> str:
    if value is None:
        return "null, which counts as false"
    return "false" if value is False else f"{kind_of(value)} that is empty, which counts as false"


def _any_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
