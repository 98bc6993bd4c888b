"""Updates of an open page: Server-Sent Events at /api/live, differences only."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from deploy.dev.inspector.api import event_query
from deploy.dev.inspector.backend import BACKEND, Backend
from deploy.dev.inspector.events_api import find_events
from deploy.history.documents import series_document
from deploy.history.journal_view import EventQuery
from shared.jsontext import Json, JsonObject, to_json

BOARD_SECONDS: Final = 0.25
PLOT_SPAN_SECONDS: Final = 300.0
PLOT_BUCKETS: Final = 60
LOOK_SECONDS: Final = 0.5
ALIVE_SECONDS: Final = 15.0
REST_FACTOR: Final = 60.0
"""After reading something, wait at least so many times as long as that took: an open page has five such readings."""


@dataclass(slots=True)
class Pace:
    """The interval between two reads of something, longer if a read is slow."""

    interval_seconds: float
    next_at: float = 0.0

    def is_due(self, now: float) -> bool:
        return now >= self.next_at

    def record(self, began: float, ended: float) -> None:
        self.next_at = ended + max(self.interval_seconds, (ended - began) * REST_FACTOR)


@dataclass(frozen=True, slots=True)
class BoardDocument:
    """A document that every open page shows: `overview`, `plots`, `sink` or `hint`."""

    name: str
    pace: Pace
    read: Callable[[], Awaitable[JsonObject]]


class Board:
    """The documents that are the same on every open page, read once for all, and only while a page is open."""

    def __init__(self, documents: Sequence[BoardDocument]) -> None:
        self.documents: dict[str, JsonObject] = {}
        self.open_pages = 0
        self._board_documents = documents

    async def update(self) -> None:
        """Update the documents until cancelled."""
        while True:
            if self.open_pages:
                for each in self._board_documents:
                    began = time.monotonic()
                    if each.pace.is_due(began):
                        self.documents[each.name] = await each.read()
                        each.pace.record(began, time.monotonic())
            await asyncio.sleep(BOARD_SECONDS)


BOARD: Final = web.AppKey("board", Board)


async def plots(backend: Backend) -> JsonObject:
    reader, now = backend.reader, time.time()
    buckets = await backend.read(lambda: reader.series(now, PLOT_SPAN_SECONDS, PLOT_BUCKETS))
    return series_document(buckets, PLOT_SPAN_SECONDS / PLOT_BUCKETS)


class SentDocuments:
    """The documents that one page has been sent."""

    def __init__(self) -> None:
        self._rows: dict[str, JsonObject] = {}
        self._documents: dict[str, JsonObject] = {}
        self._page: JsonObject = {}

    def list_update(self, page: JsonObject) -> JsonObject | None:
        """Return the ids of the list in order and the rows that are new or changed, or None if nothing changed."""
        if page == self._page:
            return None
        self._page, known, events = page, self._rows, page["events"]
        assert isinstance(events, list)
        self._rows = {str(row["id"]): row for row in events if isinstance(row, dict)}
        changed: list[Json] = [row for event_id, row in self._rows.items() if known.get(event_id) != row]
        ids: list[Json] = list(self._rows)
        return {**page, "events": changed, "ids": ids}

    def updates(self, documents: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
        """Return the documents that changed."""
        changed = {name: document for name, document in documents.items() if self._documents.get(name) != document}
        self._documents |= changed
        return changed


async def live(request: web.Request) -> web.StreamResponse:
    """Send updates of the list that the query selects, as for /api/events."""
    query = event_query(request.query)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    board = request.app[BOARD]
    board.open_pages += 1
    try:
        with contextlib.suppress(ConnectionResetError):  # the page was closed
            await response.prepare(request)
            await _send_updates(request, query, response)
    finally:
        board.open_pages -= 1
    return response


async def _send_updates(request: web.Request, query: EventQuery, response: web.StreamResponse) -> None:
    """Send updates until the page is closed, which a handler is not told of before it writes."""
    backend, board = request.app[BACKEND], request.app[BOARD]
    sent, pace, version, sent_at = SentDocuments(), Pace(backend.tick_seconds), -1, time.monotonic()
    while request.transport is not None and not request.transport.is_closing():
        updates = sent.updates(board.documents)
        began = time.monotonic()
        if pace.is_due(began):
            # Without a write there is nothing new, but a search by text may find what was indexed since.
            before, version = version, await backend.read(backend.reader.version)
            if before != version or query.text:
                page = await find_events(backend, query)
                pace.record(began, time.monotonic())
                if listed := sent.list_update(page):
                    updates["events"] = listed
        for name, document in updates.items():
            await response.write(f"event: {name}\ndata: {to_json(document)}\n\n".encode())
        if updates:
            sent_at = time.monotonic()
        elif time.monotonic() - sent_at > ALIVE_SECONDS:
            sent_at = time.monotonic()
            await response.write(b": still here\n\n")
        await asyncio.sleep(min(backend.tick_seconds, LOOK_SECONDS))


ROUTES: Final = [web.get("/api/live", live)]
