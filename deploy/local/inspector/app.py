"""The inspector: one page on what happens to events, and the JSON it is made of, for this machine alone.

`python -m deploy.local.inspector.app --port 8090 --state .hookchain`
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.local.guard import local_only
from deploy.local.inspector import actions_api, events_api, live, mail_api, page
from deploy.local.inspector.answers import MAX_BODY_BYTES, faults_in_words
from deploy.local.inspector.board import BOARD, Board
from deploy.local.inspector.gate import add_headers, same_site_only
from deploy.local.inspector.parts import PARTS, Parts
from deploy.local.inspector.upkeep import again_and_again, keep_index, keep_repairing
from deploy.local.sendgrid.mailbox import Mailbox
from shared.cloud.gcp.pubsub import PubSubBus, no_authorization
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.journal import LocalJournal
from shared.cloud.local.journal_read import JournalReader
from shared.cloud.local.journal_schema import FILE_NAME
from shared.cloud.local.ledger import LocalLedger
from shared.settings import DEFAULT_STATE, Settings, read_settings

HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8090
DEFAULT_APIS: Final = "127.0.0.1:8085"


@asynccontextmanager
async def open_parts(state: Path, apis: str, settings: Settings) -> AsyncIterator[Parts]:
    apis_url = f"http://{apis}"
    journal, ledger = LocalJournal(state / FILE_NAME), LocalLedger(state / "ledger.db")
    bus = PubSubBus(apis_url, settings.project, settings.topic_prefix, no_authorization)
    reader, mailbox = JournalReader(state / FILE_NAME), Mailbox(state)
    thread = ThreadPoolExecutor(1, thread_name_prefix="inspector")
    try:
        yield Parts(state, reader, mailbox, journal, ledger, LocalBlobs(state / "blobs"), bus, apis_url, thread)
    finally:
        thread.shutdown()
        reader.close()
        mailbox.close()
        await journal.close()
        await ledger.close()
        bus.close()


def make_app(parts: Parts) -> web.Application:
    app = web.Application(middlewares=[local_only, same_site_only, faults_in_words], client_max_size=MAX_BODY_BYTES)
    app[PARTS], app[BOARD] = parts, Board(parts)
    for module in (page, events_api, mail_api, actions_api, live):
        app.add_routes(module.ROUTES)
    app.on_response_prepare.append(add_headers)
    app.cleanup_ctx.append(_duties)
    return app


async def _duties(app: web.Application) -> AsyncIterator[None]:
    parts, board = app[PARTS], app[BOARD]
    works = (board.keep, partial(keep_index, parts), partial(keep_repairing, parts))
    tasks = [asyncio.create_task(again_and_again(work)) for work in works]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def serve(port: int, state: Path, environ: Mapping[str, str], stopped: asyncio.Event) -> None:
    settings = read_settings({"PUBSUB_EMULATOR_HOST": DEFAULT_APIS, **environ})
    async with open_parts(state, settings.emulator_host or DEFAULT_APIS, settings) as parts:
        runner = web.AppRunner(make_app(parts), access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
            await stopped.wait()
        finally:
            await runner.cleanup()


async def _run(options: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await serve(options.port, options.state, os.environ, stopped)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m deploy.local.inspector.app", description="The page of hookchain dev.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="the port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--state", type=Path, default=Path(DEFAULT_STATE), help="the state folder of hookchain dev")
    asyncio.run(_run(parser.parse_args(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
