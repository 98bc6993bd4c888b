"""The log that `hookchain dev` keeps in its state folder, from a time on, and as it grows."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from deploy.history.log_file import FILE_NAME, OLD_NAME
from deploy.history.logs_records import Record, from_local
from deploy.terminal.command_error import CommandError

POLL_SECONDS: Final = 0.2


def local_records(state: Path, since: float, is_followed: bool) -> Iterator[Record | None]:
    """Oldest first; where it is followed, None at the end of what was there, and then on without end.

    Raises CommandError.
    """
    path = state / FILE_NAME
    if not path.is_file():
        raise CommandError(f"there is no log in {state}: `make dev` keeps it there; --state names another")
    old = state / OLD_NAME
    if old.is_file():
        with old.open(encoding="utf-8", errors="replace") as file:
            yield from _since(file, since)
    lines = _Lines(path)
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
        record = from_local(line.rstrip("\n"))
        if record is not None and record.at >= since:
            yield record


class _Lines:
    """Whole lines of a file that grows, and that another one takes the place of when it is full."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open(encoding="utf-8", errors="replace")
        self._rest = ""

    def records(self) -> Iterator[Record]:
        yield from self._read()
        if self._is_replaced():
            yield from self._read()  # what came between the last look and its end
            self._file.close()
            self._file = self._path.open(encoding="utf-8", errors="replace")
            self._rest = ""
            yield from self._read()

    def close(self) -> None:
        self._file.close()

    def _read(self) -> Iterator[Record]:
        *lines, self._rest = (self._rest + self._file.read()).split("\n")
        for line in lines:
            if (record := from_local(line)) is not None:
                yield record

    def _is_replaced(self) -> bool:
        try:
            return self._path.stat().st_ino != os.fstat(self._file.fileno()).st_ino
        except FileNotFoundError:
            return False
