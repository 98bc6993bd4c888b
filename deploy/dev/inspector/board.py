"""The documents that are the same on every open page, and how often each is read."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from deploy.dev.inspector import api
from deploy.history import documents
from shared.jsontext import JsonObject

BOARD_SECONDS: Final = 0.25
"""The time between two looks at which documents are due."""
PLOT_SPAN_SECONDS: Final = 300.0
PLOT_BUCKETS: Final = 60
REST_FACTOR: Final = 60.0
"""After a reading, wait at least this many times as long as the reading took: an open page has five such readings."""


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
    buckets = await backend.read(lambda: reader.series(now, PLOT_SPAN_SECONDS, PLOT_BUCKETS))
    return documents.series_document(buckets, PLOT_SPAN_SECONDS / PLOT_BUCKETS)
