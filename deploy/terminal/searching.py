"""A line on a terminal while a search takes longer than a moment; gone once it is over."""

import time
from collections.abc import Callable, Iterator
from typing import Final, TextIO, TypeVar

from deploy.terminal.passing_line import PassingLine

QUIET_SECONDS: Final = 2.0

Row = TypeVar("Row")


class Searching:
    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._line = PassingLine(stream)
        self._clock = clock
        self._began = clock()

    def tell(self, found: int) -> None:
        if self._clock() - self._began > QUIET_SECONDS:
            self._line.show(f"searching, {found:,} found so far")

    def end(self) -> None:
        self._line.clear()


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
