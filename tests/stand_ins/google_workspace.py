"""A stand-in of Google Sheets, Docs and Drive behind the Fetch port; each exchange is held to Google's descriptions.

https://developers.google.com/workspace/sheets/api/guides/values#append_values describes the append.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from shared.errors import Temporary, Unanswered
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject, to_json
from shared.outgoing.guarded_fetch import verified_target
from tests.gcp.description import Description
from tests.stand_ins.google_documents import Documents, error

Fault: TypeAlias = "Literal['lost', 'unreachable', 'cut'] | tuple[int, Json] | tuple[int, Json, str]"
"""Of one request: its answer is lost after it had its effect; no connection; or an answer without an effect."""

_CELLS: Final = re.compile(r"'((?:[^']|'')*)'!([A-Z]+)([0-9]+)(?::([A-Z]+)([0-9]+))?")
_APIS: Final = {
    "sheets.googleapis.com": ("sheets", "v4"),
    "docs.googleapis.com": ("docs", "v1"),
    "www.googleapis.com": ("drive", "v3"),
}
MAX_CELL: Final = 50_000


@cache
def description(api: str, version: str) -> Description:
    return Description(api, version)


@dataclass
class Workspace:
    """`faults` are those of the next requests whose method and path match. `asked` are the requests, as `POST …`."""

    sheets: dict[str, list[list[Json]]] = field(default_factory=lambda: {"Signups": []})
    faults: list[tuple[str, Fault]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    bodies: list[Json] = field(default_factory=list)
    rejects: Callable[[Json], bool] = lambda _: False
    documents: Documents = field(default_factory=Documents)

    def fail(self, request: str, fault: Fault, times: int = 1) -> None:
        """Let the next requests fail whose text holds `request`, such as `:append`."""
        self.faults += [(request, fault)] * times

    async def fetch(self, request: Outgoing) -> Fetched:
        verified_target(request)
        parts = urlsplit(request.url)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        body: Json = json.loads(request.body) if request.body else None
        api = _APIS[parts.netloc]
        method = description(*api).method(request.method, parts.path, query, body)
        assert ("authorization", "Bearer ya29.example") in request.headers
        assert not (request.may_repeat and request.method != "GET"), "only a read may be sent twice"
        self.asked.append(f"{request.method} {unquote(request.url)}")
        self.bodies.append(body)
        fault = self._fault(self.asked[-1])
        if fault == "unreachable":
            raise Temporary("host_unreachable", f"{parts.netloc} refused the connection")
        if isinstance(fault, tuple):
            headers = (("retry-after", fault[2]),) if len(fault) > 2 and fault[2] else ()
            return Fetched(fault[0], headers, to_json(fault[1]).encode())
        if api[0] == "sheets":
            status, answer = self._sheets(request.method, unquote(parts.path), query, body)
        else:
            status, answer = self.documents.answer(api[0], request.method, unquote(parts.path), query, body)
        if status == 200:
            description(*api).check_answer(method, answer)
        if fault == "lost":
            raise Unanswered("host_unreachable", f"{parts.netloc} did not answer within 15 s")
        content = to_json(answer).encode()
        return Fetched(status, (), content[:20] if fault == "cut" else content[: request.max_bytes])

    def _fault(self, asked: str) -> "Fault | None":
        for index, (text, fault) in enumerate(self.faults):
            if text in asked:
                del self.faults[index]
                return fault
        return None

    def _sheets(self, verb: str, path: str, query: dict[str, str], body: Json) -> tuple[int, Json]:
        place = path.removeprefix("/v4/spreadsheets/")
        if "/values/" not in place:
            grids = [(title, max(1_000, len(rows))) for title, rows in self.sheets.items()]
            properties: list[Json] = [{"title": title, "gridProperties": {"rowCount": count}} for title, count in grids]
            return 200, {"sheets": [{"properties": each} for each in properties]}
        cells = _CELLS.fullmatch(place.partition("/values/")[2].removesuffix(":append"))
        if cells is None or (title := cells[1].replace("''", "'")) not in self.sheets:
            return error(400, "Unable to parse range: 'Signups'!A1")[:2]
        rows = self.sheets[title]
        if verb == "GET":
            return 200, self._read(rows, cells, query.get("majorDimension") == "COLUMNS")
        assert query["valueInputOption"] == "RAW"
        assert isinstance(body, dict)
        if self.rejects(body) or any(isinstance(cell, str) and len(cell) > MAX_CELL for cell in _flat(body["values"])):
            return error(400, "Your input contains more than the maximum of 50000 characters in a single cell.")[:2]
        written = _rows(body["values"])
        if verb == "PUT":
            rows[0:1] = written
            return 200, {"updatedRows": len(written)}
        assert query["insertDataOption"] == "INSERT_ROWS"
        end = next((index for index, row in enumerate(rows) if not any(row)), len(rows))
        rows[end:end] = written
        updates: JsonObject = {
            "updatedRange": f"'{cells[1]}'!A{end + 1}:Z{end + len(written)}",
            "updatedRows": len(written),
        }
        return 200, {"updates": updates}

    def _read(self, rows: list[list[Json]], cells: "re.Match[str]", by_column: bool) -> Json:
        first, last = _index(cells[2]), _index(cells[4])
        found = [row[first : last + 1] for row in rows[int(cells[3]) - 1 : int(cells[5])]]
        if by_column:
            found = [[row[0] if row else "" for row in found]]
        values: list[Json] = [_without_empty_end(row) for row in found]
        return {"range": cells[0], "values": values} if any(values) else {"range": cells[0]}


def _index(letters: str) -> int:
    value = 0
    for letter in letters:
        value = value * 26 + ord(letter) - ord("A") + 1
    return value - 1


def _without_empty_end(row: list[Json]) -> list[Json]:
    while row and row[-1] == "":
        row = row[:-1]
    return row


def _rows(values: Json) -> list[list[Json]]:
    assert isinstance(values, list)
    return [row for row in values if isinstance(row, list)]


def _flat(values: Json) -> list[Json]:
    return [cell for row in _rows(values) for cell in row]
