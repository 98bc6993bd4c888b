"""The health of the sources: GET /api/sources.

Providers are asked at most once a minute, and only while a page shows the sources.
"""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.dev.inspector.api import BACKEND
from deploy.dev.local_server import json_answer
from deploy.history.source_health import Outside, SourceFacts, health_document, read_facts
from deploy.history.status import silences_of
from shared.cloud import platform
from shared.jsontext import Json, JsonObject

ASK_AGAIN_SECONDS: Final = 60.0
FIRST_SECONDS: Final = 0.5
"""How long the first answer waits for the providers. A later one has what they said."""


class OutsideFacts:
    """The facts that are not in the journal, read in the background. `read` does not raise."""

    def __init__(self, read: Callable[[], Awaitable[Outside]], where: str = "") -> None:
        self.where = where
        self._read = read
        self._facts = Outside()
        self._task: asyncio.Task[None] | None = None
        self._read_at: float | None = None

    async def newest(self) -> tuple[Outside, bool]:
        """Return the newest facts, and whether newer ones are being read."""
        is_old = self._read_at is None or time.monotonic() - self._read_at > ASK_AGAIN_SECONDS
        if self._task is None and is_old:
            self._task = asyncio.create_task(self._update())
        if self._task and self._read_at is None:
            await asyncio.wait([self._task], timeout=FIRST_SECONDS)
        return self._facts, self._task is not None

    async def _update(self) -> None:
        try:
            self._facts = await self._read()
        finally:
            self._read_at = time.monotonic()
            self._task = None


OUTSIDE: Final = web.AppKey("outside", OutsideFacts)


async def list_sources(request: web.Request) -> web.Response:
    backend = request.app[BACKEND]
    receive = await asyncio.to_thread(backend.read_slice, "receive")
    notify = await asyncio.to_thread(backend.read_slice, "notify")
    facts, is_reading = await find_facts(request, receive or {}, notify or {})
    now, where = time.time(), request.app[OUTSIDE].where
    sources: list[Json] = [health_document(each, now, where) for each in facts]
    return json_answer({"sources": sources, "asking": is_reading})


async def find_facts(
    request: web.Request, receive: JsonObject, notify: JsonObject
) -> tuple[Sequence[SourceFacts], bool]:
    """Return the facts about the sources of receive's slice, and whether the providers are still being asked."""
    backend = request.app[BACKEND]
    outside, is_reading = await request.app[OUTSIDE].newest()
    facts = await backend.in_thread(lambda: list(read_facts(backend.reader, receive, silences_of(notify), outside)))
    return facts, is_reading


async def read_local_outside(state: Path) -> Outside:
    """Read the facts with the configuration and the env file that `hookchain dev` serves."""
    # Imported in a thread, because the models of the configuration take a second, and the page answers meanwhile.
    await asyncio.to_thread(importlib.import_module, "deploy.history.source_access")
    from deploy.history.source_access import read_served_outside

    return await read_served_outside(state, platform.fetch(keeps=False), time.time())
