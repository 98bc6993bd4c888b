"""The emulated Google Sheets as an aiohttp application, mounted at /v4: the calls that the destination `sheet` makes.

Every spreadsheet exists, and so does every sheet that the configuration names. No token is required.
https://developers.google.com/workspace/sheets/api/reference/rest
"""

import re
import sqlite3
import time
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from deploy.config.notify_destinations import caught_sheets
from deploy.dev.caught import Sheet, SheetStore
from deploy.dev.local_server import json_answer
from deploy.history.local import read_slice
from shared.jsontext import Json, json_or_none, to_json, value_at
from shared.logs import log

MAX_BODY_BYTES: Final = 10 * 1024 * 1024
LEAST_ROWS: Final = 1_000
"""The rows of a new sheet at Google."""
_RANGE: Final = re.compile(
    r"'(?P<title>(?:[^']|'')*)'!(?P<left>[A-Z]{1,3})(?P<top>[0-9]{1,8})(:(?P<right>[A-Z]{1,3})(?P<bottom>[0-9]{1,8}))?"
)
"""A range such as `'Orders'!A2:C9` or `'Orders'!A1`. A quotation mark in the title is doubled."""


class CellRange(NamedTuple):
    """A rectangle of cells. Rows are counted from 1, as Google does, and columns from 0."""

    text: str
    sheet: Sheet
    top: int
    bottom: int
    left: int
    right: int


class EmulatedSheets:
    """The API's handlers. `state` is the folder with the slices of the configuration that runs."""

    def __init__(self, store: SheetStore, state: Path) -> None:
        self._store = store
        self._state = state

    def app(self) -> web.Application:
        app = web.Application(middlewares=[_errors_as_json], client_max_size=MAX_BODY_BYTES)
        values = "/spreadsheets/{spreadsheet}/values/{range:.+}"
        app.router.add_get("/spreadsheets/{spreadsheet}", self.describe)
        app.router.add_get(values, self.read)
        app.router.add_put(values, self.write)
        app.router.add_post(values + ":append", self.append)
        return app

    async def describe(self, request: web.Request) -> web.Response:
        """Answer the title of each sheet, also of an empty one, and how many rows it has."""
        spreadsheet = request.match_info["spreadsheet"]
        configured = [Sheet(*each) for each in caught_sheets(read_slice(self._state, "notify"))]
        documents: list[Json] = []
        for sheet in dict.fromkeys([*configured, *self._store.sheets()]):
            if sheet.spreadsheet == spreadsheet:
                row_count = max(LEAST_ROWS, self._store.row_count(sheet))
                documents.append({"properties": {"title": sheet.title, "gridProperties": {"rowCount": row_count}}})
        return json_answer({"sheets": documents})

    async def read(self, request: web.Request) -> web.Response:
        """Answer the cells by row, or the first column of them if `majorDimension` is COLUMNS."""
        cells = _cell_range(request)
        rows = [row[cells.left : cells.right + 1] for row in self._store.rows(cells.sheet, cells.top, cells.bottom)]
        if request.query.get("majorDimension") == "COLUMNS":
            values: list[Json] = [[row[0] if row else "" for row in rows]]
        else:
            values = [*rows]
        # Google leaves `values` out if all cells are empty.
        return json_answer({"range": cells.text, "values": values} if any(values) else {"range": cells.text})

    async def write(self, request: web.Request) -> web.Response:
        """Write the first row."""
        cells = _cell_range(request)
        rows = await _rows(request)
        if cells.top != 1 or len(rows) != 1:
            raise _fault("This emulation writes the first row only; other rows are appended.")
        self._store.write_first(cells.sheet, rows[0], time.time())
        return json_answer({"updatedRange": cells.text, "updatedRows": 1})

    async def append(self, request: web.Request) -> web.Response:
        """Add rows below the last row of the sheet, whichever cells the range names."""
        cells = _cell_range(request)
        rows = await _rows(request)
        first_row = self._store.append(cells.sheet, rows, time.time())
        updated_range = f"{cells.text.rpartition('!')[0]}!A{first_row}"
        return json_answer({"updates": {"updatedRange": updated_range, "updatedRows": len(rows)}})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except sqlite3.Error as error:
        log("ERROR", "the emulated Google Sheets cannot use its file", detail=str(error))
        return json_answer(_error(503, "The file of caught sheets cannot be used."), 503)


def _cell_range(request: web.Request) -> CellRange:
    text = request.match_info["range"]
    found = _RANGE.fullmatch(text)
    if found is None:
        raise _fault(f"Unable to parse range: {text}")
    return CellRange(
        text,
        Sheet(request.match_info["spreadsheet"], found["title"].replace("''", "'")),
        top=int(found["top"]),
        bottom=int(found["bottom"] or found["top"]),
        left=_column(found["left"]),
        right=_column(found["right"] or found["left"]),
    )


async def _rows(request: web.Request) -> list[Json]:
    values = value_at(json_or_none(await request.read()), "values")
    if not isinstance(values, list) or not all(isinstance(row, list) for row in values):
        raise _fault("Invalid JSON payload received: values must be a list of rows.")
    return values


def _column(letters: str) -> int:
    """Return the index of a column: 0 for A, 26 for AA."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def _fault(message: str) -> web.HTTPException:
    return web.HTTPBadRequest(text=to_json(_error(400, message)), content_type="application/json")


def _error(status: int, message: str) -> Json:
    return {"error": {"code": status, "message": message}}
