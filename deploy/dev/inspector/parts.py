"""What the inspector reads and acts through."""

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
class Parts:
    """`thread` is where `reader` is used, and nowhere else. `tick_seconds`: how often an open page is told news."""

    reader: JournalView
    ledger: Ledger
    blobs: Blobs
    bus: Bus
    thread: ThreadPoolExecutor
    tick_seconds: float

    async def read(self, look: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self.thread, look)


@dataclass(frozen=True, slots=True)
class LocalParts(Parts):
    """What `hookchain dev` has besides. `mailbox` too is used in `thread`; `apis_url` is the emulated cloud's."""

    reader: JournalReader
    state: Path
    mailbox: Mailbox
    journal: LocalJournal
    apis_url: str


PARTS: Final = web.AppKey("parts", Parts)
LOCAL: Final = web.AppKey("local", LocalParts)
"""There only beside `hookchain dev`."""
