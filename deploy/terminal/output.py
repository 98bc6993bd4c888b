"""The output of the commands: JSON, tables and listings, colours, and texts that fit a terminal.

In a pipe nothing is cut that a program may look for, and no output has a control character that a sender wrote.
"""

import json
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from deploy.terminal.command_line import summary_lines
from shared import jsontext, times

GAP: Final = "  "
PIPE_COLUMNS: Final = 100
"""The width of a table that is not printed to a terminal."""
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BOLD: Final = "1"
DIM: Final = "2"


def print_json(document: jsontext.JsonObject) -> None:
    """Print ASCII only: what a sender wrote must not move a terminal's cursor."""
    print(json.dumps(document, indent=2))


def count_of(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def clock(seconds: float) -> str:
    """Return a time such as `2026-03-01T12:00:00Z`, which `--since` accepts."""
    return times.rfc3339(seconds)[:19] + "Z"


def rough_duration(seconds: float) -> str:
    """Return `40 s`, `3 min`, `5 h` or `12 d`: the largest unit of which there are at least two."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def waits_text(waits: Sequence[float]) -> str:
    """Return the waits, each in seconds, in words; equal ones in a row are counted."""
    grouped = [(times.duration_text(wait), len([*same])) for wait, same in groupby(waits)]
    return ", ".join(f"{count} × {text}" if count > 1 else text for text, count in grouped)


@dataclass(frozen=True, slots=True)
class Screen:
    """The target of the output: a terminal of `width` columns; a pipe or a file if `width` is None."""

    width: int | None = None
    colours: bool = False

    @property
    def is_pipe(self) -> bool:
        return self.width is None

    @property
    def line_columns(self) -> int:
        """The width that a line may have."""
        return PIPE_COLUMNS if self.width is None else self.width

    def coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours and code and text else text


def stdout_screen(is_plain: bool = False) -> Screen:
    """Return the terminal on standard output; a screen for a pipe if there is none, or if the output `is_plain`."""
    if is_plain or not sys.stdout.isatty():
        return Screen()
    return Screen(shutil.get_terminal_size().columns, not os.environ.get("NO_COLOR"))


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    min_width         the width to which its cells may be cut where a line would be too long; None: they stay whole
    colour            returns the colour of a cell's text
    max_width         the width to which its cells are always cut: one long text would push the other columns out of
                      sight. None: there is no such width
    is_cut_last       its cells are cut only when those of the other columns are as narrow as may be
    is_whole_in_pipe  in a pipe, its cells are never cut, because programs look for its texts. Such a column is moved to
                      the end, so that the lines stay readable however long those texts are
    """

    title: str
    min_width: int | None = None
    colour: Callable[[str], str] = lambda _: ""
    max_width: int | None = None
    is_cut_last: bool = False
    is_whole_in_pipe: bool = False


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], screen: Screen) -> str:
    """Return a line for the titles and one for each row. A text that is cut ends in `…`.

    On a terminal, empty columns are left out. In a pipe every column stays, so that programs can rely on them.
    """
    printable_rows = [[printable(cell) for cell in row] for row in rows]
    # In a pipe, all columns, those that stay whole at the end; on a terminal, those in which a cell has a text.
    numbers = range(len(columns))
    if screen.is_pipe:
        order = sorted(numbers, key=lambda number: columns[number].is_whole_in_pipe)
    else:
        order = [number for number in numbers if any(row[number] for row in printable_rows)]
    shown = [columns[index] for index in order]
    cells = [[row[index] for index in order] for row in printable_rows]
    titles = [column.title for column in shown]
    widths = fit_widths(_wanted_widths(shown, [titles, *cells]), shown, screen.line_columns)
    if screen.is_pipe and shown and shown[-1].is_whole_in_pipe:
        widths[-1] = max(width_of(row[-1]) for row in [titles, *cells])
    head = [screen.coloured(padded(title, width), DIM) for title, width in zip(titles, widths, strict=True)]
    return "\n".join([_line(head), *(_row(shown, row, widths, screen) for row in cells)])


def _wanted_widths(columns: Sequence[Column], lines: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column's longest text, but no more than the column's `max_width`."""
    longest = [max(map(width_of, texts)) for texts in zip(*lines, strict=True)]
    return [min(width, column.max_width or width) for column, width in zip(columns, longest, strict=True)]


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
    name_width = max(len(name) for _, texts in groups for name in texts)
    for heading, texts in groups:
        yield screen.coloured(heading, BOLD)
        yield from (*summary_lines(texts, name_width, screen.line_columns), "")


def fit_widths(widths: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """Narrow the columns until the line fits, or until none may be cut any more.

    Each turn takes 1 from the widest column that may be cut, so that the long ones come to the same width.
    """
    fitting = list(widths)
    excess = sum(fitting) + len(GAP) * (len(fitting) - 1) - room
    while excess > 0:
        may_be_cut = [
            index
            for index, column in enumerate(columns)
            if column.min_width is not None and fitting[index] > max(column.min_width, width_of(column.title))
        ]
        if not may_be_cut:
            break
        cut_first = [index for index in may_be_cut if not columns[index].is_cut_last]
        widest = max(cut_first or may_be_cut, key=fitting.__getitem__)
        fitting[widest] -= 1
        excess -= 1
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
