"""What `hookchain dev` keeps in its state folder."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from deploy.history.local_bus import local_bus
from deploy.history.local_read import JournalReader
from deploy.history.state import State, StateFault
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.journal import FILE_NAME
from shared.cloud.local.ledger import LocalLedger
from shared.cloud.local.ledger_tables import FILE_NAME as LEDGER_FILE
from shared.jsontext import Json


@contextmanager
def opened(folder: Path) -> Iterator[State]:
    """Raises StateFault where nothing is kept there."""
    path = folder / FILE_NAME
    if not path.is_file():
        raise StateFault(f"nothing is kept in {folder}: `make dev` keeps what happens there; --state names another")
    with JournalReader(path) as reader:
        yield State(
            reader=reader,
            ledger=partial(ledger_in, folder),
            blobs=partial(_blobs, folder),
            bus=lambda: local_bus(folder, os.environ),
            destinations=partial(destination_names, folder),
        )


@asynccontextmanager
async def ledger_in(folder: Path) -> AsyncIterator[LocalLedger]:
    ledger = LocalLedger(folder / LEDGER_FILE)
    try:
        yield ledger
    finally:
        await ledger.close()


@asynccontextmanager
async def _blobs(folder: Path) -> AsyncIterator[LocalBlobs]:
    yield LocalBlobs(folder / "blobs")


def destination_names(folder: Path) -> tuple[str, ...]:
    """From notify's slice; none where there is no slice."""
    try:
        document: Json = json.loads((folder / "slices" / "notify.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    destinations = document.get("destinations") if isinstance(document, dict) else None
    return tuple(destinations) if isinstance(destinations, dict) else ()
