"""A stand-in of BigQuery's tables, each request checked against Google's description."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject, list_at, mapping_at, to_json
from tests.gcp.description import Description

TOKEN: Final = "ya29.of-the-bigquery-test"
PLACE: Final = "/bigquery/v2/projects/my-shop/datasets/sales/tables"
COLUMNS: Final[JsonObject] = {"name": "data.name", "n": {"value": "data.n", "type": "integer"}}
TABLE: Final[JsonObject] = {"project": "my-shop", "dataset": "sales", "table": "orders", "columns": COLUMNS}
FIELDS: Final = {"name": "STRING", "n": "INTEGER", "delivery_id": "STRING"}
"""The settings of the destination, and the columns of its table."""
SCOPES: Final = frozenset(
    {"https://www.googleapis.com/auth/bigquery", "https://www.googleapis.com/auth/bigquery.insertdata"}
)
_CHECKS: Final[dict[str, tuple[type, ...]]] = {
    "STRING": (str,),
    "INTEGER": (int, str),
    "FLOAT": (int, float, str),
    "BOOLEAN": (bool,),
    "TIMESTAMP": (str,),
    "JSON": (str,),
}


@dataclass(slots=True)
class Table:
    """`fields` are its columns and their types. `rows` are those that were stored, in their order."""

    fields: dict[str, str]
    rows: list[JsonObject] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)


@dataclass(slots=True)
class BigQuery:
    """The dataset `sales`.

    `hidden`: how many requests for rows do not see a new table yet. `poison`: a text that makes BigQuery
    reject the whole request.
    """

    tables: dict[str, Table] = field(default_factory=dict)
    hidden: int = 0
    poison: str = ""
    requests: list[int] = field(default_factory=list)
    _description: Description = field(default_factory=lambda: Description("bigquery", "v2"))

    async def fetch(self, request: Outgoing) -> Fetched:
        await asyncio.sleep(0.005)
        parts = urlsplit(request.url)
        assert parts.netloc == "bigquery.googleapis.com"
        assert dict(request.headers)["authorization"] == f"Bearer {TOKEN}"
        body = json.loads(request.body)
        method = self._description.method(request.method, parts.path, {}, body)
        if method.name == "bigquery.tables.insert":
            assert parts.path == PLACE
            status, answer = self._create(body)
        else:
            assert method.name == "bigquery.tabledata.insertAll"
            name = parts.path.removeprefix(f"{PLACE}/").removesuffix("/insertAll")
            assert len(body["rows"]) <= 500
            assert len(request.body) <= 10_000_000
            status, answer = self._insert(name, body)
        if status == 200:
            self._description.check_answer(method, answer)
        content = json.dumps(answer, indent=2).encode()  # Google's answers are indented
        return Fetched(status, (), content[: request.max_bytes], len(content) > request.max_bytes)

    def _create(self, body: JsonObject) -> tuple[int, JsonObject]:
        reference, schema = body["tableReference"], body["schema"]
        assert isinstance(reference, dict)
        assert isinstance(schema, dict)
        name, fields = str(reference["tableId"]), schema["fields"]
        if name in self.tables:
            return 409, error("duplicate", "Already Exists")
        assert isinstance(fields, list)
        self.tables[name] = Table({str(each["name"]): str(each["type"]) for each in fields if isinstance(each, dict)})
        return 200, {"kind": "bigquery#table", "tableReference": reference, "schema": schema}

    def _insert(self, name: str, body: JsonObject) -> tuple[int, JsonObject]:
        rows = list_at(body["rows"])
        assert body["skipInvalidRows"] is True
        self.requests.append(len(rows))
        if self.poison and self.poison in to_json(rows):
            return 400, error("invalid", "the request is not valid")
        table = self.tables.get(name)
        if table is None or self.hidden:
            self.hidden -= table is not None
            return 404, error("notFound", "Not found: Table")
        faults: list[Json] = []
        for index, row in enumerate(rows):
            assert isinstance(row, dict)
            fault = self._fault(table, row)
            if fault:
                faults.append({"index": index, "errors": [fault]})
            elif row["insertId"] not in table.ids:
                values = mapping_at(row["json"])
                table.ids.add(str(row["insertId"]))
                table.rows.append(values)
        kind = "bigquery#tableDataInsertAllResponse"
        return 200, {"kind": kind, "insertErrors": faults} if faults else {"kind": kind}

    def _fault(self, table: Table, row: JsonObject) -> JsonObject | None:
        values = mapping_at(row["json"])
        for name, value in values.items():
            if name not in table.fields:
                return {"reason": "invalid", "location": name, "debugInfo": "", "message": f"no such field: {name}."}
            if value is not None and not isinstance(value, _CHECKS[table.fields[name]]):
                return {"reason": "invalid", "location": name, "debugInfo": "", "message": "Cannot convert value"}
        return None


def error(reason: str, message: str) -> JsonObject:
    """Return an answer that says why a request was rejected."""
    return {"error": {"message": message, "errors": [{"domain": "global", "reason": reason, "message": message}]}}


async def google_token(scope: str) -> str:
    assert scope in SCOPES
    return TOKEN
