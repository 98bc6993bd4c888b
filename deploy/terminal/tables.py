"""Text for a terminal or a pipe: aligned tables that fit, colours only where they are seen."""

import shutil
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final, TextIO

GAP: Final = "  "
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BOLD: Final = "1"
DIM: Final = "2"


@dataclass(frozen=True, slots=True)
class Screen:
    """`width` in columns; None for a pipe, where nothing is cut."""

    width: int | None = None
    colours: bool = False

    def coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours and code and text else text


def screen_of(stream: TextIO, environ: Mapping[str, str]) -> Screen:
    if not stream.isatty():
        return Screen()
    return Screen(shutil.get_terminal_size().columns, not environ.get("NO_COLOR"))


def _no_colour(_: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Column:
    """`least` is what it is never cut below; None where it is never cut. `colour` is a cell's, by its text."""

    title: str
    least: int | None = None
    colour: Callable[[str], str] = _no_colour


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], screen: Screen) -> str:
    """A line for the titles and one a row. On a terminal empty columns go, and what is cut ends in `…`."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if screen.width is not None:
        filled = [any(texts) for texts in zip(*cells, strict=True)]
        columns = [*compress(columns, filled)]
        cells = [[*compress(row, filled)] for row in cells]
    titles = [column.title for column in columns]
    widths = [max(map(width_of, texts)) for texts in zip(titles, *cells, strict=True)]
    if screen.width is not None:
        widths = fitted(widths, columns, screen.width)
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


def fitted(widths: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """The widest of the columns that may be cut gives way first; where none is left, the lines are too long."""
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
        fitting[max(wide, key=fitting.__getitem__)] -= 1
    return fitting


def width_of(text: str) -> int:
    """In columns of a terminal: Chinese characters take two, combining ones none."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    if width_of(text) <= width:
        return text
    kept, room = "", width - 1
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept += character
    return kept + "…"


def padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))


def printable(text: str) -> str:
    """On one line, and without what would move the cursor or turn the writing round: a sender may have written it."""
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
