"""Which routes take an event, and why, in words that a person understands."""

from collections.abc import Sequence
from dataclasses import dataclass

from functions.transform.routes import Route
from shared.errors import Permanent
from shared.event import Event
from shared.event_view import view_of
from shared.expressions import is_true, kind_of
from shared.jsontext import Json
from shared.time_bound import MAX_COMPUTING_SECONDS, OutOfTime, bounded


@dataclass(frozen=True, slots=True)
class Match:
    matched: bool
    reason: str


def match(route: Route, event: Event) -> Match:
    """The first condition that fails is the reason; where none does, the conditions that held are."""
    if not route.enabled:
        return Match(False, "it is switched off (`enabled: false`)")
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
    return [Match(False, rule) if found.matched and route.is_else else found for route, found in pairs]


def _source(route: Route, event: Event) -> Match | None:
    if route.sources is None:
        return None
    if event.source_name in route.sources:
        return Match(True, f"from {event.source_name!r}")
    return Match(False, f"from {event.source_name!r}, which is not {_either(sorted(route.sources))}")


def _type(route: Route, event: Event) -> Match | None:
    if route.types is None:
        return None
    if route.types.take(event.type):
        return Match(True, f"type {event.type!r} matches {_either(route.types.globs)}")
    return Match(False, f"type {event.type!r} does not match {_either(route.types.globs)}")


def _where(route: Route, event: Event) -> Match | None:
    """What cannot be computed for this event, such as the length of a field that is not there, counts as false."""
    if route.where is None:
        return None
    try:
        with bounded():
            answer = route.where.search(view_of(event))
    except OutOfTime:
        reason = f"it computes for more than {MAX_COMPUTING_SECONDS:g} s"
        return Match(False, f"where cannot be computed for this event, which counts as false: {reason}")
    except Permanent as error:
        return Match(False, f"where cannot be computed for this event, which counts as false: {error.detail}")
    if is_true(answer):
        return Match(True, f"where {route.where.text} is true")
    return Match(False, f"where {route.where.text} is {_falsehood(answer)}")


def _falsehood(answer: Json) -> str:
    if answer is None:
        return "null, which counts as false"
    return "false" if answer is False else f"{kind_of(answer)} that is empty, which counts as false"


def _either(names: list[str] | tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
