"""The progress of long work, shown on a terminal while it lasts."""

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Self, TextIO, TypeVar

QUIET_SECONDS: Final = 2.0
"""Work that takes no longer shows nothing."""

Row = TypeVar("Row")


class PassingLine:
    """A line that is written over and at last removed. Only a terminal gets it; a pipe or a file gets nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_shown = False

    def show(self, text: str) -> None:
        if self._stream.isatty():
            self._write(f"\r{text}\x1b[K")
            self._is_shown = True

    def clear(self) -> None:
        if self._is_shown:
            self._write("\r\x1b[K")
            self._is_shown = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def with_progress(
    pages: Iterator[list[Row]], stream: TextIO, clock: Callable[[], float] = time.monotonic
) -> Iterator[Row]:
    """Yield the rows of all pages, and show how many were found. An empty page is not the end."""
    line = PassingLine(stream)
    began = clock()
    count = 0
    try:
        for page in pages:
            count += len(page)
            if clock() - began > QUIET_SECONDS:
                line.show(f"searching, {count:,} found so far")
            yield from page
    finally:
        line.clear()


class Progress:
    """A line on a terminal that shows the progress of work that takes longer than QUIET_SECONDS.

    It is removed after the work. If an error or Ctrl-C ends the work early, a last line says how much was done.
    """

    def __init__(self, total: int, done_word: str, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.done = 0
        self._total = total
        self._word = done_word
        self._stream = stream
        self._line = PassingLine(stream)
        self._clock = clock
        self._began = clock()

    def tell(self, done: int) -> None:
        """Show how many are done, which is at least 1, and an estimate of the seconds that are left."""
        self.done = done
        elapsed = self._clock() - self._began
        if elapsed > QUIET_SECONDS:
            seconds_left = elapsed / done * (self._total - done)
            self._line.show(f"{done:,} of {self._total:,} {self._word}, about {seconds_left:.0f} s left")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._line.clear()
        if error is not None:
            self._stream.write(f"stopped: {self.done:,} of {self._total:,} {self._word}\n")
            self._stream.flush()
