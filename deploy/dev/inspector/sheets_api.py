"""Caught rows of Google Sheets: GET /api/sheets, and POST /api/sheets/empty of one."""

import asyncio
from functools import partial
from typing import Final

from aiohttp import web

from deploy.config.slices import caught_sheets
from deploy.dev.inspector.api import bad_request, json_answer, json_body
from deploy.dev.inspector.backend import LOCAL, DevBackend
from deploy.dev.sheets.store import Sheet, SheetStore
from shared.jsontext import Json, JsonObject

MOST_SHEETS: Final = 20
NEWEST_ROWS: Final = 100


async def find_sheets(backend: DevBackend) -> list[Sheet]:
    """Return the sheets that the configuration names and that are caught, then those that only have rows."""
    notify = await asyncio.to_thread(backend.notify_slice)
    return list(
        dict.fromkeys(
            [*(Sheet(*each) for each in caught_sheets(notify)), *await backend.read(backend.caught.sheets.sheets)]
        )
    )


async def list_sheets(request: web.Request) -> web.Response:
    """Answer the sheets, each with its first row and its newest ones."""
    backend = request.app[LOCAL]
    sheets = (await find_sheets(backend))[:MOST_SHEETS]
    found: list[Json] = [await backend.read(partial(_document, backend.caught.sheets, each)) for each in sheets]
    return json_answer({"sheets": found})


async def empty_sheet(request: web.Request) -> web.Response:
    """Take `{"spreadsheet": …, "sheet": …}`, and delete its rows and its header."""
    body, backend = await json_body(request), request.app[LOCAL]
    spreadsheet, title = body.get("spreadsheet"), body.get("sheet")
    if not isinstance(spreadsheet, str) or not isinstance(title, str):
        raise bad_request("spreadsheet, sheet: must be texts.")
    await backend.read(partial(backend.caught.sheets.empty, Sheet(spreadsheet, title)))
    return json_answer({})


def _document(store: SheetStore, sheet: Sheet) -> JsonObject:
    count = store.row_count(sheet)
    begin = max(2, count - NEWEST_ROWS + 1)
    newest: list[Json] = [*store.rows(sheet, begin, count)]
    first: list[Json] = [*store.rows(sheet, 1, 1)]
    return {
        "spreadsheet": sheet.spreadsheet,
        "sheet": sheet.title,
        "count": count,
        "first": first[0] if first else None,
        "begin": begin,
        "rows": newest,
    }


ROUTES: Final = [
    web.get("/api/sheets", list_sheets),
    web.post("/api/sheets/empty", empty_sheet),
]
