"""Transform's and notify's part of an explanation: routes, steps as diffs, and what would go out."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from deploy.explain.deliveries import going_out
from deploy.explain.local_services import FirstOwners, secrets_here
from deploy.explain.report import NOTIFY, TRANSFORM, Check, Stage, State
from deploy.explain.routes_told import RouteTold, StepTold, told_routes
from functions.transform.signed_bytes import first_with_signed_bytes
from functions.transform.step import Services
from functions.transform.transformer import duplicate_reason
from shared.delivery import Delivery
from shared.errors import Permanent, Temporary
from shared.event import Event
from shared.jsontext import JsonObject
from shared.ports import Fetched, Outgoing, Owners

_STEP_MARKS: Final = {
    "changed": "~",
    "unchanged": "=",
    "noted": "?",
    "split": "%",
    "switched": ">",
    "stopped": "x",
    "failed": "!",
}


class OfflineFetch:
    async def fetch(self, request: Outgoing) -> Fetched:
        """Behind a question mark stand secrets too."""
        where, mark, _ = request.url.partition("?")
        body = f" with {len(request.body):,} bytes" if request.body else ""
        asking = f"{request.method} {where}{mark and '?…'}{body}"
        raise Temporary("offline", f"it would ask {asking}; nobody is asked offline: `hookchain step` asks")


def transform_stages(
    event: Event, slices: Mapping[str, JsonObject], environ: Mapping[str, str], seen: Owners | None = None
) -> tuple[Stage, ...]:
    """Of one event that receive made. Nothing is sent, and no other system is asked. `seen`: the events that came here
    before, which are looked at and not changed."""
    first = asyncio.run(first_with_signed_bytes(event, seen)) if seen else None
    if first is not None:
        return (Stage(TRANSFORM, (Check("duplicate", "failed", duplicate_reason(first)),)),)
    services = Services(secrets_here(environ), OfflineFetch(), FirstOwners(), None)
    try:
        routes = asyncio.run(told_routes(event, slices["transform"], services))
    except Permanent as error:
        return (Stage(TRANSFORM, (Check("hops", "failed", error.detail),)),)
    falsehoods = tuple(_values_stage(route) for route in routes if route.values)
    chains = tuple(_chain_stage(route) for route in routes if route.steps)
    return (
        Stage(TRANSFORM, tuple(map(_check, routes))),
        *falsehoods,
        *chains,
        *_notify_stages(routes, slices["notify"]),
    )


def _check(route: RouteTold) -> Check:
    state: State = "failed" if route.code else "passed" if route.matched and route.owed else "skipped"
    to = f" → {', '.join(route.destinations)}" if route.destinations and route.owed else ""
    return Check(route.route, state, f"{route.word}: {route.reason}{to}")


def _values_stage(route: RouteTold) -> Stage:
    return Stage(f"route {route.route!r}, the values that its `where` read", (), route.values)


def _chain_stage(route: RouteTold) -> Stage:
    return Stage(f"route {route.route!r}, step by step", (), tuple(_steps(route.steps)))


def _steps(steps: tuple[StepTold, ...]) -> Iterator[str]:
    several = len({step.event_id for step in steps}) > 1
    for step in steps:
        of = f" of event {step.event_id}" if several else ""
        yield f"{_STEP_MARKS[step.outcome]} {step.label}{of}: {step.words or step.outcome}"
        yield from (f"    {line}" for line in step.diff)


def _notify_stages(routes: list[RouteTold], notify: JsonObject) -> Iterator[Stage]:
    deliveries = [
        Delivery(event, route.route, destination)
        for route in routes
        for event in route.owed
        for destination in route.destinations
    ]
    if deliveries:
        told = [going_out(delivery, notify) for delivery in deliveries]
        yield Stage(NOTIFY, tuple(each.check for each in told), tuple(line for each in told for line in each.lines))
