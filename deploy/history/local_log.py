"""The log file of `hookchain dev`, and how `hookchain logs` reads and follows it.

    {"severity":"INFO","message":"accepted","time":"2026-03-01T12:00:00Z", …,"process":"receive"}

A line is a JSON object, with the process that wrote it. A full file is renamed, so there are at most two.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, TextIO

from deploy.config.running_dev import OTHER_FOLDER, start_command
from deploy.history.logs import Record, make_record
from deploy.terminal import command_line, log_view
from shared import jsontext, times

FILE_NAME: Final = "log.jsonl"
OLD_NAME: Final = "log.1.jsonl"
MAX_BYTES: Final = 8_000_000
"""The largest size of each of the two files."""
POLL_SECONDS: Final = 0.2
"""The interval at which a log that is followed is read again."""


class LogFile:
    """The log file, to be written. It is opened at the first line.

    Lines are lost while the file cannot be written, for example because the disk is full. `say` is then called once
    with the reason. The log continues as soon as there is room again.
    """

    def __init__(self, state: Path, say: Callable[[str], None], max_bytes: int = MAX_BYTES) -> None:
        self._path = state / FILE_NAME
        self._old = state / OLD_NAME
        self._say = say
        self._max_bytes = max_bytes
        self._file: TextIO | None = None
        self._size = 0
        self._is_broken = False

    def append(self, name: str, lines: Sequence[str]) -> None:
        self._write("".join(with_process(name, line, time.time()) for line in lines if line.strip()))

    def append_own(self, severity: str, text: str) -> None:
        self._write(own_line("dev", severity, text))

    def close(self) -> None:
        if self._file is not None:
            file = self._file
            self._file = None  # also if closing it fails
            file.close()

    def _write(self, text: str) -> None:
        if not text:
            return
        try:
            # A failed write may have left an incomplete line, which must not swallow the next one.
            self._write_text("\n" + text if self._is_broken else text)
            self._is_broken = False
        except OSError as error:
            with contextlib.suppress(OSError):
                self.close()
            if not self._is_broken:
                self._say(f"{self._path} cannot be written, so new lines are missing from it: {error.strerror}")
            self._is_broken = True

    def _write_text(self, text: str) -> None:
        file = self._file or self._open()
        if self._size > self._max_bytes:
            self.close()
            self._path.replace(self._old)
            file = self._open()
        file.write(text)
        file.flush()
        self._size += len(text)  # in characters, which is near enough for a limit

    def _open(self) -> TextIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)  # an existing file keeps its mode otherwise
        self._file = os.fdopen(descriptor, "a", encoding="utf-8")
        self._size = os.fstat(descriptor).st_size
        return self._file


def own_line(name: str, severity: str, text: str) -> str:
    """Return a message of the process that runs the others, as a line."""
    now = time.time()
    document: jsontext.JsonObject = {"severity": severity, "message": text, "time": times.rfc3339(now)}
    return with_process(name, jsontext.to_json(document), now)


def with_process(name: str, line: str, now: float) -> str:
    """Return the line with the name of its process. Any other line becomes the `message` of an object.

    The JSON is not parsed, because `hookchain dev` passes on every line of each process.
    """
    if line.startswith('{"') and line.endswith("}"):
        return f'{line[:-1]},"process":"{name}"}}\n'
    return jsontext.to_json({"severity": "", "message": line, "time": times.rfc3339(now), "process": name}) + "\n"


def parse_local_line(line: str) -> Record | None:
    """Return the record of a line; None if the line is incomplete."""
    document = log_view.parse_log_line(line)
    if document is None:
        return None
    process = str(document.pop("process", "dev"))
    return make_record(str(document.get("time")), process, str(document.get("severity", "")), document)


def local_records(state: Path, since: float, is_followed: bool) -> Iterator[Record | None]:
    """Yield the records since a time, oldest first. Raises CommandError if there is no log.

    A log that is followed does not end. Each time when all records have been read, None is yielded, so that the caller
    can show them. The log is read again after POLL_SECONDS.
    """
    path = state / FILE_NAME
    if not path.is_file():
        raise command_line.CommandError(f"{state} has no log. `{start_command(state)}` writes it there. {OTHER_FOLDER}")
    old = state / OLD_NAME
    if old.is_file():
        with old.open(encoding="utf-8", errors="replace") as file:
            yield from _since(file, since)
    lines = _GrowingFile(path)
    try:
        yield from (record for record in lines.records() if record.at >= since)
        while is_followed:
            yield None
            time.sleep(POLL_SECONDS)
            yield from lines.records()
    finally:
        lines.close()


def _since(file: TextIO, since: float) -> Iterator[Record]:
    for line in file:
        record = parse_local_line(line.rstrip("\n"))
        if record is not None and record.at >= since:
            yield record


class _GrowingFile:
    """A log file that is being written, and that is renamed and replaced by a new one when it is full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open(encoding="utf-8", errors="replace")
        self._rest = ""

    def records(self) -> Iterator[Record]:
        """Yield the records of the complete lines since the last call, also those in a new file."""
        yield from self._read()
        if self._is_replaced():
            yield from self._read()  # the lines that were written between the last read and the replacement
            self._file.close()
            self._file = self._path.open(encoding="utf-8", errors="replace")
            self._rest = ""
            yield from self._read()

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[Record]:
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            record = parse_local_line(line)
            if record is not None:
                yield record

    def _is_replaced(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False
