"""The state of `hookchain dev` on this machine: files in its state folder, and its bus or local AWS while it runs."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.config import local_ports, probe, running_dev
from deploy.history import journal_view, local_erasure, local_journal
from deploy.history.ports import StoredBlobs, closing_port
from deploy.history.state import State, StateFault, SubscriberStores
from shared import jsontext, store_ports
from shared.cloud.gcp import pubsub, tokens
from shared.cloud.kept_by_key import DocumentRecords
from shared.cloud.local import database, journal
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.documents import FILE_NAME as DOCUMENTS_FILE, LocalDocuments
from shared.cloud.local.ledger import FILE_NAME as LEDGER_FILE, LocalLedger
from shared.ledger import Ledger
from shared.ports import Bus
from shared.settings import LOCAL_PROJECT, read_settings

if TYPE_CHECKING:
    from deploy.history.aws import LocalAws

CONNECT_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 1.0
BEYOND_REACH: Final = (
    "messages on the bus: what is being processed is stored again or sent. Run the command again once "
    "`hookchain status` shows no backlog",
    "damaged files that a start of `hookchain dev` moved aside, and copies of the state folder that you made",
    "backups: `hookchain restore` erases it again, as long as the state folder that it replaces is there",
)


@contextmanager
def open_local_state(folder: Path) -> Iterator[State]:
    """Open the state in the folder. Raises StateFault if the folder has none."""
    path = folder / journal.FILE_NAME
    if not path.is_file():
        command = running_dev.start_command(folder)
        raise StateFault(f"{folder} has no events. `{command}` stores them there. {running_dev.OTHER_FOLDER}")
    aws = running_aws(folder)
    with ExitStack() as opened:
        local_reader = opened.enter_context(local_journal.JournalReader(path))
        reader: journal_view.JournalView = local_reader
        if aws is not None:  # its functions write a journal of its own, but the requests are noted in the local one
            reader = opened.enter_context(closing(aws.make_journal(local_reader)))
        # Only the journal is open. A command opens what else it needs.
        yield State(
            reader=reader,
            ledger=partial(open_local_ledger, folder),
            blobs=partial(open_local_blobs, folder),
            bus=partial(open_local_bus, folder, os.environ),
            records=partial(_open_records, folder),
            documents=partial(open_local_documents, folder),
            notify_slice=partial(read_slice, folder, "notify"),
            transform_slice=partial(read_slice, folder, "transform"),
            receive_slice=partial(read_slice, folder, "receive"),
            beyond_reach=BEYOND_REACH,
            rewrite_files=partial(local_erasure.rewrite_files, folder),
            lists_accepted=aws is None,
            troubles=partial(_troubles, folder),
        )


def _troubles(folder: Path) -> list[str]:
    """Return why events are not processed: nothing runs, a function does not answer, or the ledger is locked."""
    ports = running_ports(folder)
    if ports is None:
        return [f"nothing is processed until `{running_dev.start_command(folder)}` runs with this state folder"]
    troubles: list[str] = []
    if running_dev.read_aws_environ(folder) is None:  # there, a process answers even if its handler does not start
        named = {"transform": ports.transform, "notify": ports.notify}
        for name in asyncio.run(probe.silent_processes(named)):
            troubles.append(f"{name} does not answer: `hookchain logs --function {name}` may show why")
    return [*troubles, *ledger_faults(folder)]


def ledger_faults(folder: Path) -> Iterator[str]:
    """Yield why the ledger cannot be written."""
    if not (folder / LEDGER_FILE).is_file():
        return
    try:
        with closing(sqlite3.connect(folder / LEDGER_FILE, timeout=ANSWER_SECONDS)) as ledger:
            ledger.execute("BEGIN IMMEDIATE")
            ledger.rollback()
    except sqlite3.Error as error:
        holder = "; another program may have it open" if database.is_busy(error) else ""
        yield f"{folder / LEDGER_FILE}: {database.reason_of(error)}{holder}"


def running_aws(folder: Path) -> "LocalAws | None":
    """Return the local AWS that runs with this state folder; None if `hookchain dev` runs without it, or not at all."""
    environ = running_dev.read_aws_environ(folder)
    if environ is None:
        return None
    # Imported here, because it is slow to import and seldom needed.
    from deploy.history.aws import LocalAws

    return LocalAws.from_environ(environ)


# Each store is that of the local AWS if it runs, and otherwise in a file or a folder of the state folder.


def open_local_ledger(folder: Path) -> AbstractAsyncContextManager[Ledger]:
    aws = running_aws(folder)
    return closing_port(aws.make_ledger() if aws else LocalLedger(folder / LEDGER_FILE))


def _open_records(folder: Path) -> AbstractAsyncContextManager[store_ports.Records]:
    aws = running_aws(folder)
    return closing_port(
        aws.make_records() if aws else DocumentRecords(LocalDocuments(folder / "records.db", "records"))
    )


def open_local_documents(folder: Path) -> AbstractAsyncContextManager[store_ports.Documents]:
    aws = running_aws(folder)
    return closing_port(aws.make_documents() if aws else LocalDocuments(folder / DOCUMENTS_FILE))


def open_local_blobs(folder: Path) -> AbstractAsyncContextManager[StoredBlobs]:
    aws = running_aws(folder)
    return closing_port(aws.make_blobs()) if aws else nullcontext(LocalBlobs(folder / "blobs"))


@asynccontextmanager
async def open_local_stores(folder: Path) -> AsyncIterator[SubscriberStores]:
    """Open what the commands about subscribers use. Unlike `open_local_state`, it needs no event."""
    async with (
        open_local_documents(folder) as documents,
        open_local_ledger(folder) as ledger,
        open_local_blobs(folder) as blobs,
    ):
        yield SubscriberStores(documents, ledger, blobs, partial(open_local_bus, folder, os.environ))


def read_slice(folder: Path, function: str) -> jsontext.JsonObject | None:
    """Return the function's slice as `hookchain dev` last wrote it."""
    try:
        document: jsontext.Json = json.loads((folder / "slices" / f"{function}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


@asynccontextmanager
async def open_local_bus(folder: Path, environ: Mapping[str, str]) -> AsyncIterator[Bus]:
    """Open the bus of the running `hookchain dev`, or of another emulator; never Google's own.

    Raises StateFault if nothing answers. So a command does not mark anything as sent that it cannot send.
    """
    if aws := running_aws(folder):
        with closing(aws.make_bus()) as queues:
            yield queues
        return
    settings = read_settings(environ)
    host = settings.emulator_host or _own_bus(folder)
    await _require_answer(host, running_dev.start_command(folder))
    if settings.emulator_host:
        bus = pubsub.PubSubBus(f"http://{host}", settings.project, settings.topic_prefix, tokens.no_authorization)
    else:  # `hookchain dev` has its own project and prefix, whatever the environment names
        bus = pubsub.PubSubBus(f"http://{host}", LOCAL_PROJECT, "", tokens.no_authorization)
    try:
        yield bus
    finally:
        bus.close()


def _own_bus(folder: Path) -> str:
    """Return the address of the bus that runs with this folder. Raises StateFault if none does.

    Another `hookchain dev` may run on the ports from PORT_BASE. It must not get the events of this folder.
    """
    ports = running_ports(folder)
    if ports is None:
        start = running_dev.start_command(folder)
        raise StateFault(f"nothing runs with the state folder {folder}. Start `{start}` with it, then try again.")
    return f"{local_ports.HOST}:{ports.apis}"


async def _require_answer(host: str, start_command: str) -> None:
    """Raise StateFault if nothing accepts a connection at the address."""
    name, _, port = host.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(name.strip("[]"), int(port))
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise StateFault(f"the bus does not answer at {host}. Start `{start_command}`, then try again.") from error
    writer.close()


def expected_ports(folder: Path, environ: Mapping[str, str], has_subscribers: bool = False) -> local_ports.Ports:
    """Return the ports of the `hookchain dev` that runs with this state folder, else those from PORT_BASE."""
    return running_ports(folder) or local_ports.ports_from(local_ports.port_base(environ), has_subscribers)


def running_ports(folder: Path) -> local_ports.Ports | None:
    """Return the ports of the `hookchain dev` that runs with this state folder.

    Return None if none runs, or if one of another version has other ports.
    """
    dev = running_dev.read_dev_file(folder)
    return dev.ports if dev else None
