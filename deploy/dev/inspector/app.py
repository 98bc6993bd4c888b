"""The inspector beside `hookchain dev` and `hookchain serve`: the page, with what was caught.

It runs over one of two backends. The local one reads the files of the state folder, so it has charts, and it keeps the
journal complete. The other one reads the local AWS as `hookchain inspect` reads a cloud; only the rejected requests and
what was caught are in the state folder.

`python -m deploy.dev.inspector.app --port 8090 --state .hookchain`; with `--aws` in the environment of a function.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.config.local_ports import HOST
from deploy.config.page_token import page_token, page_url
from deploy.config.running_dev import config_faults, read_dev_file
from deploy.dev.caught import open_caught
from deploy.dev.inspector import api, caught_api, charts_api, journal_upkeep, server, sources_api, steps_api
from deploy.dev.inspector.live_updates import Board, BoardDocument, Pace, plots
from deploy.dev.inspector.page_access import EVENTS_ELSEWHERE, PageAccess
from deploy.dev.local_server import stopped_by_signal
from deploy.dev.supervisor.processes import PAGE_PASSWORD
from deploy.history import aws, cloud_journal, local, local_journal, status
from deploy.history.ports import closing_port
from deploy.secrets.local_secrets import secret_text
from shared.cloud.gcp import pubsub, tokens
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.documents import FILE_NAME as DOCUMENTS_FILE, LocalDocuments
from shared.cloud.local.journal import FILE_NAME as JOURNAL_FILE, LocalJournal
from shared.cloud.local.ledger import FILE_NAME as LEDGER_FILE, LocalLedger
from shared.jsontext import JsonObject
from shared.secrets import split_values
from shared.settings import DEFAULT_STATE, read_settings

# How often each document is read again while a page is open. A tick is that of the list of events and of the overview.
TICK_SECONDS: Final = 0.5
PLOT_SECONDS: Final = 2.0
AWS_TICK_SECONDS: Final = 1.0
AWS_PLOT_SECONDS: Final = 5.0
SINK_SECONDS: Final = 1.0
HINT_SECONDS: Final = 5.0
DEFAULT_APIS: Final = "127.0.0.1:8085"


async def serve(
    port: int,
    state: Path,
    environ: Mapping[str, str],
    stopped: asyncio.Event,
    is_up: Callable[[str], None] = lambda _: None,
    *,
    is_aws: bool = False,
    passwords: tuple[str, ...] | None = None,
) -> None:
    """Serve the page of a state folder until `stopped` is set. `is_up` gets the page's URL once it answers.

    `passwords` as in PageAccess. Raises OSError if the port is taken.
    """
    token = page_token(state)
    backend_of: Callable[[Path, Mapping[str, str]], AbstractAsyncContextManager[api.DevBackend]]
    backend_of = open_aws_backend if is_aws else open_local_backend
    async with backend_of(state, environ) as backend:
        app = make_app(backend, token, passwords)
        announce = partial(is_up, page_url(port, token))
        await server.serve_app(app, port, stopped, announce, any_user=passwords is not None)


@asynccontextmanager
async def open_local_backend(state: Path, environ: Mapping[str, str]) -> AsyncIterator[api.LocalBackend]:
    """Open the files of the state folder, and the bus of the emulated cloud at PUBSUB_EMULATOR_HOST."""
    apis = environ.get("PUBSUB_EMULATOR_HOST") or DEFAULT_APIS
    settings = read_settings({**environ, "PUBSUB_EMULATOR_HOST": apis})
    apis_url = f"http://{apis}"
    async with (
        closing_port(LocalJournal(state / JOURNAL_FILE)) as journal,
        closing_port(LocalLedger(state / LEDGER_FILE)) as ledger,
        closing_port(LocalDocuments(state / DOCUMENTS_FILE)) as documents,
        closing_port(
            pubsub.PubSubBus(apis_url, settings.project, settings.topic_prefix, tokens.no_authorization)
        ) as bus,
    ):
        with (
            local_journal.JournalReader(state / JOURNAL_FILE) as reader,
            open_caught(state) as caught,
            ThreadPoolExecutor(1, thread_name_prefix="inspector") as thread,
        ):
            yield api.LocalBackend(
                reader=reader,
                ledger=ledger,
                blobs=LocalBlobs(state / "blobs"),
                bus=bus,
                documents=documents,
                thread=thread,
                tick_seconds=TICK_SECONDS,
                read_slice=partial(local.read_slice, state),
                state=state,
                caught=caught,
                apis_url=apis_url,
                journal=journal,
            )


@asynccontextmanager
async def open_aws_backend(state: Path, environ: Mapping[str, str]) -> AsyncIterator[api.DevBackend]:
    """Open the local AWS that the environment names, and what only the state folder has: rejected and caught."""
    local_aws = aws.LocalAws.from_environ(environ)
    async with (
        closing_port(local_aws.make_ledger()) as ledger,
        closing_port(local_aws.make_blobs()) as blobs,
        closing_port(local_aws.make_bus()) as bus,
        closing_port(local_aws.make_documents()) as documents,
    ):
        with (
            local_journal.JournalReader(state / JOURNAL_FILE) as requests,
            closing(local_aws.make_journal(requests)) as journal,
            open_caught(state) as caught,
            ThreadPoolExecutor(1, thread_name_prefix="inspector") as thread,
        ):
            yield api.DevBackend(
                reader=journal,
                ledger=ledger,
                blobs=blobs,
                bus=bus,
                documents=documents,
                thread=thread,
                tick_seconds=AWS_TICK_SECONDS,
                read_slice=partial(local.read_slice, state),
                state=state,
                caught=caught,
                apis_url=local_aws.endpoint,
            )


def make_app(backend: api.DevBackend, token: str, passwords: tuple[str, ...] | None = None) -> web.Application:
    """Return the application. With `passwords`, it is the one of `hookchain serve`, which catches nothing."""
    is_catching = passwords is None
    board = Board(_live_documents(backend, is_catching=is_catching))
    access = PageAccess(token, lambda: events_advice(backend.state), passwords)
    outside = sources_api.OutsideFacts(partial(sources_api.read_local_outside, backend.state))
    tasks: list[Callable[[], Awaitable[None]]] = []
    charts: charts_api.JournalCharts | None = None
    if isinstance(backend, api.LocalBackend):
        charts = charts_api.JournalCharts(backend.reader)
        tasks = [
            partial(journal_upkeep.update_index, backend),
            partial(journal_upkeep.repair_journal, backend),
            partial(charts_api.count_ahead, backend, charts, lambda: board.open_pages > 0),
        ]
    app = server.base_app(backend, board, access, outside, tasks)
    if charts:
        app[charts_api.CHARTS] = charts
    app[api.LOCAL] = backend
    app.router.add_get("/api/events/{id}/steps", steps_api.show_steps)
    if is_catching:
        app.add_routes(caught_api.CAUGHT_ROUTES)
    return app


def _live_documents(backend: api.DevBackend, *, is_catching: bool) -> tuple[BoardDocument, ...]:
    """Return the documents that open pages get again whenever they change."""
    plot_seconds = PLOT_SECONDS if isinstance(backend, api.LocalBackend) else AWS_PLOT_SECONDS
    overview = partial(_overview, backend, is_catching=is_catching)
    sink = BoardDocument("sink", Pace(SINK_SECONDS), partial(caught_api.sink_state, backend))
    hint = partial(asyncio.to_thread, hint_document, backend.state)
    return (
        BoardDocument("overview", Pace(backend.tick_seconds), overview),
        BoardDocument("plots", Pace(plot_seconds), partial(plots, backend)),
        *([sink] if is_catching else []),
        BoardDocument("hint", Pace(HINT_SECONDS), hint),
    )


async def _overview(backend: api.DevBackend, *, is_catching: bool) -> JsonObject:
    """Return the counts above the lists, and what an operator must know: configuration faults, held destinations."""
    statuses, totals, mail_count = await backend.in_thread(
        lambda: (backend.reader.counts(), backend.reader.totals(), backend.caught.mailbox.count())
    )
    sheets = await caught_api.find_sheets(backend)
    # A cloud's journal counts its newest events only.
    newest: JsonObject = {} if isinstance(backend, api.LocalBackend) else {"newest": cloud_journal.COUNTED_EVENTS}
    return {
        "statuses": dict(statuses),
        **newest,
        "rejected": totals.rejected,
        "dead_letters": totals.dead_letters,
        "mail": mail_count if is_catching else None,
        "sheet_rows": await backend.in_thread(backend.caught.sheets.count) if sheets and is_catching else None,
        "config_faults": config_faults(backend.state),
        "held": [*await status.held_destinations(backend.ledger, backend.destinations(), time.time())],
    }


def events_advice(state: Path) -> str:
    """Return where a sender posts events to the running `hookchain dev`."""
    ports = local.running_ports(state)
    return f"http://localhost:{ports.receive}/NAME" if ports else EVENTS_ELSEWHERE


def hint_document(state: Path) -> JsonObject:
    """Return what the page shows before the first event: a command that sends one, and the sources with their URLs."""
    dev = read_dev_file(state)
    return {
        "trial": dev.trial if dev else "",
        "sources": [*dev.sources] if dev else [],
        "subscribers": local.read_slice(state, "subscribe") is not None,
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m deploy.dev.inspector.app", description="The page of hookchain dev.")
    parser.add_argument(
        "--port", type=int, default=server.DEFAULT_PORT, help=f"the port on {HOST} (default: %(default)s)"
    )
    parser.add_argument("--state", type=Path, default=Path(DEFAULT_STATE), help="the state folder of hookchain dev")
    parser.add_argument("--aws", action="store_true", help="read the local AWS that the environment names")
    parser.add_argument("--production", action="store_true", help="serve the page of hookchain serve, by password")
    options = parser.parse_args(arguments)
    asyncio.run(_run(options))
    return 0


async def _run(options: argparse.Namespace) -> None:
    # Without a value of the secret, there is no page.
    passwords = tuple(split_values(secret_text(PAGE_PASSWORD, os.environ) or "")) if options.production else None
    await serve(options.port, options.state, os.environ, stopped_by_signal(), is_aws=options.aws, passwords=passwords)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
