"""The output of `hookchain dev`: its own messages and its children's lines, shown, logged and journaled."""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from deploy.history.log_file import LogFile
from deploy.terminal.log_view import LogView
from shared.cloud.local.database import reason_of, transaction
from shared.cloud.local.journal_requests import RequestEntry, request_from_line, write_requests
from shared.cloud.local.journal_schema import FILE_NAME, open_journal

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


class Output:
    """`reader_left` is called once nobody reads the stream any more. All of it goes into `file` too, at every level."""

    def __init__(self, view: LogView, reader_left: Callable[[], None], state: Path) -> None:
        self._view = view
        self._reader_left = reader_left
        self.file = LogFile(state, lambda text: self._show("WARNING", text))

    def say(self, severity: str, text: str) -> None:
        self.file.own(severity, text)
        self._show(severity, text)

    def _show(self, severity: str, text: str) -> None:
        if self._view.shown(severity):
            self._write(self._view.own(severity, text, clock()) + "\n")

    def show(self, text: str) -> None:
        """As it is, at every level."""
        self._write(text + "\n")

    def hear(self, name: str, lines: Sequence[str]) -> None:
        self.file.hear(name, lines)
        now = clock()
        shown = [text for line in lines if (text := self._view.line(name, line, now)) is not None]
        if shown:
            self._write("\n".join(shown) + "\n")

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._reader_left()
        except OSError:  # a file on a disk that is full: what is said is lost, and what runs goes on
            pass


def clock() -> str:
    """The time of day here, to the millisecond."""
    now = time.time()
    return time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1000):03d}"
