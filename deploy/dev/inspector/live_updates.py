"""Live updates of the open pages.

A board reads the documents that are the same on every page, once for all of them and only while a page is open. The
list of events depends on what a page has selected, so each page has its own. A page is sent what changed.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from deploy.dev.inspector import api, records_api
from deploy.history import documents, journal_view
from shared.jsontext import Json, JsonObject, to_json

BOARD_SECONDS: Final = 0.25
"""The time between two looks at which documents are due."""
PLOT_SPAN_SECONDS: Final = 300.0
PLOT_BUCKETS: Final = 60
REST_FACTOR: Final = 60.0
"""After a reading, wait at least this many times as long as the reading took: an open page has five such readings."""
LOOK_SECONDS: Final = 0.5
"""The longest time between two looks for updates."""
ALIVE_SECONDS: Final = 15.0
"""The time without an update after which a comment is sent, so that no connection is closed as idle."""


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
    """A document that every open page shows: `overview`, `plots`, `sink` (caught mails and rows) or `hint`."""

    name: str
    pace: Pace
    read: Callable[[], Awaitable[JsonObject]]


class Board:
    """The documents that are the same on every open page, read once for all, and only while a page is open."""

    def __init__(self, documents: Sequence[BoardDocument]) -> None:
        self.newest: dict[str, JsonObject] = {}
        """The documents by name, as they were last read."""
        self.open_pages = 0
        self._documents = documents

    async def update(self) -> None:
        """Update the documents until cancelled."""
        while True:
            if self.open_pages:
                for each in self._documents:
                    began = time.monotonic()
                    if each.pace.is_due(began):
                        self.newest[each.name] = await each.read()
                        each.pace.record(began, time.monotonic())
            await asyncio.sleep(BOARD_SECONDS)


BOARD: Final = web.AppKey("board", Board)


async def plots(backend: api.Backend) -> JsonObject:
    """Return the document `plots`: the last PLOT_SPAN_SECONDS."""
    reader, now = backend.reader, time.time()
    buckets = await backend.in_thread(lambda: reader.series(now, PLOT_SPAN_SECONDS, PLOT_BUCKETS))
    return documents.series_document(buckets, PLOT_SPAN_SECONDS / PLOT_BUCKETS)


class SentDocuments:
    """The documents of the board and the list of events, as one page was last sent them."""

    def __init__(self) -> None:
        self._documents: dict[str, JsonObject] = {}
        self._list: JsonObject = {}
        self._rows: dict[str, JsonObject] = {}

    def changed_list(self, event_list: JsonObject) -> JsonObject | None:
        """Return the ids of the list in order and the rows that are new or changed, or None if nothing changed."""
        if event_list == self._list:
            return None
        self._list, sent_rows, events = event_list, self._rows, event_list["events"]
        assert isinstance(events, list)
        self._rows = {str(row["id"]): row for row in events if isinstance(row, dict)}
        changed: list[Json] = [row for event_id, row in self._rows.items() if sent_rows.get(event_id) != row]
        ids: list[Json] = list(self._rows)
        return {**event_list, "events": changed, "ids": ids}

    def changed_documents(self, documents: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
        """Return the documents that changed."""
        changed = {name: document for name, document in documents.items() if self._documents.get(name) != document}
        self._documents |= changed
        return changed


async def live(request: web.Request) -> web.StreamResponse:
    """Send updates of the list that the query selects, as for /api/events."""
    query = api.event_query(request.query)
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


async def _send_updates(request: web.Request, query: journal_view.EventQuery, response: web.StreamResponse) -> None:
    """Send updates until the page is closed, which a handler is not told of before it writes."""
    backend, board = request.app[api.BACKEND], request.app[BOARD]
    sent = SentDocuments()
    list_pace = Pace(backend.tick_seconds)
    listed_version = -1
    sent_at = time.monotonic()
    while request.transport is not None and not request.transport.is_closing():
        updates = sent.changed_documents(board.newest)
        began = time.monotonic()
        if list_pace.is_due(began):
            version = await backend.in_thread(backend.reader.version)
            # Without a write there is nothing new, but a search by text may find what was indexed since.
            if version != listed_version or query.text:
                listed_version = version
                event_list = await records_api.find_events(backend, query)
                list_pace.record(began, time.monotonic())
                if changed := sent.changed_list(event_list):
                    updates["events"] = changed
        for name, document in updates.items():
            await response.write(f"event: {name}\ndata: {to_json(document)}\n\n".encode())
        if updates:
            sent_at = time.monotonic()
        elif time.monotonic() - sent_at > ALIVE_SECONDS:
            sent_at = time.monotonic()
            await response.write(b": still here\n\n")
        await asyncio.sleep(min(backend.tick_seconds, LOOK_SECONDS))
