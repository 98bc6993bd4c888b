"""Which routes take an event, and why, in words that a person understands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from functions.transform.comparisons import number_hint
from functions.transform.routes import Route
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.expressions import is_true, kind_of
from shared.jsontext import Json
from shared.time_bound import MAX_COMPUTING_SECONDS, OutOfTime, bounded

_UNCOMPUTED: Final = "where cannot be computed for this event, which counts as false"


@dataclass(frozen=True, slots=True)
class Match:
    """`reason` is for people who may see the event. `logged` is for the log: it holds no text of the event, and is
    empty where the route is not for the event's source at all.
    """

    matched: bool
    reason: str
    logged: str = ""


def match(route: Route, event: Event) -> Match:
    """The first condition that fails is the reason; where none does, the conditions that held are."""
    if not route.enabled:
        rule = "it is switched off (`enabled: false`)"
        return Match(False, rule, rule if _source_matches(route, event) else "")
    held = []
    for condition in (_source, _type, _where):
        found = condition(route, event)
        if found is None:
            continue
        if not found.matched:
            return found
        held.append(found.reason)
    return Match(True, "; ".join(held) or "it takes every event")


def match_rest(routes: Sequence[Route], matches: Sequence[Match]) -> list[Match]:
    """The matches, of which those of `else` routes hold only where no other route's does."""
    pairs = list(zip(routes, matches, strict=True))
    taken_by = [route.name for route, found in pairs if found.matched and not route.is_else]
    if not taken_by:
        return [
            Match(True, f"{found.reason}; no other route took it") if found.matched and route.is_else else found
            for route, found in pairs
        ]
    rule = f"it is for what nothing else takes; {taken_by[0]!r} took it"
    return [Match(False, rule, rule) if found.matched and route.is_else else found for route, found in pairs]


def _source(route: Route, event: Event) -> Match | None:
    if route.sources is None:
        return None
    if _source_matches(route, event):
        return Match(True, f"from {event.source_name!r}")
    return Match(False, f"from {event.source_name!r}, which is not {_either(sorted(route.sources))}")


def _source_matches(route: Route, event: Event) -> bool:
    return route.sources is None or event.source_name in route.sources


def _type(route: Route, event: Event) -> Match | None:
    if route.types is None:
        return None
    if route.types.take(event.type):
        return Match(True, f"type {event.type!r} matches {_either(route.types.globs)}")
    globs = _either(route.types.globs)
    return Match(False, f"type {event.type!r} does not match {globs}", f"the type does not match {globs}")


def _where(route: Route, event: Event) -> Match | None:
    """What cannot be computed for this event, such as the length of a field that is not there, counts as false."""
    if route.where is None:
        return None
    view = view_of(event)
    try:
        with bounded():
            answer = route.where.search(view)
    except OutOfTime:
        return _false(f"{_UNCOMPUTED}: it computes for more than {MAX_COMPUTING_SECONDS:g} s")
    except Permanent as error:
        return _false(f"{_UNCOMPUTED}: {error.detail}{number_hint(route.where, view)}")
    if is_true(answer):
        return Match(True, f"where {route.where.text} is true")
    return _false(f"where {route.where.text} is {_falsehood(answer)}{number_hint(route.where, view)}")


def _false(reason: str) -> Match:
    return Match(False, reason, reason)


def _falsehood(answer: Json) -> str:
    if answer is None:
        return "null, which counts as false"
    return "false" if answer is False else f"{kind_of(answer)} that is empty, which counts as false"


def _either(names: list[str] | tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
