"""A line on a terminal that is overwritten while work takes its time, and erased when the work is done."""

import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO, TypeVar

QUIET_SECONDS: Final = 2.0
"""Work that takes no longer shows nothing."""

Row = TypeVar("Row")


class PassingLine:
    """Writes to a terminal only: a pipe or a file gets nothing."""

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
    line, began, count = PassingLine(stream), clock(), 0
    try:
        for page in pages:
            count += len(page)
            if clock() - began > QUIET_SECONDS:
                line.show(f"searching, {count:,} found so far")
            yield from page
    finally:
        line.clear()
