"""Live updates of an open page: the list of events that it shows, and the documents of the board."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from deploy.dev.inspector import api, records_api
from deploy.dev.inspector.board import BOARD, Pace
from deploy.history import journal_view
from shared.jsontext import Json, JsonObject, to_json

LOOK_SECONDS: Final = 0.5
"""The longest time between two looks for updates."""
ALIVE_SECONDS: Final = 15.0
"""The time without an update after which a comment is sent, so that no connection is closed as idle."""


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
            version = await backend.read(backend.reader.version)
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
