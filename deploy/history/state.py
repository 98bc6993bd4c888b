"""What is kept of events, here or on a cloud, for the commands that look and act."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, Literal

from deploy.history.journal_view import JournalView
from deploy.terminal.command_error import CommandError
from shared.claim_check import checked_out
from shared.errors import Permanent
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.jsontext import JsonObject
from shared.ledger import Ledger, LedgerRow
from shared.ports import Blobs, Bus

LEAST_ID_CHARACTERS: Final = 6
MAX_DELIVERIES: Final = 1_000
_WORDS: Final = {"events": "event", "dead_letters": "dead letter"}


class StateFault(CommandError):
    """What keeps a command from its work, in words for a person."""


@dataclass(frozen=True, slots=True)
class State:
    """`ledger`, `blobs` and `bus` are opened on the caller's event loop; `bus` raises StateFault where there is none.

    `destinations`: the names that are known; none where that is not known.
    """

    reader: JournalView
    ledger: Callable[[], AbstractAsyncContextManager[Ledger]]
    blobs: Callable[[], AbstractAsyncContextManager[Blobs]]
    bus: Callable[[], AbstractAsyncContextManager[Bus]]
    destinations: Callable[[], Sequence[str]]

    def whole_id(self, kind: Literal["events", "dead_letters"], given: str) -> str:
        """The id that `given` is, or is the only one to begin with. Raises StateFault."""
        found = self.reader.ids_beginning(kind, given, 4)
        if given in found:
            return given
        word = _WORDS[kind]
        if not found:
            raise StateFault(f"no {word} has the id {given!r}, or one that begins so")
        if len(given) < LEAST_ID_CHARACTERS:
            raise StateFault(f"the beginning of an id has at least {LEAST_ID_CHARACTERS} characters; found {given!r}")
        if len(found) > 1:
            raise StateFault(f"more than one {word} begins with {given!r}: {', '.join(found[:3])} …")
        return found[0]

    def deliveries(self, event_id: str) -> list[LedgerRow]:
        """Oldest first."""
        return asyncio.run(self._deliveries(event_id))

    async def _deliveries(self, event_id: str) -> list[LedgerRow]:
        async with self.ledger() as ledger:
            return list(reversed(await ledger.rows(MAX_DELIVERIES, event_id=event_id)))

    def whole_event(self, document: JsonObject | None) -> JsonObject | None:
        """With the data that rests in a blob; without, where the blob is gone."""
        if document is None or "dataref" not in document:
            return document
        try:
            return to_cloudevent(asyncio.run(self._checked_out(from_cloudevent(document))))
        except Permanent:
            return document

    async def _checked_out(self, event: Event) -> Event:
        async with self.blobs() as blobs:
            return await checked_out(event, blobs)
