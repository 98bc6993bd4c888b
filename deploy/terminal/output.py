"""Printing that every command shares."""

import json
import os
import shutil
import sys
import textwrap
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from types import TracebackType
from typing import Final, Self, TextIO, TypeVar

from shared.jsontext import JsonObject


def print_json(document: JsonObject) -> None:
    """Print ASCII only: what a sender wrote must not move a terminal's cursor."""
    print(json.dumps(document, indent=2))


def count_of(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def duration_text(seconds: float) -> str:
    """Return `40 s`, `3 min`, `5 h` or `12 d`: the largest unit of which there are at least two."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


GAP: Final = "  "
PIPE_COLUMNS: Final = 100
"""The width of a table that is not printed to a terminal."""
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BOLD: Final = "1"
DIM: Final = "2"


@dataclass(frozen=True, slots=True)
class Screen:
    """`width` in columns; None for a pipe or a file."""

    width: int | None = None
    colours: bool = False

    def coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours and code and text else text


def stdout_screen(is_plain: bool = False) -> Screen:
    """Return the terminal on standard output; a screen for a pipe if there is none, or if the output `is_plain`."""
    if is_plain or not sys.stdout.isatty():
        return Screen()
    return Screen(shutil.get_terminal_size().columns, not os.environ.get("NO_COLOR"))


def _no_colour(_: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. `colour` returns the colour of a cell's text.

    Where a line would be too long, cells are cut to no less than `least`, or not at all without it; with `is_cut_last`,
    after all others. Cells are cut to `most` everywhere: one long text would push the other columns out of sight.

    A column that `is_whole_in_pipe` comes last in a pipe, and none of its cells is cut there: programs look for its
    texts, and a line that is too long for a person ends with them.
    """

    title: str
    least: int | None = None
    colour: Callable[[str], str] = _no_colour
    most: int | None = None
    is_cut_last: bool = False
    is_whole_in_pipe: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], screen: Screen) -> str:
    """Return a line for the titles and one for each row. A text that is cut ends in `…`.

    On a terminal, empty columns are left out. In a pipe every column stays, so that programs can rely on them.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if screen.width is None:
        order = sorted(range(len(columns)), key=lambda index: columns[index].is_whole_in_pipe)
        columns = [columns[index] for index in order]
        cells = [[row[index] for index in order] for row in cells]
    else:
        filled = [any(texts) for texts in zip(*cells, strict=True)]
        columns = [*compress(columns, filled)]
        cells = [[*compress(row, filled)] for row in cells]
    titles = [column.title for column in columns]
    widths = [
        min(max(map(width_of, texts)), column.most or sys.maxsize)
        for column, texts in zip(columns, zip(titles, *cells, strict=True), strict=True)
    ]
    widths = fit_widths(widths, columns, PIPE_COLUMNS if screen.width is None else screen.width)
    if screen.width is None and columns and columns[-1].is_whole_in_pipe:
        widths[-1] = max(width_of(row[-1]) for row in [titles, *cells])
    head = [screen.coloured(padded(title, width), DIM) for title, width in zip(titles, widths, strict=True)]
    return "\n".join([_line(head), *(_row(columns, row, widths, screen) for row in cells)])


def _row(columns: Sequence[Column], row: Sequence[str], widths: Sequence[int], screen: Screen) -> str:
    return _line(
        [
            screen.coloured(padded(cut(text, width), width), column.colour(text))
            for column, text, width in zip(columns, row, widths, strict=True)
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return GAP.join(cells).rstrip()


def listing_lines(groups: Sequence[tuple[str, Mapping[str, str]]], screen: Screen) -> Iterator[str]:
    """Yield each group's heading, and for each of its names the text beside it, wrapped where it is long."""
    width = max(len(name) for _, texts in groups for name in texts)
    for heading, texts in groups:
        yield screen.coloured(heading, BOLD)
        for name, text in texts.items():
            start = f"  {name.ljust(width)}{GAP}"
            yield from textwrap.wrap(
                text, screen.width or PIPE_COLUMNS, initial_indent=start, subsequent_indent=" " * len(start)
            )
        yield ""


def fit_widths(widths: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """Narrow the widest column that may be cut, until the line fits or none is left."""
    fitting = list(widths)
    excess = sum(fitting) + len(GAP) * (len(fitting) - 1) - room
    for _ in range(max(0, excess)):
        wide = [
            index
            for index, column in enumerate(columns)
            if column.least is not None and fitting[index] > max(column.least, width_of(column.title))
        ]
        if not wide:
            break
        cut_first = [index for index in wide if not columns[index].is_cut_last]
        fitting[max(cut_first or wide, key=fitting.__getitem__)] -= 1
    return fitting


def width_of(text: str) -> int:
    """Return the columns that a text takes on a terminal: Chinese characters take two, combining ones none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    if width_of(text) <= width:
        return text
    result, room = "", width - 1
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        result += character
    return result + "…"


def padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def printable(text: str) -> str:
    """Replace line breaks, control characters and bidirectional marks by spaces: a sender may have written them."""
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


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
