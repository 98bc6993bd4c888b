"""Receive's log lines into the journal, gathered: a few transactions a second, however many requests."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from deploy.history.local_requests import RequestEntry, request_from_line, write_requests
from shared.cloud.local.database import reason_of, transaction
from shared.cloud.local.journal import FILE_NAME, open_journal

GATHER_SECONDS: Final = 0.2
MAX_WAITING: Final = 50_000


class RequestFeed:
    def __init__(self, state: Path, say: Callable[[str, str], None]) -> None:
        self._path = state / FILE_NAME
        self._say = say
        self._waiting: list[RequestEntry] = []
        self._arrived = asyncio.Event()
        self._connection: sqlite3.Connection | None = None

    def take(self, line: str) -> None:
        """What is not a request's line is left aside; so is what passes the bound, for the page is no ledger."""
        entry = request_from_line(line)
        if entry and len(self._waiting) < MAX_WAITING:
            self._waiting.append(entry)
            self._arrived.set()

    async def run(self) -> None:
        """Until cancelled; what came until then is written."""
        try:
            while True:
                await self._arrived.wait()
                self._tell(await asyncio.to_thread(self._flush))
                await asyncio.sleep(GATHER_SECONDS)
        finally:
            self._tell(self._flush())
            if self._connection:
                self._connection.close()

    def _tell(self, fault: str | None) -> None:
        """On the event loop only: `say` writes to the log file, which one thread at a time may do."""
        if fault is not None:
            self._say("WARNING", fault)

    def _flush(self) -> str | None:
        """Write what waits. Return what went wrong, in words; None where nothing did."""
        self._arrived.clear()
        entries, self._waiting = self._waiting, []
        if not entries:
            return None
        try:
            self._connection = self._connection or open_journal(self._path)
            with transaction(self._connection):
                write_requests(self._connection, entries)
        except (sqlite3.Error, OSError) as error:  # the page lacks them; no event does
            return f"{len(entries)} requests are not on the page: {reason_of(error)}"
        return None
