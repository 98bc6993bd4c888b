"""What transform makes of an event, told: why each route took it or not, and what each step did to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from deploy.explain.differences import differences, line_of
from deploy.terminal.printing import count_of
from functions.transform.comparisons import values_read
from functions.transform.read_routes import read_program
from functions.transform.routes import Route
from functions.transform.step import Many, Noted, Services, Stop, Switch
from functions.transform.steps.decide import Filter
from functions.transform.trail import Taken
from functions.transform.transform import OfRoute, of_routes
from shared.errors import HookchainError
from shared.event import Event, view_of
from shared.expressions import Expression
from shared.jsontext import Json, JsonObject

MAX_PARTS: Final = 10

Outcome = Literal["changed", "unchanged", "noted", "split", "switched", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class StepTold:
    """`event_id` is a part's where the event was split before. `diff`: lines, of the event as steps see it."""

    label: str
    event_id: str
    outcome: Outcome
    words: str
    diff: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteTold:
    """`word` is RouteDecision's. `values`: the values that its `where` read in the event, where it was false.

    `owed` are the events that come out of its chain, for each of `destinations`.
    """

    route: str
    matched: bool
    word: str
    reason: str
    code: str | None
    values: tuple[str, ...]
    destinations: tuple[str, ...]
    steps: tuple[StepTold, ...] = ()
    owed: tuple[Event, ...] = field(default=(), repr=False)


async def told_routes(event: Event, transform: JsonObject, services: Services) -> list[RouteTold]:
    """`transform` is its slice; `event` is whole. Raises Permanent (`loop`)."""
    routes = read_program(transform).routes
    outcomes = await of_routes(event, routes, services, traced=True)
    return [_route(route, each, event) for route, each in zip(routes, outcomes, strict=True)]


def _route(route: Route, found: OfRoute, event: Event) -> RouteTold:
    decision = found.decision
    return RouteTold(
        route=decision.route,
        matched=decision.matched,
        word=decision.word,
        reason=decision.reason,
        values=() if decision.matched or route.where is None else values_shown(route.where, event),
        code=decision.code or (found.unfinished.code if found.unfinished else None),
        destinations=decision.destinations,
        steps=tuple(map(_step, found.trail or ())),
        owed=tuple(owed.event for owed in found.owed),
    )


def _step(taken: Taken) -> StepTold:
    outcome, words, diff = _told(taken)
    return StepTold(taken.step.label, taken.before.id, outcome, words, tuple(diff))


def _told(taken: Taken) -> tuple[Outcome, str, Sequence[str]]:
    result = taken.result
    if isinstance(result, HookchainError):
        return "failed", f"{result.code}: {result.detail}", ()
    if isinstance(result, Stop):
        step = taken.step.step
        return (
            "stopped",
            result.reason,
            values_shown(Expression(step.root.keep), taken.before) if isinstance(step, Filter) else (),
        )
    if isinstance(result, Many):
        return "split", f"{count_of(len(result.events), 'event')} of it", list(_parts(result.events))
    if isinstance(result, Noted):
        return "noted", result.note, _diff(taken.before, result.event)
    if not isinstance(result, Event):
        instead = "instead of the rest" if isinstance(result, Switch) else "and then on"
        return "switched", f"through the chain {result.chain!r}, {instead}", _diff(taken.before, result.event)
    diff = _diff(taken.before, result)
    return ("changed", "", diff) if diff else ("unchanged", "it changed nothing", ())


def values_shown(condition: Expression, event: Event) -> tuple[str, ...]:
    """Return a line for each path that the condition reads, with the value that is there."""
    return tuple(line_of("·", each.path, each.value) for each in values_read(condition, view_of(event)))


def _parts(events: tuple[Event, ...]) -> Iterator[str]:
    """All of each part's data, and no more parts than a person looks through."""
    yield from (line_of("+", f"event {event.id}", event.data) for event in events[:MAX_PARTS])
    if len(events) > MAX_PARTS:
        yield "…"


def _diff(before: Event, after: Event) -> list[str]:
    return differences(seen(before), seen(after))


def seen(event: Event) -> Json:
    """What steps can change, without what is not there."""
    return {name: value for name, value in view_of(event).items() if value is not None or name == "data"}
