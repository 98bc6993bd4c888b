"""The emulated Google Sheets as an aiohttp application, to be mounted at /v4: what the destination `sheet` calls.

Every spreadsheet exists, and every sheet that the configuration names. No token is required.
https://developers.google.com/workspace/sheets/api/reference/rest
"""

import re
import sqlite3
import time
from pathlib import Path
from typing import Final

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
"""Of a new sheet at Google."""
_CELLS: Final = re.compile(r"'((?:[^']|'')*)'!([A-Z]{1,3})([0-9]{1,8})(?::([A-Z]{1,3})([0-9]{1,8}))?")


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
        """Answer the titles of the sheets and how many rows each has, empty ones too."""
        spreadsheet = request.match_info["spreadsheet"]
        configured = (Sheet(*each) for each in caught_sheets(read_slice(self._state, "notify")))
        sheets = dict.fromkeys(each for each in (*configured, *self._store.sheets()) if each.spreadsheet == spreadsheet)
        counts = {each.title: max(LEAST_ROWS, self._store.row_count(each)) for each in sheets}
        grids: list[Json] = [
            {"properties": {"title": title, "gridProperties": {"rowCount": count}}} for title, count in counts.items()
        ]
        return json_answer({"sheets": grids})

    async def read(self, request: web.Request) -> web.Response:
        sheet, cells = _range(request)
        first, last = int(cells[3]), int(cells[5] or cells[3])
        left, right = _column(cells[2]), _column(cells[4] or cells[2])
        found: list[Json] = [row[left : right + 1] for row in self._store.rows(sheet, first, last)]
        if request.query.get("majorDimension") == "COLUMNS":
            found = [[row[0] if isinstance(row, list) and row else "" for row in found]]
        return json_answer({"range": cells[0], **({"values": found} if any(found) else {})})

    async def write(self, request: web.Request) -> web.Response:
        """Write the first row."""
        sheet, cells = _range(request)
        rows = await _rows(request)
        if cells[3] != "1" or len(rows) != 1:
            raise _fault("This emulation writes the first row only; other rows are appended.")
        self._store.write_first(sheet, rows[0], time.time())
        return json_answer({"updatedRange": cells[0], "updatedRows": 1})

    async def append(self, request: web.Request) -> web.Response:
        (sheet, _), rows = _range(request), await _rows(request)
        first = self._store.append(sheet, rows, time.time())
        at = f"{request.match_info['range'].rpartition('!')[0]}!A{first}"
        return json_answer({"updates": {"updatedRange": at, "updatedRows": len(rows)}})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except sqlite3.Error as error:
        log("ERROR", "the emulated Google Sheets cannot use its file", detail=str(error))
        return json_answer(_error(503, "The file of caught sheets cannot be used."), 503)


def _range(request: web.Request) -> "tuple[Sheet, re.Match[str]]":
    text = request.match_info["range"]
    cells = _CELLS.fullmatch(text)
    if cells is None:
        raise _fault(f"Unable to parse range: {text}")
    return Sheet(request.match_info["spreadsheet"], cells[1].replace("''", "'")), cells


async def _rows(request: web.Request) -> list[Json]:
    values = value_at(json_or_none(await request.read()), "values")
    if not isinstance(values, list) or not all(isinstance(row, list) for row in values):
        raise _fault("Invalid JSON payload received: values must be a list of rows.")
    return values


def _column(letters: str) -> int:
    """Return the index of a column: 0 for A."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


def _fault(message: str) -> web.HTTPException:
    return web.HTTPBadRequest(text=to_json(_error(400, message)), content_type="application/json")


def _error(status: int, message: str) -> Json:
    return {"error": {"code": status, "message": message}}
