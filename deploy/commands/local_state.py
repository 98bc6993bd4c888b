"""What `hookchain dev` keeps in its state folder, for the commands that look and act."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from shared.claim_check import checked_out
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.journal_lookup import ids_beginning
from shared.cloud.local.journal_read import JournalReader
from shared.cloud.local.journal_schema import FILE_NAME, open_journal
from shared.cloud.local.ledger import LocalLedger
from shared.errors import Permanent
from shared.event import from_cloudevent, to_cloudevent
from shared.jsontext import JsonObject
from shared.ports import LedgerRow

LEAST_ID_CHARACTERS: Final = 6
MAX_DELIVERIES: Final = 1_000
_WORDS: Final = {"events": "event", "dead_letters": "dead letter"}


class StateFault(Exception):
    """What keeps a command from its work, in words for a person."""


@dataclass(frozen=True, slots=True)
class LocalState:
    """`connection` is for the lookups that `reader` has not."""

    folder: Path
    reader: JournalReader
    connection: sqlite3.Connection

    @property
    def journal(self) -> Path:
        return self.folder / FILE_NAME

    def whole_id(self, table: Literal["events", "dead_letters"], given: str) -> str:
        """The id that `given` is, or is the only one to begin with. Raises StateFault."""
        found = ids_beginning(self.connection, table, given, 4)
        if given in found:
            return given
        word = _WORDS[table]
        if not found:
            raise StateFault(f"no {word} has the id {given!r}, or one that begins so")
        if len(given) < LEAST_ID_CHARACTERS:
            raise StateFault(f"the beginning of an id has at least {LEAST_ID_CHARACTERS} characters; found {given!r}")
        if len(found) > 1:
            raise StateFault(f"more than one {word} begins with {given!r}: {', '.join(found[:3])} …")
        return found[0]

    def deliveries(self, event_id: str) -> list[LedgerRow]:
        """Oldest first."""
        return asyncio.run(_deliveries(self.folder / "ledger.db", event_id))

    def whole_event(self, document: JsonObject | None) -> JsonObject | None:
        """With the data that rests in a blob; without, where the blob is gone."""
        if document is None or "dataref" not in document:
            return document
        try:
            event = asyncio.run(checked_out(from_cloudevent(document), LocalBlobs(self.folder / "blobs")))
        except Permanent:
            return document
        return to_cloudevent(event)


async def _deliveries(path: Path, event_id: str) -> list[LedgerRow]:
    ledger = LocalLedger(path)
    try:
        return list(reversed(await ledger.rows(MAX_DELIVERIES, event_id=event_id)))
    finally:
        await ledger.close()


@contextmanager
def opened(folder: Path) -> Iterator[LocalState]:
    """Raises StateFault where nothing is kept there."""
    path = folder / FILE_NAME
    if not path.is_file():
        raise StateFault(f"nothing is kept in {folder}: `make dev` keeps what happens there; --state names another")
    with JournalReader(path) as reader, closing(open_journal(path)) as connection:
        yield LocalState(folder, reader, connection)
