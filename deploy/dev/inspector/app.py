"""The inspector beside `hookchain dev`: a page that shows what happens to events, and its JSON interface.

`python -m deploy.dev.inspector.app --port 8090 --state .hookchain`
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from aiohttp import web

from deploy.config.running_dev import config_faults, read_hint
from deploy.dev.caught import open_caught
from deploy.dev.inspector import mail_api, sheets_api, steps_api
from deploy.dev.inspector.backend import LOCAL, DevBackend, LocalBackend
from deploy.dev.inspector.base_app import DEFAULT_PORT, base_app, serve_app, stopped_by_signal
from deploy.dev.inspector.journal_upkeep import repair_journal, update_index
from deploy.dev.inspector.live_updates import Board, BoardDocument, Pace, plots
from deploy.history.local import read_slice
from deploy.history.local_journal import JournalReader
from deploy.history.status import held_destinations
from shared.cloud.gcp.pubsub import PubSubBus
from shared.cloud.gcp.tokens import no_authorization
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.documents import FILE_NAME as DOCUMENTS_FILE
from shared.cloud.local.documents import LocalDocuments
from shared.cloud.local.journal import FILE_NAME, LocalJournal
from shared.cloud.local.ledger import FILE_NAME as LEDGER_FILE
from shared.cloud.local.ledger import LocalLedger
from shared.jsontext import JsonObject
from shared.settings import DEFAULT_STATE, Settings, read_settings

TICK_SECONDS: Final = 0.5
DEFAULT_APIS: Final = "127.0.0.1:8085"
ServePage: TypeAlias = Callable[[int, Path, Mapping[str, str], asyncio.Event], Awaitable[None]]
"""It serves the page of a state folder at a port until the event is set."""


@asynccontextmanager
async def open_backend(state: Path, apis: str, settings: Settings) -> AsyncIterator[LocalBackend]:
    apis_url = f"http://{apis}"
    journal, ledger = LocalJournal(state / FILE_NAME), LocalLedger(state / LEDGER_FILE)
    documents = LocalDocuments(state / DOCUMENTS_FILE)
    bus = PubSubBus(apis_url, settings.project, settings.topic_prefix, no_authorization)
    reader, stack = JournalReader(state / FILE_NAME), ExitStack()
    thread = ThreadPoolExecutor(1, thread_name_prefix="inspector")
    try:
        yield LocalBackend(
            reader=reader,
            ledger=ledger,
            blobs=LocalBlobs(state / "blobs"),
            bus=bus,
            documents=documents,
            thread=thread,
            tick_seconds=TICK_SECONDS,
            notify_slice=partial(read_slice, state, "notify"),
            state=state,
            caught=stack.enter_context(open_caught(state)),
            journal=journal,
            apis_url=apis_url,
        )
    finally:
        thread.shutdown()
        reader.close()
        stack.close()
        await journal.close()
        await ledger.close()
        documents.close()
        bus.close()


def make_app(backend: LocalBackend) -> web.Application:
    return dev_app(backend, 2.0, (partial(update_index, backend), partial(repair_journal, backend)))


def dev_app(
    backend: DevBackend,
    plot_seconds: float,
    tasks: Sequence[Callable[[], Awaitable[None]]] = (),
    newest: int | None = None,
) -> web.Application:
    """Return the page beside `hookchain dev`, with what was caught. `newest`: its counts are of that many events."""
    documents = (
        BoardDocument("overview", Pace(backend.tick_seconds), lambda: _overview(backend, newest, time.time())),
        BoardDocument("plots", Pace(plot_seconds), partial(plots, backend)),
        BoardDocument("sink", Pace(1.0), partial(mail_api.sink_state, backend)),
        BoardDocument("hint", Pace(5.0), lambda: asyncio.to_thread(hint_document, backend.state)),
    )
    app = base_app(backend, Board(documents), tasks)
    app[LOCAL] = backend
    app.add_routes([*mail_api.ROUTES, *sheets_api.ROUTES, *steps_api.ROUTES])
    return app


async def _overview(backend: DevBackend, newest: int | None, now: float) -> JsonObject:
    """Return the counts above the lists, and what an operator must know: configuration faults, held destinations."""
    counts = await backend.read(lambda: (backend.reader.counts(), backend.reader.totals(), backend.mailbox.count()))
    statuses, totals, mails = counts
    sheets = await sheets_api.find_sheets(backend)
    return {
        "statuses": dict(statuses),
        **({} if newest is None else {"newest": newest}),
        "rejected": totals.rejected,
        "dead_letters": totals.dead_letters,
        "mail": mails,
        "sheet_rows": await backend.read(backend.caught.sheets.count) if sheets else None,
        "config_faults": config_faults(backend.state),
        "held": await held_destinations(backend.ledger, backend.destinations(), now),
    }


def hint_document(state: Path) -> JsonObject:
    hint = read_hint(state)
    found: JsonObject = {"trial": hint.trial, "sources": list(hint.sources)} if hint else {"trial": "", "sources": []}
    return {**found, "subscribers": read_slice(state, "subscribe") is not None}


async def serve(
    port: int,
    state: Path,
    environ: Mapping[str, str],
    stopped: asyncio.Event,
    is_up: Callable[[], None] = lambda: None,
) -> None:
    settings = read_settings({"PUBSUB_EMULATOR_HOST": DEFAULT_APIS, **environ})
    async with open_backend(state, settings.emulator_host or DEFAULT_APIS, settings) as backend:
        await serve_app(make_app(backend), port, stopped, is_up)


def run_page(module: str, serve_page: ServePage, arguments: list[str]) -> int:
    """Serve the page of `hookchain dev` until a signal. `module` is what runs."""
    parser = argparse.ArgumentParser(f"python -m {module}", description="The page of hookchain dev.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="the port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--state", type=Path, default=Path(DEFAULT_STATE), help="the state folder of hookchain dev")
    options = parser.parse_args(arguments)

    async def run() -> None:
        await serve_page(options.port, options.state, os.environ, stopped_by_signal())

    asyncio.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(run_page("deploy.dev.inspector.app", serve, sys.argv[1:]))
