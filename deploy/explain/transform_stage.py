"""The explanation of transform and notify: the routes of an event, each step's changes, and the deliveries.

`trace_routes` runs the routes and returns what each step did, as data. `transform_stages` makes the report of it.
`unlisted_decisions` only evaluates the conditions of routes.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from deploy.explain.deliveries import Situation, preview_delivery
from deploy.explain.differences import differences, line_of
from deploy.explain.offline import Owners, local_secrets
from deploy.explain.report import NOTIFY, TRANSFORM, Check, Stage, State
from deploy.terminal.output import count_of, waits_text
from functions.transform import chain, expression_paths, program, route_runs
from functions.transform.routes import Route, match_all
from functions.transform.step import Many, NamedStep, Noted, Services, Step, Stop, Switch
from functions.transform.steps.decide import Filter, Stop as StopStep, Switch as SwitchStep
from functions.transform.transform import duplicate_reason, first_with_signed_bytes
from shared import errors, expressions, journal, ports, waiting_route
from shared.delivery import Delivery
from shared.event import Event, from_cloudevent, read_kept_parts, view_of, without_request
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject
from shared.outcomes import RouteOutcome

MAX_SPLIT_EVENTS: Final = 10

Outcome = Literal["changed", "unchanged", "noted", "split", "switched", "filtered", "failed"]


@dataclass(frozen=True, slots=True)
class StepTrace:
    """The effect of a step. `event_id` is a split event's own id. `diff` has lines for the fields that it changed."""

    label: str
    event_id: str
    outcome: Outcome
    text: str
    diff: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteTrace:
    """The effect of a route. `outcome` is RouteDecision's. `values` are those that a false `where` read in the event.

    `produced` are the events that its chain produced, for each of `destinations`.
    """

    route: str
    matched: bool
    outcome: RouteOutcome
    reason: str
    code: str | None
    values: tuple[str, ...]
    destinations: tuple[str, ...]
    steps: tuple[StepTrace, ...] = ()
    produced: tuple[Event, ...] = field(default=(), repr=False)


async def trace_routes(event: Event, transform: JsonObject, services: Services) -> list[RouteTrace]:
    """Return what each route does with the whole event. `transform` is its slice. Raises Permanent."""
    routes = tuple(program.read_program(transform).routes)
    event = without_request(event, read_kept_parts(transform))
    outcomes = await route_runs.run_routes(event, routes, services, route_runs.RunOptions(is_recorded=True))
    return [_route(route, each, event) for route, each in zip(routes, outcomes, strict=True)]


def _route(route: Route, found: route_runs.RouteResult, event: Event) -> RouteTrace:
    decision, unavailable = found.decision, found.redelivery_error or found.unavailable
    # The reason of a `where` that is not true has this already. A misspelt path can also make one true.
    is_candidate = route.sources is None or event.source_name in route.sources
    where = route.where if decision.matched else None
    missing = expression_paths.missing_text(where, view=view_of(event)) if where else ""
    return RouteTrace(
        route=decision.route,
        matched=decision.matched,
        outcome=decision.outcome,
        reason=f"{decision.reason}{missing}",
        values=condition_values(route.where, event) if route.where and is_candidate and not decision.matched else (),
        code=decision.code or (unavailable.code if unavailable else None),
        destinations=decision.destinations,
        steps=tuple(map(_step, found.records)),
        produced=tuple(each.event for each in found.owed),
    )


def _step(record: chain.StepRecord) -> StepTrace:
    step, before, result = record.step, record.before, record.result

    def trace(outcome: Outcome, text: str, diff: Iterable[str] = ()) -> StepTrace:
        return StepTrace(step.label, before.id, outcome, text, tuple(diff))

    match result:
        case errors.HookchainError():
            may_wait = isinstance(result, errors.Temporary) and step.asks_others
            waits = f". {_waits_text(step)}" if may_wait else ""
            return trace("failed", f"{result.code}: {result.detail}{waits}")
        case Stop():
            # The values that a filter read show what the event lacks, so its reason need not say it.
            missing = "" if isinstance(step.step, Filter) else result.missing
            return trace("filtered", f"{result.reason}{missing}", step_values(step.step, before))
        case Many():
            note = f": {result.note}" if result.note else ""
            return trace("split", f"into {count_of(len(result.events), 'event')}{note}", _split_events(result.events))
        case Noted():
            return trace("noted", result.note, (*step_values(step.step, before), *_diff(before, result.event)))
        case Event():
            diff = _diff(before, result)
            missing = expression_paths.missing_text(*_conditions(step.step), view=view_of(before))
            return trace("changed", "", diff) if diff else trace("unchanged", f"no change{missing}")
        case _:
            instead = "instead of the rest" if isinstance(result, Switch) else "and then on"
            missing = expression_paths.missing_text(*_conditions(step.step), view=view_of(before))
            text = f"through the chain {result.chain!r}, {instead}{missing}"
            return trace("switched", text, _diff(before, result.event))


def _waits_text(step: NamedStep) -> str:
    retry = getattr(step.step, "retry", None)
    waits: Sequence[float] = waiting_route.RETRY_SECONDS if retry is None else retry
    if not waits:
        return "If that system is unavailable, the event becomes a dead letter of this route: `retry` is empty"
    return f"If that system is unavailable, only this route waits: it runs again after {waits_text(waits)}"


def step_values(step: Step, event: Event) -> tuple[str, ...]:
    """Return a line for each path that the conditions of a step read; none for a step without conditions."""
    lines = [line for each in _conditions(step) for line in condition_values(each, event)]
    return tuple(dict.fromkeys(lines))


