"""Destinations: GET /api/destinations, and POST pause, resume and release of one."""

import asyncio
import time
from typing import Final

from aiohttp import web

from deploy.dev.inspector.api import json_answer
from deploy.dev.inspector.backend import BACKEND
from deploy.history.destinations import read_destinations, resume_destination
from deploy.history.state import configured_destinations
from shared.ledger import PAUSED_BY_OPERATOR


async def list_destinations(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    notify = await asyncio.to_thread(backend.notify_slice)
    configured = configured_destinations(notify)
    views = await read_destinations(backend.ledger, configured, time.time(), notify)
    return json_answer({"destinations": [each.document() for each in views], "count": len(configured)})


async def pause(request: web.Request) -> web.Response:
    await request.app[BACKEND].ledger.disable(request.match_info["destination"], PAUSED_BY_OPERATOR, time.time())
    return json_answer({})


async def resume(request: web.Request) -> web.Response:
    """Let the destination take deliveries again, and send what is held for it and what waits."""
    destination = request.match_info["destination"]
    resumed = await resume_destination(request.app[BACKEND].ledger, destination, time.time())
    return json_answer({"released": resumed.released, "hastened": resumed.hastened})


async def release(request: web.Request) -> web.Response:
    """Send what is held for the destination."""
    destination = request.match_info["destination"]
    return json_answer({"released": await request.app[BACKEND].ledger.release(destination, time.time())})


ROUTES: Final = [
    web.get("/api/destinations", list_destinations),
    web.post("/api/destinations/{destination}/pause", pause),
    web.post("/api/destinations/{destination}/resume", resume),
    web.post("/api/release/{destination}", release),
]
