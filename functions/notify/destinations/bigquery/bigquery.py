"""BigQuery: rows that are streamed into a table.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll
https://cloud.google.com/bigquery/docs/reference/rest/v2/tables/insert

BigQuery leaves out a row whose `insertId` came within about a minute, as well as it can. That covers a request whose
connection broke, which is sent again at once. It does not cover a retry minutes later: the row keeps the delivery's
id, so that a query counts each delivery once. To ask for the id before each retry would read that column of the whole
table, and needs rights to read the table and to run queries.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, cast
from urllib.parse import quote

from functions.notify.columns import converted
from functions.notify.destination import Attempt, Context
from functions.notify.destinations.bigquery.settings import TYPES, Settings
from functions.notify.http_attempt import UNREACHABLE_SECONDS
from functions.notify.http_batches import BatchDestination, BatchKind
from functions.notify.http_kind import (
    HttpExample,
    OutgoingRequest,
    Response,
    SecretValues,
    held,
    json_body,
    json_request,
    outcome_by_status,
)
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.errors import Permanent
from shared.event import oneline, view_of
from shared.expressions import Expression
from shared.jsontext import Json, JsonObject
from shared.outgoing.auth import GoogleOAuthRequestAuth

API: Final = "https://bigquery.googleapis.com"
INSERT_SCOPE: Final = "https://www.googleapis.com/auth/bigquery.insertdata"
CREATE_SCOPE: Final = "https://www.googleapis.com/auth/bigquery"
MAX_ROWS: Final = 500
MAX_BYTES: Final = 9_000_000
"""BigQuery takes 10 MB."""
MAX_SAFE_INTEGER: Final = 2**53
MAX_MESSAGE_CHARACTERS: Final = 200
NEW_TABLE_SECONDS: Final = UNREACHABLE_SECONDS
_BEFORE: Final = b'{"skipInvalidRows":true,"rows":['
_AFTER: Final = b"]}"
_NO_FIELD: Final = "no such field"
_QUOTA: Final = frozenset({"quotaExceeded", "rateLimitExceeded"})

EXAMPLES: Final = (
    HttpExample(
        settings={
            "project": "example-project",
            "dataset": "sales",
            "table": "orders",
            "columns": {
                "number": {"value": "data.number", "type": "integer"},
                "total": {"value": "data.total", "type": "number"},
                "received": {"value": "receivedat", "type": "time"},
                "lines": {"value": "data.lines", "type": "json"},
            },
            "create": True,
        },
        data={"number": "1042", "total": 99.5, "lines": [{"sku": "=A1"}]},
        url=f"{API}/bigquery/v2/projects/example-project/datasets/sales/tables/orders/insertAll",
        body={
            "skipInvalidRows": True,
            "rows": [
                {
                    "insertId": "5f0c" * 16,
                    "json": {
                        "number": 1042,
                        "total": 99.5,
                        "received": "2026-03-01T12:00:05.000000Z",
                        "lines": '[{"sku":"=A1"}]',
                        "delivery_id": "5f0c" * 16,
                    },
                }
            ],
        },
    ),
)


def request(delivery: Delivery, settings: Settings, secrets: SecretValues, attempt: Attempt) -> OutgoingRequest:  # noqa: ARG001 the interface
    """Return the request of one row. Raises Permanent."""
    view = view_of(delivery.event)
    values: JsonObject = {
        name: _value(name, _expression(column.value).search(view), settings)
        for name, column in settings.columns.items()
    }
    if settings.delivery_id is not None:
        values[settings.delivery_id] = attempt.row_key
    row: JsonObject = {"insertId": attempt.row_key, "json": values}
    try:
        content = json_body(row)
    except (ValueError, RecursionError) as error:
        raise Permanent("conversion_failed", "the row has a value that JSON does not have") from error
    if len(content) > MAX_BYTES:
        raise Permanent("output_too_large", f"the row has {len(content):,} bytes; {MAX_BYTES:,} fit")
    url = f"{_table_url(settings)}/{quote(settings.table)}/insertAll"
    auth = _auth(settings, CREATE_SCOPE if settings.create else INSERT_SCOPE)
    headers = (("content-type", "application/json"),)
    return OutgoingRequest("POST", url, headers, _BEFORE + content + _AFTER, auth, settings.allow_private)


def outcome(response: Response) -> Outcome:
    return outcomes(response, 1)[0]


def joined(requests: Sequence[OutgoingRequest]) -> OutgoingRequest:
    """Return one request of all the rows."""
    first = requests[0]
    rows = b",".join([each.body[len(_BEFORE) : -len(_AFTER)] for each in requests])
    return OutgoingRequest(
        first.method, first.url, first.headers, _BEFORE + rows + _AFTER, first.auth, first.allow_private
    )


def outcomes(response: Response, count: int) -> Sequence[Outcome]:
    """Return the outcome of each row. BigQuery answers 200, and names the rows that it did not take."""
    if response.status != 200:
        return [_outcome_of_all(response)] * count
    answer = response.json()
    if response.is_cut or not isinstance(answer, dict):
        return [Unknown("BigQuery's answer is too long or no JSON", response.excerpt)] * count
    listed = answer.get("insertErrors", [])
    faults = dict(map(_fault_of_row, listed if isinstance(listed, list) else [listed]))
    rest: Outcome = Delivered("200 inserted")
    if not faults.keys() <= set(range(count)):
        rest = Unknown("BigQuery's answer names an error of no row that was sent", response.excerpt)
    return [faults.get(index, rest) for index in range(count)]


def table_request(settings: Settings) -> OutgoingRequest:
    """Return the request that creates the table, from the mapping."""
    fields: list[Json] = [
        {"name": name, "type": TYPES[settings.type_of(name) or "text"]} for name in settings.columns_written
    ]
    body: JsonObject = {
        "tableReference": {"projectId": settings.project, "datasetId": settings.dataset, "tableId": settings.table},
        "schema": {"fields": fields},
        "timePartitioning": {"type": "DAY"},
    }
    url = _table_url(settings)
    return json_request(url, body, auth=_auth(settings, CREATE_SCOPE), allow_private=settings.allow_private)


class BigQueryDestination(BatchDestination):
    def __init__(self, kind: BatchKind, settings: Settings, context: Context) -> None:
        names = [settings.secret] if settings.secret else []
        super().__init__(kind, settings, names, context, MAX_ROWS, MAX_BYTES, repeats=1)
        self._table = settings

    async def exchange(
        self, request: OutgoingRequest, deadline: float, secrets: SecretValues
    ) -> Response | RetryLater | Unknown:
        """Return the response to the rows; with `create`, make the table that is missing, and send them again."""
        response = await super().exchange(request, deadline, secrets)
        if not self._table.create or not isinstance(response, Response) or response.status != 404:
            return response
        created = await super().exchange(table_request(self._table), deadline, secrets)
        if not isinstance(created, Response):
            return RetryLater(f"the table could not be created: {created.reason}", UNREACHABLE_SECONDS)
        if created.status == 400:
            return RetryLater(
                "BigQuery rejects the table that `columns` make (400)", UNREACHABLE_SECONDS, created.excerpt
            )
        if created.status not in (200, 409):  # 409: another instance has just made it
            return created
        again = await super().exchange(request, deadline, secrets)
        if isinstance(again, Response) and again.status == 404:
            return RetryLater("the table was created; BigQuery takes its rows after some time", NEW_TABLE_SECONDS)
        return again


def connect(name: str, settings: Settings, context: Context) -> BigQueryDestination:  # noqa: ARG001 the interface
    return BigQueryDestination(cast("BatchKind", sys.modules[__name__]), settings, context)


def _outcome_of_all(response: Response) -> Outcome:
    status, reason = response.status, _reason(response)
    if status == 403 and reason in _QUOTA:
        return RetryLater(f"BigQuery's quota is used up ({reason})", UNREACHABLE_SECONDS, response.excerpt)
    if status in {401, 403, 404}:
        act = "correct the project, dataset and table, or let the account write to it (BigQuery Data Editor)"
        return held(response, "BigQuery", act)
    return outcome_by_status(response, "BigQuery", failed={400, 413})


def _reason(response: Response) -> str:
    answer = response.json()
    error = answer.get("error") if isinstance(answer, dict) else None
    errors = error.get("errors") if isinstance(error, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return str(first.get("reason")) if isinstance(first, dict) else ""


def _fault_of_row(written: Json) -> tuple[int, Outcome]:
    """Return the row's number and its outcome: a row that does not fit the table never will."""
    entry = written if isinstance(written, dict) else {}
    errors = entry.get("errors")
    listed = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    index = entry.get("index", 0)  # JSON of protocol buffers leaves out a zero
    number = index if isinstance(written, dict) and isinstance(index, int) else -1
    for error in listed:
        if error.get("reason") == "invalid":
            column = oneline(str(error.get("location") or "")).strip()
            message = oneline(str(error.get("message") or ""))[:MAX_MESSAGE_CHARACTERS]
            if message.startswith(_NO_FIELD) and "." not in column:  # no row chooses it: the settings name the columns
                act = f"the table lacks the column {column!r}: add it, which BigQuery heeds after some minutes"
                return number, Disabled(f"{act}, or correct `columns`", message)
            where = f"column {column!r}" if column else "the row"
            return number, Failed("request_rejected", f"BigQuery rejects {where} (invalid)", message)
    reason = str(listed[0].get("reason")) if listed else "no reason"
    return number, RetryLater(f"BigQuery did not take the row ({oneline(reason)[:MAX_MESSAGE_CHARACTERS]})")


def _value(name: str, found: Json, settings: Settings) -> Json:
    """Return the value as insertAll takes it: JSON as text, a time in UTC, a long integer as text. Raises Permanent."""
    type_ = settings.type_of(name)
    if type_ is None:
        return found
    value = converted(name, found, type_)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    is_long = isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER
    return str(value) if is_long else value


def _table_url(settings: Settings) -> str:
    place = f"projects/{settings.project}/datasets/{settings.dataset}/tables"
    return f"{settings.api_url or API}/bigquery/v2/{place}"


def _auth(settings: Settings, scope: str) -> tuple[GoogleOAuthRequestAuth]:
    return (GoogleOAuthRequestAuth(scheme="google_oauth", scope=scope, secret=settings.secret),)


@lru_cache(maxsize=1_000)
def _expression(text: str) -> Expression:
    return Expression(text)
