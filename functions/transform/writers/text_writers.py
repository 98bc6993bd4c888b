"""CSV (RFC 4180): a list of objects, a row each, under the names of all their keys in the order of their coming."""

import re
from typing import Final

from functions.transform.expressions import kind_of
from functions.transform.writers.pieces import Pieces
from functions.transform.writers.scalars import scalar_text
from functions.transform.writers.writing import Trail, Unwritable
from shared.jsontext import Json, JsonObject

# Whatever any reader may take for a delimiter, and a mark that the start of a file would lose.
_TO_QUOTE: Final = re.compile('[",;\t\r\n\ufeff]|^ | $')


def write_csv(value: Json, delimiter: str) -> str:
    """Raises Unwritable, and Permanent (`output`)."""
    if not isinstance(value, list):
        raise Unwritable(None, f"is {kind_of(value)}, and CSV is a list of objects")
    rows = [_row(item, (None, number)) for number, item in enumerate(value)]
    names = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        if "\n" in name or "\r" in name:
            raise Unwritable(None, "has a key with a line break in it, which is no name for a CSV column")
    pieces = Pieces()
    pieces.verify_room(len(names) * len(rows))  # of cells, each a character at least
    if names:
        pieces.add(_line([_quoted(name) for name in names], delimiter))
    for number, row in enumerate(rows):
        pieces.add(_line([_quoted(_cell(row, name, (None, number))) for name in names], delimiter))
    return pieces.text()


def _line(cells: list[str], delimiter: str) -> str:
    """An empty line is no row to a reader; a quoted one is."""
    return (delimiter.join(cells) or '""') + "\r\n"


def _row(item: Json, trail: Trail) -> JsonObject:
    if not isinstance(item, dict):
        raise Unwritable(trail, f"is {kind_of(item)}, and a CSV row is an object")
    return item


def _cell(row: JsonObject, name: str, trail: Trail) -> str:
    return scalar_text(row.get(name), (trail, name))


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if _TO_QUOTE.search(text) else text
