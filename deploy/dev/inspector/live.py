"""What changed, told to an open page: Server-Sent Events at /api/live, twice a second at most, differences only."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from deploy.dev.inspector.board import BOARD, Board
from deploy.dev.inspector.events_api import find_events
from deploy.dev.inspector.pace import Pace
from deploy.dev.inspector.parts import PARTS, Parts
from deploy.dev.inspector.query import event_query
from deploy.history.journal_view import EventQuery
from shared.jsontext import Json, JsonObject, to_json

LOOK_SECONDS: Final = 0.5
ALIVE_SECONDS: Final = 15.0


class Told:
    """What a page has been told so far."""

    def __init__(self) -> None:
        self._rows: dict[str, JsonObject] = {}
        self._documents: dict[str, JsonObject] = {}
        self._page: JsonObject = {}

    def news_of_list(self, page: JsonObject) -> JsonObject | None:
        """All of the list's ids in order, and only the rows that are new or other; None where nothing is."""
        if page == self._page:
            return None
        self._page, known, events = page, self._rows, page["events"]
        assert isinstance(events, list)
        self._rows = {str(row["id"]): row for row in events if isinstance(row, dict)}
        changed: list[Json] = [row for event_id, row in self._rows.items() if known.get(event_id) != row]
        ids: list[Json] = list(self._rows)
        return {**page, "events": changed, "ids": ids}

    def news(self, documents: Mapping[str, JsonObject]) -> dict[str, JsonObject]:
        news = {name: document for name, document in documents.items() if self._documents.get(name) != document}
        self._documents |= news
        return news


async def live(request: web.Request) -> web.StreamResponse:
    """`?source=…&text=…` and so on, as /api/events takes them: the list that the page shows."""
    query = event_query(request.query)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    board = request.app[BOARD]
    board.pages += 1
    try:
        with contextlib.suppress(ConnectionResetError):  # the page went away, as pages do
            await _tell(request.app[PARTS], board, query, response)
    finally:
        board.pages -= 1
    return response


async def _tell(parts: Parts, board: Board, query: EventQuery, response: web.StreamResponse) -> None:
    told, pace, version, spoke_at = Told(), Pace(parts.tick_seconds), -1, time.monotonic()
    while True:
        news = told.news(board.documents)
        began = time.monotonic()
        if pace.is_due(began):
            # Nobody has written: nothing to look for. But what is searched by text may have been indexed meanwhile.
            before, version = version, await parts.read(parts.reader.version)
            if before != version or query.text:
                page = await find_events(parts, query)
                pace.took(began, time.monotonic())
                if listed := told.news_of_list(page):
                    news["events"] = listed
        for name, document in news.items():
            await response.write(f"event: {name}\ndata: {to_json(document)}\n\n".encode())
        if news:
            spoke_at = time.monotonic()
        elif time.monotonic() - spoke_at > ALIVE_SECONDS:
            spoke_at = time.monotonic()
            await response.write(b": still here\n\n")
        await asyncio.sleep(min(parts.tick_seconds, LOOK_SECONDS))


ROUTES: Final = [web.get("/api/live", live)]
