"""The inspector beside `hookchain dev --platform aws`: the page over the local AWS, with caught mails.

`python -m deploy.dev.inspector.aws_app --port 8090 --state .hookchain`, in the environment of a function.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.dev.caught import open_caught
from deploy.dev.inspector.app import dev_app, run_page
from deploy.dev.inspector.backend import DevBackend
from deploy.dev.inspector.base_app import serve_app
from deploy.history.cloud_journal import COUNTED_EVENTS
from deploy.history.local import read_slice
from deploy.history.local_aws import LocalAws
from deploy.history.local_journal import JournalReader
from shared.cloud.local.journal import FILE_NAME

TICK_SECONDS: Final = 1.0


@asynccontextmanager
async def open_backend(state: Path, environ: Mapping[str, str]) -> AsyncIterator[DevBackend]:
    aws = LocalAws.from_environ(environ)
    ledger, blobs, bus, documents = aws.make_ledger(), aws.make_blobs(), aws.make_bus(), aws.make_documents()
    thread = ThreadPoolExecutor(1, thread_name_prefix="inspector")
    with closing(JournalReader(state / FILE_NAME)) as requests, open_caught(state) as caught:
        journal, notify_slice = aws.make_journal(requests), partial(read_slice, state, "notify")
        try:
            yield DevBackend(
                *(journal, ledger, blobs, bus, documents, thread),
                *(TICK_SECONDS, notify_slice, state, caught, aws.endpoint),
            )
        finally:
            thread.shutdown()
            await asyncio.to_thread(journal.close)
            for port in (ledger, blobs, bus, documents):
                port.close()
            await asyncio.sleep(0)  # lets their connections close


def make_app(backend: DevBackend) -> web.Application:
    return dev_app(backend, 5.0, newest=COUNTED_EVENTS)


async def serve(
    port: int, state: Path, environ: Mapping[str, str], stopped: asyncio.Event, is_up: Callable[[], None] = lambda: None
) -> None:
    """Serve the page until `stopped` is set. Raises OSError if the port is taken."""
    async with open_backend(state, environ) as backend:
        await serve_app(make_app(backend), port, stopped, is_up)


if __name__ == "__main__":
    sys.exit(run_page("deploy.dev.inspector.aws_app", serve, sys.argv[1:]))
