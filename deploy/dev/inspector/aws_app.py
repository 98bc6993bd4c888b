"""The inspector beside `hookchain dev --platform aws`: the page over the local AWS, with caught mails.

`python -m deploy.dev.inspector.aws_app --port 8090 --state .hookchain`, in the environment of a function.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.config.dev_file import config_faults
from deploy.dev.aws.topology import place_at
from deploy.dev.inspector import mail_api, steps_api
from deploy.dev.inspector.app import hint_document
from deploy.dev.inspector.backend import LOCAL, DevBackend
from deploy.dev.inspector.base_app import DEFAULT_PORT, base_app, serve_app, stopped_by_signal
from deploy.dev.inspector.live import Board, BoardDocument, Pace, plots
from deploy.dev.sendgrid.mailbox import Mailbox
from deploy.history.cloud_journal import COUNTED_EVENTS, CloudJournal
from deploy.history.dynamo_read import DynamoJournalReader
from deploy.history.journal_view import EventRecord, RequestRow, Totals
from deploy.history.local import destination_names
from deploy.history.local_read import JournalReader
from deploy.history.status import held_destinations
from shared.cloud.aws.dynamo import Dynamo
from shared.cloud.aws.ledger import DynamoLedger
from shared.cloud.aws.s3 import S3Blobs
from shared.cloud.aws.sqs import SqsBus
from shared.cloud.local.journal import FILE_NAME
from shared.jsontext import JsonObject
from shared.settings import DEFAULT_STATE, read_settings

TICK_SECONDS: Final = 1.0


class DevJournal(CloudJournal):
    """The journal in the local AWS, with the requests that receive's log brought into the state folder."""

    def __init__(self, store: Dynamo, blobs: S3Blobs, requests: JournalReader) -> None:
        super().__init__(DynamoJournalReader(store, blobs), (store, blobs))
        self._requests = requests

    def event(self, event_id: str) -> EventRecord | None:
        record, received = super().event(event_id), self._requests.event(event_id)
        if record is None:  # transform has not seen it yet
            return received
        return replace(record, requests=received.requests) if received else record

    def rejected(self, limit: int, before: int | None = None) -> tuple[RequestRow, ...]:
        return self._requests.rejected(limit, before)

    def totals(self) -> Totals:
        return Totals(self._requests.totals().rejected, super().totals().dead_letters)


@asynccontextmanager
async def open_backend(state: Path, environ: Mapping[str, str]) -> AsyncIterator[DevBackend]:
    settings = read_settings(environ)
    assert settings.aws_endpoint
    assert settings.bucket
    place, prefix, bucket = place_at(settings.aws_endpoint), settings.table_prefix, settings.bucket
    ledger, blobs, bus = DynamoLedger(place, prefix), S3Blobs(place, bucket), SqsBus(place, settings.queues)
    thread = ThreadPoolExecutor(1, thread_name_prefix="inspector")
    with closing(JournalReader(state / FILE_NAME)) as requests, closing(Mailbox(state)) as mailbox:
        journal = DevJournal(Dynamo(place, prefix, "journal_unavailable"), S3Blobs(place, bucket), requests)
        try:
            yield DevBackend(journal, ledger, blobs, bus, thread, TICK_SECONDS, state, mailbox, settings.aws_endpoint)
        finally:
            thread.shutdown()
            await asyncio.to_thread(journal.close)
            for port in (ledger, blobs, bus):
                port.close()
            await asyncio.sleep(0)  # lets their connections close


def make_app(backend: DevBackend) -> web.Application:
    documents = (
        BoardDocument("overview", Pace(TICK_SECONDS), lambda: _overview(backend, time.time())),
        BoardDocument("plots", Pace(5.0), partial(plots, backend)),
        BoardDocument("sink", Pace(1.0), partial(mail_api.sink_state, backend)),
        BoardDocument("hint", Pace(5.0), lambda: asyncio.to_thread(hint_document, backend.state)),
    )
    app = base_app(backend, Board(documents))
    app[LOCAL] = backend
    app.add_routes([*mail_api.ROUTES, *steps_api.ROUTES])
    return app


async def _overview(backend: DevBackend, now: float) -> JsonObject:
    counts = await backend.read(lambda: (backend.reader.counts(), backend.reader.totals(), backend.mailbox.count()))
    statuses, totals, mails = counts
    return {
        "statuses": dict(statuses),
        "newest": COUNTED_EVENTS,
        "rejected": totals.rejected,
        "dead_letters": totals.dead_letters,
        "mail": mails,
        "config_faults": config_faults(backend.state),
        "held": await held_destinations(backend.ledger, destination_names(backend.state), now),
    }


async def _run(options: argparse.Namespace) -> None:
    async with open_backend(options.state, os.environ) as backend:
        await serve_app(make_app(backend), options.port, stopped_by_signal())


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m deploy.dev.inspector.aws_app", description="The page of hookchain dev.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="the port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--state", type=Path, default=Path(DEFAULT_STATE), help="the state folder of hookchain dev")
    asyncio.run(_run(parser.parse_args(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
