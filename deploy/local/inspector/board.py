"""What every open page shows alike, looked up once for all of them, and only while there is one."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from deploy.local.inspector.apis import is_unplugged, read_faults
from deploy.local.inspector.documents import series_document
from deploy.local.inspector.overview import hint_document, overview
from deploy.local.inspector.pace import Pace
from deploy.local.inspector.parts import Parts
from shared.errors import Temporary
from shared.jsontext import JsonObject

TICK_SECONDS: Final = 0.25
PLOT_SPAN_SECONDS: Final = 300.0
PLOT_BUCKETS: Final = 60


class Board:
    """`documents` by name: overview, plots, sink, hint. `pages` is how many are open."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.documents: dict[str, JsonObject] = {}
        self.pages = 0
        self._looks: tuple[tuple[str, Pace, Callable[[], Awaitable[JsonObject]]], ...] = (
            ("overview", Pace(0.5), self._overview),
            ("plots", Pace(2.0), self._plots),
            ("sink", Pace(1.0), self._sink),
            ("hint", Pace(5.0), self._hint),
        )

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            if self.pages:
                for name, pace, look in self._looks:
                    began = time.monotonic()
                    if pace.is_due(began):
                        self.documents[name] = await look()
                        pace.took(began, time.monotonic())
            await asyncio.sleep(TICK_SECONDS)

    async def _overview(self) -> JsonObject:
        return await overview(self._parts, time.time())

    async def _plots(self) -> JsonObject:
        reader, now = self._parts.reader, time.time()
        buckets = await self._parts.read(lambda: reader.series(now, PLOT_SPAN_SECONDS, PLOT_BUCKETS))
        return series_document(buckets, PLOT_SPAN_SECONDS / PLOT_BUCKETS)

    async def _sink(self) -> JsonObject:
        try:
            return {"answers": True, "plugged": not is_unplugged(await read_faults(self._parts.apis_url))}
        except Temporary:
            return {"answers": False, "plugged": True}

    async def _hint(self) -> JsonObject:
        return await asyncio.to_thread(hint_document, self._parts.state)


BOARD: Final = web.AppKey("board", Board)
