"""The one stream that `hookchain dev` writes: its own words, and its children's lines."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.history.local_log import LogFile
from deploy.terminal.log_view import LogView


class Output:
    """`reader_left` is called once nobody reads the stream any more. All of it goes into `file` too, at every level."""

    def __init__(self, view: LogView, reader_left: Callable[[], None], state: Path) -> None:
        self._view = view
        self._reader_left = reader_left
        self.file = LogFile(state, lambda text: self._show("WARNING", text))

    def say(self, severity: str, text: str) -> None:
        self.file.append_own(severity, text)
        self._show(severity, text)

    def _show(self, severity: str, text: str) -> None:
        if self._view.shown(severity):
            self._write(self._view.own(severity, text, clock()) + "\n")

    def show(self, text: str) -> None:
        """As it is, at every level."""
        self._write(text + "\n")

    def hear(self, name: str, lines: Sequence[str]) -> None:
        self.file.append(name, lines)
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
