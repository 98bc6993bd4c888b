"""The ports that the inspector reads and acts through."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web

from deploy.dev.sendgrid.mailbox import Mailbox
from deploy.history.journal_view import JournalView
from deploy.history.local_read import JournalReader
from shared.cloud.local.journal import LocalJournal
from shared.ledger import Ledger
from shared.ports import Blobs, Bus

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Backend:
    """The ports on any platform. `reader` is used in `thread` only. `tick_seconds`: how often a page gets updates."""

    reader: JournalView
    ledger: Ledger
    blobs: Blobs
    bus: Bus
    thread: ThreadPoolExecutor
    tick_seconds: float

    async def read(self, call: Callable[[], Answer]) -> Answer:
        """Return what `call` returns in `thread`."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, call)


@dataclass(frozen=True, slots=True)
class LocalBackend(Backend):
    """The backend beside `hookchain dev`. `mailbox` too is used in `thread` only; `apis_url`: the emulated cloud."""

    reader: JournalReader
    state: Path
    mailbox: Mailbox
    journal: LocalJournal
    apis_url: str


BACKEND: Final = web.AppKey("backend", Backend)
LOCAL: Final = web.AppKey("local", LocalBackend)
"""Present only beside `hookchain dev`."""
