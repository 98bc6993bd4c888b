"""What every open page shows alike, looked up once for all of them, and only while there is one."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiohttp import web

from deploy.dev.inspector.apis import is_unplugged, read_faults
from deploy.dev.inspector.overview import hint_document, overview
from deploy.dev.inspector.pace import Pace
from deploy.dev.inspector.parts import LocalParts, Parts
from deploy.history.documents import series_document
from shared.errors import Temporary
from shared.jsontext import JsonObject

TICK_SECONDS: Final = 0.25
PLOT_SPAN_SECONDS: Final = 300.0
PLOT_BUCKETS: Final = 60


@dataclass(frozen=True, slots=True)
class Look:
    """`name` is the document's: overview, plots, sink or hint."""

    name: str
    pace: Pace
    look: Callable[[], Awaitable[JsonObject]]


class Board:
    """`documents` by name. `pages` is how many are open."""

    def __init__(self, looks: Sequence[Look]) -> None:
        self.documents: dict[str, JsonObject] = {}
        self.pages = 0
        self._looks = looks

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            if self.pages:
                for each in self._looks:
                    began = time.monotonic()
                    if each.pace.is_due(began):
                        self.documents[each.name] = await each.look()
                        each.pace.took(began, time.monotonic())
            await asyncio.sleep(TICK_SECONDS)


def local_looks(parts: LocalParts) -> tuple[Look, ...]:
    return (
        Look("overview", Pace(0.5), lambda: overview(parts, time.time())),
        Look("plots", Pace(2.0), partial(plots, parts)),
        Look("sink", Pace(1.0), partial(_sink, parts)),
        Look("hint", Pace(5.0), lambda: asyncio.to_thread(hint_document, parts.state)),
    )


async def plots(parts: Parts) -> JsonObject:
    reader, now = parts.reader, time.time()
    buckets = await parts.read(lambda: reader.series(now, PLOT_SPAN_SECONDS, PLOT_BUCKETS))
    return series_document(buckets, PLOT_SPAN_SECONDS / PLOT_BUCKETS)


async def _sink(parts: LocalParts) -> JsonObject:
    try:
        return {"answers": True, "plugged": not is_unplugged(await read_faults(parts.apis_url))}
    except Temporary:
        return {"answers": False, "plugged": True}


BOARD: Final = web.AppKey("board", Board)
