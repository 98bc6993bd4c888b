"""GET /api/events/<id>/steps: what each step does to an event, and which endpoints of subscribers get it.

It is computed when somebody asks. The functions journal nothing for it, so events cost nothing more. The steps run with
the current configuration; answers of other systems come from where the function stored them, and no system is called
again.
"""

from functools import partial
from itertools import islice
from typing import Final

from aiohttp import web

from deploy.dev.inspector.api import LOCAL, DevBackend, not_found
from deploy.dev.local_server import json_answer
from deploy.explain import deliveries, fan_out, offline
from deploy.explain.transform_stage import OfflineFetch, RouteTrace, StepTrace, trace_routes
from functions.notify.registry import SUBSCRIBERS
from functions.transform.step import Services
from shared import claim_check, errors
from shared.cloud.local.documents import KnownOwners
from shared.delivery import Delivery
from shared.event import Event, from_cloudevent
from shared.jsontext import Json, JsonObject, mapping_at

OFFLINE: Final = "offline: "


async def show_steps(request: web.Request) -> web.Response:
    backend, event_id = request.app[LOCAL], request.match_info["id"]
    event = await _event(backend, event_id)
    # The page's process has no secrets, because it shows what it computes.
    secrets = offline.local_secrets(offline.NO_SECRETS)
    services = Services(secrets, lambda: OfflineFetch(), KnownOwners(backend.state / "owners.db"), backend.blobs)
    transform = backend.read_slice("transform")
    if transform is None:
        raise not_found("There is no compiled configuration here: `hookchain dev` writes it.")
    routes = await trace_routes(event, transform, services)
    notify = backend.read_slice("notify") or {}
    documents: list[Json] = [_route(route) | {"fan_outs": await _fan_outs(backend, route, notify)} for route in routes]
    return json_answer({"routes": documents})


async def _fan_outs(backend: DevBackend, route: RouteTrace, notify: JsonObject) -> list[Json]:
    """Return what the fan-out does with each event that the route produced, for each destination of subscribers."""
    found: list[Json] = []
    for event in route.produced:
        for name in route.destinations:
            entry = mapping_at(notify, "destinations", name)
            if entry.get("kind") == SUBSCRIBERS:
                text, lines = await _fan_out(backend, Delivery(event, route.route, name), entry, notify)
                found.append({"destination": name, "event_id": event.id, "text": text, "lines": lines})
    return found


async def _fan_out(
    backend: DevBackend, delivery: Delivery, entry: JsonObject, notify: JsonObject
) -> tuple[str, list[Json]]:
    try:
        plan = fan_out.plan_of(delivery, entry["settings"])
    except errors.Permanent as error:
        return f"{error.code}: {error.detail}", []
    known = {tenant: await fan_out.known_endpoints(backend.documents, tenant) for tenant in plan.tenants}
    lines = fan_out.endpoint_lines(plan, fan_out.tenant_views(plan, delivery.event, known, notify))
    return plan.text, [*islice(lines, deliveries.MAX_LINES)]


async def _event(backend: DevBackend, event_id: str) -> Event:
    """Return the event with its data. Raises Permanent if the data is gone."""
    record = await backend.in_thread(partial(backend.reader.event, event_id))
    if record is None or record.document is None:
        raise not_found(f"The journal does not have the event {event_id!r} with its data.")
    return await claim_check.checked_out(from_cloudevent(record.document), backend.blobs)


def _route(route: RouteTrace) -> JsonObject:
    return {
        "route": route.route,
        "matched": route.matched,
        "reason": route.reason,
        "code": route.code,
        "destinations": list(route.destinations),
        "steps": [_step(step) for step in route.steps],
    }


def _step(step: StepTrace) -> JsonObject:
    is_uncomputed = step.outcome == "failed" and (offline.NOT_READ in step.text or OFFLINE in step.text)
    return {
        "label": step.label,
        "event_id": step.event_id,
        "outcome": "not_computed" if is_uncomputed else step.outcome,
        "text": step.text,
        "diff": list(step.diff),
    }
