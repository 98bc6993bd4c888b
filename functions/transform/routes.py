"""Which routes take an event, and why, in words that a person understands."""

import fnmatch
import re
from dataclasses import dataclass

from functions.transform.chain import Chain
from functions.transform.registry import read_chain
from shared.errors import Permanent
from shared.event import Event
from shared.event_view import view_of
from shared.expressions import Expression, ExpressionFault, is_true, kind_of
from shared.jsontext import Json, JsonObject
from shared.slices import SliceFault


@dataclass(frozen=True, slots=True)
class TypeGlobs:
    """`signup.*` takes any text for its `*`, dots too; case counts."""

    globs: tuple[str, ...]
    pattern: re.Pattern[str]

    @classmethod
    def of(cls, globs: tuple[str, ...]) -> "TypeGlobs":
        return cls(globs, re.compile("|".join(fnmatch.translate(glob) for glob in globs)))

    def take(self, event_type: str) -> bool:
        return self.pattern.match(event_type) is not None


@dataclass(frozen=True, slots=True)
class Route:
    """`sources`, `types` and `where` are None where the route takes all."""

    name: str
    chain: Chain
    destinations: tuple[str, ...]
    sources: frozenset[str] | None = None
    types: TypeGlobs | None = None
    where: Expression | None = None


@dataclass(frozen=True, slots=True)
class Match:
    matched: bool
    reason: str


def match(route: Route, event: Event) -> Match:
    """The first condition that fails is the reason; where none does, the conditions that held are."""
    held = []
    for condition in (_source, _type, _where):
        found = condition(route, event)
        if found is None:
            continue
        if not found.matched:
            return found
        held.append(found.reason)
    return Match(True, "; ".join(held) or "it takes every event")


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
        answer = route.where.search(view_of(event))
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


def read_routes(configuration: JsonObject) -> tuple[Route, ...]:
    """The routes of transform's slice. Raises SliceFault, which names every fault."""
    faults: list[str] = []
    routes = []
    for entry in _objects(configuration.get("routes")):
        name = str(entry.get("name"))
        steps, step_faults = read_chain(entry.get("steps"))
        where, where_fault = read_where(entry.get("where"))
        faults += [f"route {name!r}: {fault}" for fault in (*step_faults, where_fault) if fault is not None]
        sources, types = _texts(entry.get("from")), _texts(entry.get("types"))
        routes.append(
            Route(
                name=name,
                chain=Chain(name, tuple(steps)),
                destinations=tuple(dict.fromkeys(_texts(entry.get("to")))),
                sources=frozenset(sources) if sources else None,
                types=TypeGlobs.of(types) if types else None,
                where=where,
            )
        )
    if faults:
        raise SliceFault("slice", "; ".join(faults))
    return tuple(routes)


def read_where(text: Json) -> tuple[Expression | None, str | None]:
    """The condition, or its fault."""
    if not isinstance(text, str):
        return None, None if text is None else f"where: an expression is text; found {kind_of(text)}"
    try:
        return Expression(text), None
    except ExpressionFault as error:
        return None, f"where: {error}"


def _objects(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(value: Json) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()
