"""The output of `hookchain dev`: its own messages and its children's lines, shown, logged and journaled."""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from deploy.dev.supervisor.processes import TLS_RECEIVE
from deploy.history import local_log, local_requests
from deploy.terminal import log_view, output
from functions.receive.diagnosis.diagnose import SECRET_CODES, leaves_secret_open
from shared import jsontext
from shared.cloud.local import database, journal

RECEIVERS: Final = ("receive", TLS_RECEIVE)
GATHER_SECONDS: Final = 0.2
MAX_WAITING: Final = 50_000
ROUTINE_LINES: Final = 60
"""Lines without a warning or error that are shown in a second: measured, writing out each takes 12 µs of CPU."""


class JsonView(log_view.LogView):
    """The same lines as JSON, for what collects the logs of a server."""

    def own_line(self, severity: str, text: str, clock: str) -> str:  # noqa: ARG002 LogView's
        return local_log.own_line("serve", severity, text).rstrip("\n")

    def process_line(self, name: str, line: str, clock: str, parsed: jsontext.JsonObject | None = None) -> str | None:  # noqa: ARG002
        severity = log_view.leading_severity(line)
        if not line.strip() or (severity and not self.shown(severity)):
            return None
        return local_log.with_process(name, line, time.time()).rstrip("\n")


class Output:
    """The supervisor's one output stream, and the log file and the journal beside it.

    say           a message of the supervisor's own: into the log, and shown if its level is
    announce      the same, shown at every level and not in the log
    show          a text as it is, shown at every level and not in the log
    append_lines  lines of a child: into the log and the journal, and shown if their level is

    Under load, routine lines are not shown, but counted. `reader_left` is called once the stream has no reader any
    more.
    """

    notes: Mapping[str, str] = MappingProxyType({})
    """By source, what its secret explains about a rejection, for example that it was generated just now."""

    def __init__(self, view: log_view.LogView, reader_left: Callable[[], None], state: Path) -> None:
        self._view = view
        self._reader_left = reader_left
        self.file = local_log.LogFile(state, lambda text: self._show("WARNING", text))
        self.requests = RequestFeed(state, self.say)
        self._routine_count = 0
        self._second: asyncio.TimerHandle | None = None

    def close(self) -> None:
        self._end_second()
        self.file.close()

    def say(self, severity: str, text: str) -> None:
        self.file.append_own(severity, text)
        self._show(severity, text)

    def show(self, text: str) -> None:
        self._write(text + "\n")

    def announce(self, text: str) -> None:
        self._write(self._view.own_line("NOTICE", text, clock()) + "\n")

    def append_lines(self, name: str, lines: Sequence[str]) -> None:
        """Take lines of a child. The JSON of a line is parsed at most once."""
        now, shown, logged = clock(), [], []
        for line in lines:
            document = log_view.parse_log_line(line) if name in RECEIVERS else None
            is_noted = document is not None and self._add_secret_note(document)
            logged.append(jsontext.to_json(document) if is_noted else line)
            if document is not None:
                self.requests.add(document)
            if self._admits(log_view.leading_severity(line)):
                text = self._view.process_line(name, line, now, document)
                if text is not None:
                    shown.append(text)
        self.file.append(name, logged)
        if shown:
            self._write("\n".join(shown) + "\n")

    def _add_secret_note(self, document: jsontext.JsonObject) -> bool:
        """Put the note on the source's secret into the detail of a rejection; return whether it was put there."""
        note = self.notes.get(str(document.get("source"))) if document.get("code") in SECRET_CODES else None
        if note is None:
            return False
        document["detail"] = with_secret_note(str(document.get("detail", "")), note, str(document.get("code")))
        return True

    def _admits(self, severity: str) -> bool:
        """Return whether a line is shown, and count it if it is routine."""
        if not log_view.is_routine(severity):
            return True
        if not self._view.shown(severity):
            return False
        if isinstance(self._view, JsonView):  # what collects the lines needs all of them
            return True
        if self._second is None:
            self._second = asyncio.get_running_loop().call_later(1.0, self._end_second)
        self._routine_count += 1
        return self._routine_count <= ROUTINE_LINES

    def _end_second(self) -> None:
        """Say how many lines of the second were left out."""
        if self._second is not None:
            self._second.cancel()
        left_out = self._routine_count - ROUTINE_LINES
        self._second, self._routine_count = None, 0
        if left_out > 0:
            self._show("INFO", f"{output.count_of(left_out, 'line')} left out here: `hookchain logs` prints every line")

    def _show(self, severity: str, text: str) -> None:
        if self._view.shown(severity):
            self._write(self._view.own_line(severity, text, clock()) + "\n")

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            self._reader_left()
        except OSError:  # a file on a full disk: the text is lost, and the processes go on
            pass


def with_secret_note(detail: str, note: str, code: str) -> str:
    """Return a rejection's detail with the note as its cause, if its own cause leaves open which secret was used.

    A signature can be wrong for other reasons too: then its own cause stays, before the note.
    """
    finding, _, cause = detail.partition(local_requests.WHY)
    if not leaves_secret_open(cause):
        return detail
    return f"{detail}. Note: {note}" if code == "signature_mismatch" else f"{finding}{local_requests.WHY}{note}"


class RequestFeed:
    """Receive's log lines on their way into the journal: a few transactions a second, however many requests."""

    def __init__(self, state: Path, say: Callable[[str, str], None]) -> None:
        self._path = state / journal.FILE_NAME
        self._say = say
        self._waiting: list[local_requests.RequestEntry] = []
        self._arrived = asyncio.Event()
        self._connection: sqlite3.Connection | None = None

    def add(self, line: jsontext.JsonObject) -> None:
        """Add a parsed line if it is a request's. Beyond a bound it is dropped: only the page lacks it then."""
        entry = local_requests.request_from(line)
        if entry and len(self._waiting) < MAX_WAITING:
            self._waiting.append(entry)
            self._arrived.set()

    async def run(self) -> None:
        """Write requests until cancelled; what arrived by then is written."""
        try:
            while True:
                await self._arrived.wait()
                self._report(await asyncio.to_thread(self._flush))
                await asyncio.sleep(GATHER_SECONDS)
        finally:
            self._report(self._flush())
            if self._connection:
                self._connection.close()

    def _report(self, fault: str | None) -> None:
        """Log a fault; called on the event loop only, because `say` writes to the log file."""
        if fault is not None:
            self._say("WARNING", fault)

    def _flush(self) -> str | None:
        """Write the waiting requests; return the fault, if there was one."""
        self._arrived.clear()
        entries, self._waiting = self._waiting, []
        if not entries:
            return None
        try:
            self._connection = self._connection or journal.open_journal(self._path)
            with database.transaction(self._connection):
                local_requests.write_requests(self._connection, entries)
        except (sqlite3.Error, OSError) as error:  # the page lacks them; no event does
            return f"The page lacks {len(entries)} requests: {database.reason_of(error)}"
        return None


def clock() -> str:
    """Return the local time of day, to the millisecond."""
    now = time.time()
    return time.strftime("%H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1000):03d}"
