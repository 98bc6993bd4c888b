"""The log of `hookchain dev` on disk, for whoever comes later: a JSON object a line, of all processes, bounded."""

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO

from shared.jsontext import JsonObject, to_json
from shared.times import rfc3339

FILE_NAME: Final = "log.jsonl"
OLD_NAME: Final = "log.1.jsonl"
MOST_BYTES: Final = 8_000_000
"""Of each of the two files."""


class LogFile:
    """Opened at the first line. What a full disk does not take is lost, which is said through `say` as it begins; the
    log goes on once there is room."""

    def __init__(self, state: Path, say: Callable[[str], None], most_bytes: int = MOST_BYTES) -> None:
        self._path = state / FILE_NAME
        self._old = state / OLD_NAME
        self._say = say
        self._most_bytes = most_bytes
        self._file: TextIO | None = None
        self._characters = 0
        self._is_broken = False

    def hear(self, name: str, lines: Sequence[str]) -> None:
        self._write("".join(marked(name, line, time.time()) for line in lines if line.strip()))

    def own(self, severity: str, text: str) -> None:
        document: JsonObject = {"severity": severity, "message": text, "time": rfc3339(time.time())}
        self._write(marked("dev", to_json(document), 0.0))

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _write(self, text: str) -> None:
        if not text:
            return
        try:
            # After trouble, the last line may be half a line.
            self._append("\n" + text if self._is_broken else text)
            self._is_broken = False
        except OSError as error:
            with contextlib.suppress(OSError):
                self.close()
            if not self._is_broken:
                self._say(f"{self._path} lacks what comes, until it can be written again: {error.strerror}")
            self._is_broken = True

    def _append(self, text: str) -> None:
        file = self._file or self._opened()
        if self._characters > self._most_bytes:
            self.close()
            self._path.replace(self._old)
            file = self._opened()
        file.write(text)
        file.flush()
        self._characters += len(text)

    def _opened(self) -> TextIO:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.fchmod(descriptor, 0o600)  # it may be there already
        self._file = os.fdopen(descriptor, "a", encoding="utf-8")
        self._characters = os.fstat(descriptor).st_size
        return self._file


def marked(name: str, line: str, now: float) -> str:
    """With the name of its process. What is no JSON object of ours becomes the message of one."""
    if line.startswith('{"') and line.endswith("}"):
        return f'{line[:-1]},"process":"{name}"}}\n'
    return to_json({"severity": "", "message": line, "time": rfc3339(now), "process": name}) + "\n"