def _conditions(step: Step) -> list[expressions.Expression]:
    """Return the conditions of a `filter`, a `stop` or a `switch`; none of another step."""
    texts: list[str | None] = []
    match step:
        case Filter():
            texts = [step.keep]
        case StopStep():
            texts = [step.when]
        case SwitchStep():
            texts = [case.get("when") for case in step.whole]
    return [expressions.Expression(text) for text in texts if text is not None]


def condition_values(condition: expressions.Expression, event: Event) -> tuple[str, ...]:
    """Return a line for each path that the condition reads, with the value that is there."""
    view = view_of(event)
    return tuple(
        line_of("·", each.path, each.value) + (f"; did you mean {each.likely_path}?" if each.likely_path else "")
        for each in expression_paths.read_values(condition, view)
    )


def _split_events(events: tuple[Event, ...]) -> Iterator[str]:
    """Yield the data of the split events, up to a number that a person can read."""
    yield from (line_of("+", f"event {event.id}", event.data) for event in events[:MAX_SPLIT_EVENTS])
    if len(events) > MAX_SPLIT_EVENTS:
        yield "…"


def _diff(before: Event, after: Event) -> list[str]:
    return differences(visible_fields(before), visible_fields(after))


def visible_fields(event: Event) -> Json:
    """Return the fields that steps can change, without those that the event lacks."""
    return {name: value for name, value in view_of(event).items() if value is not None or name == "data"}


_STEP_MARKS: Final = {
    "changed": "~",
    "unchanged": "=",
    "noted": "?",
    "split": "%",
    "switched": ">",
    "filtered": "x",
    "failed": "!",
}


class OfflineFetch:
    """The requests of steps to other systems, none of which is sent."""

    async def fetch(self, request: Outgoing) -> Fetched:
        """Raise Temporary, which says what would be sent; not the query, because it may contain secrets."""
        where, mark, _ = request.url.partition("?")
        body = f" with {len(request.body):,} bytes" if request.body else ""
        asking = f"{request.method} {where}{mark and '?…'}{body}"
        raise errors.Temporary(
            "offline", f"it would send {asking}, which is not sent offline. `hookchain step` sends it"
        )


def transform_stages(
    event: Event,
    slices: Mapping[str, JsonObject],
    environ: Mapping[str, str],
    situation: Situation,
    seen: ports.Owners | None = None,
) -> tuple[Stage, ...]:
    """Return the stages of one event. Nothing is sent.

    `seen` has the events that came here before, to find duplicates; it is not changed.
    """
    first = asyncio.run(first_with_signed_bytes(event, seen)) if seen else None
    if first is not None:
        return (Stage(TRANSFORM, (Check("duplicate", "failed", duplicate_reason(first)),)),)
    services = Services(local_secrets(environ), lambda: OfflineFetch(), Owners(), None)
    try:
        routes = asyncio.run(trace_routes(event, slices["transform"], services))
    except errors.Permanent as error:
        return (Stage(TRANSFORM, (Check("hops", "failed", error.detail),)),)
    named = [(f"route {each.route!r}", each) for each in routes]
    return (
        Stage(TRANSFORM, tuple(map(_check, routes))),
        *(Stage(f"{name}, the values that its `where` read", (), each.values) for name, each in named if each.values),
        *(Stage(f"{name}, step by step", (), tuple(_steps(each.steps))) for name, each in named if each.steps),
        *_notify_stages(routes, slices["notify"], environ, situation),
    )


def _check(route: RouteTrace) -> Check:
    state: State = "failed" if route.code else "passed" if route.matched and route.produced else "skipped"
    to = f" → {', '.join(route.destinations)}" if route.destinations and route.produced else ""
    return Check(route.route, state, f"{route.outcome}: {route.reason}{to}")


def _steps(steps: tuple[StepTrace, ...]) -> Iterator[str]:
    several = len({step.event_id for step in steps}) > 1
    for step in steps:
        event = f" of event {step.event_id}" if several else ""
        yield f"{_STEP_MARKS[step.outcome]} {step.label}{event}: {step.text or step.outcome}"
        yield from (f"    {line}" for line in step.diff)


def _notify_stages(
    routes: list[RouteTrace], notify: JsonObject, environ: Mapping[str, str], situation: Situation
) -> list[Stage]:
    """Return the stage of notify; none if the routes owe no delivery."""
    previews = [
        preview_delivery(Delivery(event, route.route, destination), notify, environ, situation)
        for route in routes
        for event in route.produced
        for destination in route.destinations
    ]
    checks = tuple(each.check for each in previews)
    lines = tuple(line for each in previews for line in each.lines)
    return [Stage(NOTIFY, checks, lines)] if previews else []


def unlisted_decisions(
    document: JsonObject, listed: Collection[journal.RouteDecision], transform: JsonObject
) -> tuple[journal.RouteDecision, ...]:
    """Return the decisions of the routes that the journal only counts, and which are therefore not in `listed`.

    The routes for the event's source come first. `document` is the event with its data. `transform` is the slice of
    the current configuration.
    """
    event, names = from_cloudevent(document), {decision.route for decision in listed}
    routes = tuple(program.read_program(transform).routes)
    found = [each for each in zip(routes, match_all(routes, event), strict=True) if each[0].name not in names]
    found.sort(key=lambda each: not each[1].logged)  # a match is not logged if the route is for other sources
    return tuple(
        journal.RouteDecision(route.name, match.matched, match.reason, route.destinations if match.matched else ())
        for route, match in found
    )
