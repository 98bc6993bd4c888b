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
from typing import Final, Protocol, cast

from aiohttp import web

from deploy.config.page_token import new_page_token, page_url
from deploy.dev.inspector import api, charts_api, map_api, server, sources_api
from deploy.history import cloud_journal, status
from deploy.history.state import State
from shared.jsontext import Json, JsonObject
from shared.ledger import DestinationState, Ledger
from shared.subscribers.names import endpoint_name

TICK_SECONDS: Final = 3.0
OVERVIEW_SECONDS: Final = 10.0
PLOTS_SECONDS: Final = 30.0
MAP_SECONDS: Final = 60.0
"""How long a map is shown: to read one costs four reads of the ledger for each destination."""


class OperatorLedger(Ledger, Protocol):
    """A ledger that can be asked about all destinations at once."""

    async def destination_states(self) -> dict[str, DestinationState]: ...

    async def held(self, destination: str, limit: int) -> int:
        """Return the number of held deliveries, at most `limit`."""


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
        await backend.read(backend.reader.version)  # a missing sign-in is reported here rather than on the page
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
        server.BoardDocument("overview", server.Pace(OVERVIEW_SECONDS), overviews.read),
        server.BoardDocument("plots", server.Pace(PLOTS_SECONDS), partial(server.plots, backend)),
        server.BoardDocument("hint", server.Pace(PLOTS_SECONDS), partial(_hint, name, backend)),
    )
    access = server.PageAccess(token, lambda: server.EVENTS_ELSEWHERE)
    app = server.base_app(backend, server.Board(documents), access, outside)
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
        version = await self._backend.read(self._backend.reader.version)
        if version != self._version:
            self._last, self._version = await self._overview(), version
        return {**self._last, "held": await self._held(time.time())}

    async def _overview(self) -> JsonObject:
        """Return the counts. Rejected requests are in receive's log and mails in inboxes, so those counts are None."""
        reader = self._backend.reader
        statuses, totals = await self._backend.read(lambda: (reader.counts(), reader.totals()))
        return {
            "statuses": dict(statuses),
            "newest": cloud_journal.COUNTED_EVENTS,
            "rejected": None,
            "dead_letters": totals.dead_letters,
            "mail": None,
        }

    async def _held(self, now: float) -> list[Json]:
        ledger = cast(OperatorLedger, self._backend.ledger)
        states = await ledger.destination_states()
        held: list[Json] = []
        configured = await asyncio.to_thread(self._backend.destinations)
        # There can be so many states of endpoints that the states of some destinations are not among them.
        for name in dict.fromkeys((*(each for each in states if endpoint_name(each) is None), *configured)):
            state = states.get(name) or await ledger.destination_state(name)
            count = await ledger.held(name, status.MAX_HELD)
            if state.disabled_reason is not None or count:
                reason = state.disabled_reason or (await ledger.rows(1, destination=name, state="held"))[0].reason
                held.append(status.held_document(name, state, reason, count))
            elif state.paused_until is not None and state.paused_until > now:
                held.append(status.held_document(name, state, None, 0))
        return held
