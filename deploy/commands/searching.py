"""A line on a terminal while a search takes longer than a moment; gone once it is over."""

import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO, TypeVar

QUIET_SECONDS: Final = 2.0

Row = TypeVar("Row")


class Searching:
    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._began = clock()
        self._is_shown = False

    def tell(self, found: int) -> None:
        if self._clock() - self._began > QUIET_SECONDS and self._stream.isatty():
            self._write(f"\rsearching, {found:,} found so far\x1b[K")
            self._is_shown = True

    def end(self) -> None:
        if self._is_shown:
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def told(pages: Iterator[list[Row]], stream: TextIO) -> Iterator[Row]:
    """The rows of the pages, one after the other; a page may be empty and not the last."""
    searching, count = Searching(stream), 0
    try:
        for page in pages:
            count += len(page)
            searching.tell(count)
            yield from page
    finally:
        searching.end()
