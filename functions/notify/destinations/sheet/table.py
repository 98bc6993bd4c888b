"""The table in a sheet: its header, the ids of the deliveries that are in it, and the append of rows.

The header's first cell, A1, is the anchor of every append: Google looks for the table that holds it, and inserts rows
below that table from its first column on. https://developers.google.com/workspace/sheets/api/guides/values#append_values
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final
from urllib.parse import quote

from functions.notify.bounded_texts import cut
from functions.notify.destinations.sheet.rows import Row, column_letters, range_in
from functions.notify.destinations.sheet.settings import Settings
from functions.notify.google_calls import CallFailed, GoogleCalls
from functions.notify.http_kind import OutgoingRequest, SecretValues, json_body
from shared.delivery import Delivered, Disabled, Outcome, Unknown
from shared.event import oneline
from shared.jsontext import Json, JsonObject
from shared.outgoing.auth import GoogleOAuthRequestAuth

GOOGLE: Final = "https://sheets.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/spreadsheets"
HEADER_SECONDS: Final = 300.0
"""How long a header that was right is not read again."""
PAGE_ROWS: Final = 50_000
"""Rows whose ids are read at once: 3.5 MB."""
_FAULTS_OF_THE_SHEET: Final = {
    b"Unable to parse range": "the spreadsheet has no such sheet: add it, or correct `sheet`",
    b"number of cells in the workbook above the limit": "the spreadsheet is full: name another one",
    b"protected cell": "cells are protected: allow the service account to edit them",
    b"not supported for this document": "the document is no Google Sheet: save it as one, or correct `spreadsheet`",
}
"""Texts of a 400 that no other row would avoid, and what to do."""
_JSON: Final = (("content-type", "application/json"),)
_FIRST_ROW: Final = re.compile(r"![A-Z]+([0-9]+)")


def append_request(settings: Settings, rows: Sequence[Row], api_url: str = GOOGLE) -> OutgoingRequest:
    """Return the request that appends the rows. RAW: a text that begins with `=` stays a text."""
    values = f"{_spreadsheet(settings, api_url)}/values/{quote(range_in(settings.sheet, 'A1'), safe='')}"
    url = f"{values}:append?valueInputOption=RAW&insertDataOption=INSERT_ROWS"
    body = b'{"values":[%b]}' % b",".join([row.content for row in rows])
    return OutgoingRequest("POST", url, _JSON, body, (auth_of(settings),))


def _spreadsheet(settings: Settings, api_url: str) -> str:
    return f"{api_url}/v4/spreadsheets/{settings.spreadsheet}"


def auth_of(settings: Settings) -> GoogleOAuthRequestAuth:
    return GoogleOAuthRequestAuth(scheme="google_oauth", scope=SCOPE, secret=settings.secret)


class SheetTable:
    """`now` returns Unix seconds. `api_url` is Google's, or that of another server with the same API."""

    def __init__(self, settings: Settings, calls: GoogleCalls, now: Callable[[], float], api_url: str) -> None:
        self._settings = settings
        self._calls = calls
        self._now = now
        self._api_url = api_url
        self._spreadsheet = _spreadsheet(settings, api_url)
        self._values = f"{self._spreadsheet}/values"
        self._header_seconds = HEADER_SECONDS if api_url == GOOGLE else 0.0
        self._header_until = 0.0

    async def verify_header(self, deadline: float, secrets: SecretValues, *, is_fresh: bool = False) -> None:
        """Verify the header; write it if the row is empty and the settings say so. Raises CallFailed and Temporary.

        `is_fresh`: read it now. Before ids are looked for, it says that their column is where it was.
        """
        if self._settings.header == "none" or (self._now() < self._header_until and not is_fresh):
            return
        titles = self._settings.titles
        name = self._range(f"A1:{column_letters(len(titles) - 1)}1")
        found = _first((await self._read(f"{self._values}/{quote(name, safe='')}", deadline, secrets)).get("values"))
        if not found and self._settings.header == "make":
            body = json_body({"values": [list(titles)]})
            url = f"{self._values}/{quote(name, safe='')}?valueInputOption=RAW"
            await self._write(OutgoingRequest("PUT", url, _JSON, body), deadline, secrets)
        elif fault := header_fault(titles, found):
            act = "correct the first row, or `columns`"
            raise CallFailed(Disabled(f"sheet {self._settings.sheet!r}: {fault}; {act}"))
        self._header_until = self._now() + self._header_seconds

    async def present(self, keys: Collection[str], deadline: float, secrets: SecretValues) -> set[str]:
        """Return which of the keys are in the sheet, newest rows first. Raises CallFailed and Temporary."""
        found: set[str] = set()
        letters = column_letters(self._settings.id_column)
        end = await self._row_count(deadline, secrets)
        while end > 0 and len(found) < len(keys):
            begin = max(1, end - PAGE_ROWS + 1)
            name = quote(self._range(f"{letters}{begin}:{letters}{end}"), safe="")
            url = f"{self._values}/{name}?majorDimension=COLUMNS&prettyPrint=false"
            values = _first((await self._read(url, deadline, secrets)).get("values"))
            found |= {each for each in values if isinstance(each, str) and each in keys}
            end = begin - 1
        return found

    async def append(self, rows: Sequence[Row], deadline: float, secrets: SecretValues) -> list[Outcome]:
        """Append the rows in one request and return the outcome of each. Raises CallFailed, Temporary and Permanent."""
        answer = await self._write(append_request(self._settings, rows, self._api_url), deadline, secrets)
        updates = answer.get("updates")
        written = updates if isinstance(updates, dict) else {}
        if written.get("updatedRows") != len(rows):
            reason = f"Google Sheets says that it wrote {written.get('updatedRows')} of {len(rows)} rows"
            return [Unknown(oneline(reason)[:200])] * len(rows)
        at = _FIRST_ROW.search(str(written.get("updatedRange")))
        return [Delivered(f"row {int(at[1]) + index}" if at else "200") for index in range(len(rows))]

    async def _row_count(self, deadline: float, secrets: SecretValues) -> int:
        """Return the number of rows that the sheet has, empty ones too."""
        url = f"{self._spreadsheet}?fields=sheets.properties(title,gridProperties.rowCount)"
        for sheet in _objects((await self._read(url, deadline, secrets)).get("sheets")):
            properties = sheet.get("properties")
            if isinstance(properties, dict) and properties.get("title") == self._settings.sheet:
                grid = properties.get("gridProperties")
                count = grid.get("rowCount") if isinstance(grid, dict) else None
                if isinstance(count, int):
                    return count
        act = _FAULTS_OF_THE_SHEET[b"Unable to parse range"]
        raise CallFailed(Disabled(f"sheet {self._settings.sheet!r}: {act}"))

    async def _read(self, url: str, deadline: float, secrets: SecretValues) -> JsonObject:
        try:
            return await self._calls.read(url, deadline, secrets)
        except CallFailed as failed:
            raise self._hold_for_sheet(failed) from failed

    async def _write(self, request: OutgoingRequest, deadline: float, secrets: SecretValues) -> JsonObject:
        try:
            return await self._calls.write(request, deadline, secrets)
        except CallFailed as failed:
            raise self._hold_for_sheet(failed) from failed

    def _hold_for_sheet(self, failed: CallFailed) -> CallFailed:
        """Return the failure, held where the sheet and not the row is at fault."""
        response = failed.response
        if response is None or response.status != 400:
            return failed
        for text, act in _FAULTS_OF_THE_SHEET.items():
            if text in response.body:
                return CallFailed(Disabled(f"sheet {self._settings.sheet!r}: {act}", response.excerpt), response)
        return failed

    def _range(self, cells: str) -> str:
        return range_in(self._settings.sheet, cells)


def header_fault(titles: Sequence[str], found: Sequence[Json]) -> str | None:
    """Return the first cell that is not the column's name; None if all are."""
    for index, title in enumerate(titles):
        cell = found[index] if index < len(found) else ""
        if cell != title:
            shown = cut(oneline(cell), 60)
            return f"cell {column_letters(index)}1 must be the column's name {title!r}; got {shown!r}"
    return None


def _first(values: Json) -> list[Json]:
    """Return the first row or column of a ValueRange, which has no `values` where all its cells are empty."""
    first = values[0] if isinstance(values, list) and values else []
    return first if isinstance(first, list) else []


def _objects(values: Json) -> list[JsonObject]:
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []
