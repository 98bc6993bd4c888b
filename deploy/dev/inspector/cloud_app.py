"""The inspector on this machine over the journal that a deployment keeps in a cloud.

Each update of the page costs reads there: an open page asks every few seconds whether anything is new, which costs
three reads.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import web

from deploy.config.page_token import new_page_token, page_url
from deploy.dev.inspector import api, charts_api, live_updates, map_api, page_access, server, sources_api
from deploy.history import cloud_journal, status
from deploy.history.state import State
from shared.jsontext import JsonObject

TICK_SECONDS: Final = 3.0
OVERVIEW_SECONDS: Final = 10.0
PLOTS_SECONDS: Final = 30.0
MAP_SECONDS: Final = 60.0
"""How long a map is shown: to read one costs four reads of the ledger for each destination."""


async def serve_cloud(
    state: State,
    name: str,
    port: int,
    stopped: asyncio.Event,
    is_up: Callable[[str], None],
    outside: sources_api.OutsideFacts,
    read_counts: charts_api.ReadCounts,
) -> None:
    """Serve the page until `stopped` is set. `name` is the deployment's. `is_up` gets the page's URL once it answers.

    Raises OSError if the port is taken, and what the first read raises.
    """
    async with open_cloud_backend(state) as backend:
        await backend.in_thread(backend.reader.version)  # a missing sign-in is reported here rather than on the page
        token = new_page_token()
        app = make_cloud_app(backend, name, token, outside)
        app[charts_api.CHARTS] = charts_api.MetricCharts(read_counts)
        await server.serve_app(app, port, stopped, lambda: is_up(page_url(port, token)))


@asynccontextmanager
async def open_cloud_backend(state: State) -> AsyncIterator[api.Backend]:
    thread = ThreadPoolExecutor(1, thread_name_prefix="inspector")
    slices = {"notify": state.notify_slice, "receive": state.receive_slice, "transform": state.transform_slice}
    async with state.ledger() as ledger, state.blobs() as blobs, state.bus() as bus, state.documents() as documents:
        assert documents is not None
        try:
            yield api.Backend(
                state.reader,
                ledger,
                blobs,
                bus,
                documents,
                thread,
                TICK_SECONDS,
                lambda name: slices[name](),
            )
        finally:
            await asyncio.to_thread(thread.shutdown)


def make_cloud_app(backend: api.Backend, name: str, token: str, outside: sources_api.OutsideFacts) -> web.Application:
    overviews = _Overviews(backend)
    documents = (
        live_updates.BoardDocument("overview", live_updates.Pace(OVERVIEW_SECONDS), overviews.read),
        live_updates.BoardDocument("plots", live_updates.Pace(PLOTS_SECONDS), partial(live_updates.plots, backend)),
        live_updates.BoardDocument("hint", live_updates.Pace(PLOTS_SECONDS), partial(_hint, name, backend)),
    )
    access = page_access.PageAccess(token, lambda: page_access.EVENTS_ELSEWHERE)
    app = server.base_app(backend, live_updates.Board(documents), access, outside)
    app[map_api.KEPT] = map_api.KeptMap(MAP_SECONDS)
    return app


async def _hint(name: str, backend: api.Backend) -> JsonObject:
    notify = await asyncio.to_thread(backend.read_slice, "notify")
    return {"trial": "", "sources": [], "cloud": name, "subscribers": "subscribers" in (notify or {})}


class _Overviews:
    """The overview, read again only after a write."""

    def __init__(self, backend: api.Backend) -> None:
        self._backend = backend
        self._version: int | None = None
        self._last: JsonObject = {}

    async def read(self) -> JsonObject:
        version = await self._backend.in_thread(self._backend.reader.version)
        if version != self._version:
            self._last, self._version = await self._overview(), version
        destinations = await asyncio.to_thread(self._backend.destinations)
        held = await status.held_destinations(self._backend.ledger, destinations, time.time())
        return {**self._last, "held": [*held]}

    async def _overview(self) -> JsonObject:
        """Return the counts. Rejected requests are in receive's log and mails in inboxes, so those counts are None."""
        reader = self._backend.reader
        statuses, totals = await self._backend.in_thread(lambda: (reader.counts(), reader.totals()))
        return {
            "statuses": dict(statuses),
            "newest": cloud_journal.COUNTED_EVENTS,
            "rejected": None,
            "dead_letters": totals.dead_letters,
            "mail": None,
        }
