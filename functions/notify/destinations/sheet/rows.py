"""An event as a row of a sheet, and the notation of ranges. Values are written RAW: no text becomes a formula.

https://developers.google.com/workspace/sheets/api/reference/rest/v4/ValueInputOption
"""

from dataclasses import dataclass
from math import isfinite
from typing import Final

from functions.notify.bounded_texts import bound_of, cut
from functions.notify.destinations.sheet.settings import Settings
from functions.notify.http_kind import json_body
from shared.errors import Permanent
from shared.event import Event, view_of
from shared.expressions import over_event
from shared.jsontext import Json, to_json

MAX_CHARACTERS: Final = 50_000
"""Of a cell."""
MAX_EXACT: Final = 10**15
"""A sheet keeps 15 digits of a number. A longer integer, such as an id, is written as text."""


@dataclass(slots=True)  # nobody changes one; frozen, it takes longer to make
class Row:
    """`content` is the JSON of its cells. `key` is the delivery's idempotency key, which is one of the cells.

    `is_retry`: it may be in the sheet already.
    """

    content: bytes
    key: str
    is_retry: bool


class RowMaker:
    def __init__(self, settings: Settings) -> None:
        self._columns = [(name, over_event(text)) for name, text in settings.columns.items()]
        self._is_id_first = settings.id_column == 0
        self._bound = bound_of([expression for _, expression in self._columns])

    def row(self, event: Event, key: str, is_retry: bool = False) -> Row:
        """Return the row of an event. Raises Permanent."""
        view = view_of(event)
        with self._bound():
            cells = [_cell(name, expression.search(view)) for name, expression in self._columns]
        cells.insert(0 if self._is_id_first else len(cells), key)
        return Row(json_body(cells), key, is_retry)


def _cell(column: str, value: Json) -> Json:
    """Return the value as a cell takes it. Raises Permanent (`conversion_failed`) for a number that is not finite."""
    if value is None or isinstance(value, bool):
        return "" if value is None else value
    try:
        if isinstance(value, list | dict):
            value = to_json(value)
    except (ValueError, RecursionError):
        raise Permanent("conversion_failed", f"column {column!r}: its value is no JSON") from None
    if isinstance(value, str):
        return cut(value, MAX_CHARACTERS, "utf-16")
    if isinstance(value, float) and not isfinite(value):
        raise Permanent("conversion_failed", f"column {column!r}: its number is not finite")
    return str(value) if isinstance(value, int) and abs(value) >= MAX_EXACT else value


def column_letters(index: int) -> str:
    """Return the name of the column at `index`: A for 0, AA for 26."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def range_in(sheet: str, cells: str) -> str:
    """Return a range in A1 notation."""
    quoted = sheet.replace("'", "''")
    return f"'{quoted}'!{cells}"
