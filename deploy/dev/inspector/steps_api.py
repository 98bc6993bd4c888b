"""GET /api/events/<id>/steps: what each step did to an event, computed anew.

Nothing of it is journaled: an event on its way pays nothing for a page that somebody may open, and the page can show
events that passed before it was asked for. So it is told by the configuration as it is now; what other systems answered
then is taken from where the function kept it, and nobody is asked again.
"""

import json
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.dev.inspector.answers import json_answer, not_found
from deploy.dev.inspector.parts import LOCAL, LocalParts
from deploy.explain.transform_stage import OfflineFetch, RouteTrace, StepTrace, trace_routes
from functions.transform.step import Services
from shared.claim_check import checked_out
from shared.cloud.local.owners import FILE_NAME, KnownOwners
from shared.errors import Temporary
from shared.event import Event, from_cloudevent
from shared.jsontext import Json, JsonObject


class NoSecrets:
    """The page's process is given none, and shows what it computes."""

    async def values(self, name: str) -> tuple[str, ...]:
        raise Temporary("secret_unavailable", f"the page has no secrets, so not {name!r}; `hookchain explain` has")


async def show_steps(request: web.Request) -> web.Response:
    parts, event_id = request.app[LOCAL], request.match_info["id"]
    event = await _event(parts, event_id)
    services = Services(NoSecrets(), OfflineFetch(), KnownOwners(parts.state / FILE_NAME), parts.blobs)
    routes = await trace_routes(event, _slice(parts.state), services)
    return json_answer({"routes": [_route(route) for route in routes]})


async def _event(parts: LocalParts, event_id: str) -> Event:
    """Raises Permanent where its data is gone."""
    record = await parts.read(partial(parts.reader.event, event_id))
    if record is None or record.document is None:
        raise not_found(f"the journal does not hold the event {event_id!r} with its data")
    return await checked_out(from_cloudevent(record.document), parts.blobs)


def _slice(state: Path) -> JsonObject:
    """Transform's, as `hookchain dev` last wrote it."""
    try:
        document: Json = json.loads((state / "slices" / "transform.json").read_bytes())
    except (OSError, ValueError) as error:
        raise not_found("there is no configuration here: `hookchain dev` writes it") from error
    assert isinstance(document, dict)
    return document


def _route(route: RouteTrace) -> JsonObject:
    return {
        "route": route.route,
        "matched": route.matched,
        "reason": route.reason,
        "code": route.code,
        "steps": [_step(step) for step in route.steps],
    }


def _step(step: StepTrace) -> JsonObject:
    return {
        "label": step.label,
        "event_id": step.event_id,
        "outcome": step.outcome,
        "words": step.words,
        "diff": list(step.diff),
    }


ROUTES: Final = [web.get("/api/events/{id}/steps", show_steps)]
