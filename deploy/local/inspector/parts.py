"""What the inspector reads and acts through."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web

from deploy.local.sendgrid.mailbox import Mailbox
from shared.cloud.local.blobs import LocalBlobs
from shared.cloud.local.journal import LocalJournal
from shared.cloud.local.journal_read import JournalReader
from shared.ports import Bus, Ledger

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Parts:
    """`thread` is where `reader` and `mailbox` are used, and nowhere else. `apis_url` is the emulated cloud's."""

    state: Path
    reader: JournalReader
    mailbox: Mailbox
    journal: LocalJournal
    ledger: Ledger
    blobs: LocalBlobs
    bus: Bus
    apis_url: str
    thread: ThreadPoolExecutor

    async def read(self, look: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self.thread, look)


PARTS: Final = web.AppKey("parts", Parts)
