"""The ports that the inspector reads and acts through."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web

from deploy.dev.caught import Caught
from deploy.dev.sendgrid.mailbox import Mailbox
from deploy.history.journal_view import JournalView
from deploy.history.local_journal import JournalReader
from deploy.history.state import ConfiguredDestinations, configured_destinations
from shared.cloud.local.journal import LocalJournal
from shared.jsontext import JsonObject
from shared.ledger import Ledger
from shared.ports import Blobs, Bus
from shared.store_ports import Documents

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Backend:
    """The ports on any platform.

    `reader` is used in `thread` only. `documents` are those of subscribers. `tick_seconds`: how often a page gets
    updates. `notify_slice` returns notify's slice of the configuration; None if it is not known.
    """

    reader: JournalView
    ledger: Ledger
    blobs: Blobs
    bus: Bus
    documents: Documents
    thread: ThreadPoolExecutor
    tick_seconds: float
    notify_slice: Callable[[], JsonObject | None]

    def destinations(self) -> ConfiguredDestinations:
        """Return the destinations of the configuration; none if it is not known."""
        return configured_destinations(self.notify_slice())

    async def read(self, call: Callable[[], Answer]) -> Answer:
        """Return what `call` returns in `thread`."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, call)


@dataclass(frozen=True, slots=True)
class DevBackend(Backend):
    """The backend beside `hookchain dev`. `caught` too is used in `thread` only; `apis_url`: the emulated cloud."""

    state: Path
    caught: Caught
    apis_url: str

    @property
    def mailbox(self) -> Mailbox:
        return self.caught.mailbox


@dataclass(frozen=True, slots=True)
class LocalBackend(DevBackend):
    """The backend over the state folder."""

    reader: JournalReader
    journal: LocalJournal


BACKEND: Final = web.AppKey("backend", Backend)
LOCAL: Final = web.AppKey("local", DevBackend)
"""Present only beside `hookchain dev`."""
