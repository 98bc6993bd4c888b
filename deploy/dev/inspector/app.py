"""The inspector: one page on what happens to events, and the JSON it is made of, for this machine alone.

`python -m deploy.dev.inspector.app --port 8090 --state .hookchain`
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.dev.inspector import actions_api, mail_api, steps_api
from deploy.dev.inspector.base_app import DEFAULT_PORT, base_app, serve_app, stopped_by_signal
from deploy.dev.inspector.board import Board, local_looks
from deploy.dev.inspector.parts import LOCAL, LocalParts
from deploy.dev.inspector.upkeep import keep_index, keep_repairing
from deploy.dev.sendgrid.mailbox import Mailbox
from deploy.history.local_read import JournalReader
from shared.cloud.gcp.pubsub import PubSubBus
from shared.cloud.gcp.tokens import no_authorization
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.journal import FILE_NAME, LocalJournal
from shared.cloud.local.ledger import LocalLedger
from shared.cloud.local.ledger_tables import FILE_NAME as LEDGER_FILE
from shared.settings import DEFAULT_STATE, Settings, read_settings

TICK_SECONDS: Final = 0.5
DEFAULT_APIS: Final = "127.0.0.1:8085"


@asynccontextmanager
async def open_parts(state: Path, apis: str, settings: Settings) -> AsyncIterator[LocalParts]:
    apis_url = f"http://{apis}"
    journal, ledger = LocalJournal(state / FILE_NAME), LocalLedger(state / LEDGER_FILE)
    bus = PubSubBus(apis_url, settings.project, settings.topic_prefix, no_authorization)
    reader, mailbox = JournalReader(state / FILE_NAME), Mailbox(state)
    thread = ThreadPoolExecutor(1, thread_name_prefix="inspector")
    try:
        yield LocalParts(
            reader=reader,
            ledger=ledger,
            blobs=LocalBlobs(state / "blobs"),
            bus=bus,
            thread=thread,
            tick_seconds=TICK_SECONDS,
            state=state,
            mailbox=mailbox,
            journal=journal,
            apis_url=apis_url,
        )
    finally:
        thread.shutdown()
        reader.close()
        mailbox.close()
        await journal.close()
        await ledger.close()
        bus.close()


def make_app(parts: LocalParts) -> web.Application:
    works = (partial(keep_index, parts), partial(keep_repairing, parts))
    app = base_app(parts, Board(local_looks(parts)), works)
    app[LOCAL] = parts
    app.add_routes([*mail_api.ROUTES, *actions_api.LOCAL_ROUTES, *steps_api.ROUTES])
    return app


async def serve(
    port: int,
    state: Path,
    environ: Mapping[str, str],
    stopped: asyncio.Event,
    is_up: Callable[[], None] = lambda: None,
) -> None:
    settings = read_settings({"PUBSUB_EMULATOR_HOST": DEFAULT_APIS, **environ})
    async with open_parts(state, settings.emulator_host or DEFAULT_APIS, settings) as parts:
        await serve_app(make_app(parts), port, stopped, is_up)


async def _run(options: argparse.Namespace) -> None:
    await serve(options.port, options.state, os.environ, stopped_by_signal())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m deploy.dev.inspector.app", description="The page of hookchain dev.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="the port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--state", type=Path, default=Path(DEFAULT_STATE), help="the state folder of hookchain dev")
    asyncio.run(_run(parser.parse_args(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
