"""The destination `bigquery`: rows that are streamed into a table. Rows that wait at once go into one request.

BigQuery leaves out a row whose `insertId` came within about a minute, as well as it can. That covers a request whose
connection broke, which is sent again at once. It does not cover a retry minutes later: the row keeps the delivery's
id, so that a query counts each delivery once. To look for the id before each retry would read that column of the whole
table, and needs rights to read the table and to run queries.

https://cloud.google.com/bigquery/docs/reference/rest/v2/tabledata/insertAll
https://cloud.google.com/bigquery/docs/reference/rest/v2/tables/insert
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import compress
from typing import Annotated, ClassVar, Final, Self, cast
from urllib.parse import quote

from pydantic import BeforeValidator, Field, model_validator

from functions.notify import bounded_texts, destination, http_kind, kind_settings
from functions.notify.columns import ColumnSettings, ColumnType, as_column, converted
from functions.notify.http_engine import UNREACHABLE_SECONDS, HttpDestination, HttpKind
from shared import batching, errors, event, jsontext, limits
from shared.config.rules import SecretName
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.outgoing.auth import GoogleOAuthRequestAuth

API: Final = "https://bigquery.googleapis.com"
INSERT_SCOPE: Final = "https://www.googleapis.com/auth/bigquery.insertdata"
CREATE_SCOPE: Final = "https://www.googleapis.com/auth/bigquery"
MAX_ROWS: Final = 500
"""The rows of a request: https://cloud.google.com/bigquery/quotas#streaming_inserts recommends no more."""
MAX_BYTES: Final = 9_000_000
"""The size of a request's rows. BigQuery takes 10 MB."""
MAX_ANSWER_BYTES: Final = 4 * limits.MIB
"""The size of a response, which may name each row of a request."""
MAX_WAITING: Final = 10_000
"""The most rows that wait for a request. One more raises Temporary (`queue_full`)."""
MIN_SECONDS: Final = 0.5
"""A row that has less time left is not sent any more: no response could come in time."""
MAX_SAFE_INTEGER: Final = 2**53
"""A larger integer is sent as text, because a reader of JSON may take numbers for floats."""
MAX_MESSAGE_CHARACTERS: Final = 200
TYPES: Final[Mapping[ColumnType, str]] = {
    "text": "STRING",
    "integer": "INTEGER",
    "number": "FLOAT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "time": "TIMESTAMP",
    "json": "JSON",
}
"""The type of a column that `create` makes."""
FITTING: Final[Mapping[ColumnType, frozenset[str]]] = {
    "text": frozenset({"STRING"}),
    "integer": frozenset({"INTEGER", "INT64", "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"}),
    "number": frozenset({"FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC"}),
    "boolean": frozenset({"BOOLEAN", "BOOL"}),
    "date": frozenset({"DATE", "STRING"}),
    "time": frozenset({"TIMESTAMP", "STRING"}),
    "json": frozenset({"JSON", "STRING"}),
}
"""The types of columns that take the values of a type of the mapping."""
_PERHAPS_FOR_ONE_ROW: Final = frozenset({400, 413})
"""The statuses by which BigQuery rejects all rows, perhaps because of one of them."""
_QUOTA: Final = frozenset({"quotaExceeded", "rateLimitExceeded"})
_NO_FIELD: Final = "no such field"
_NOT_SENT: Final = RetryLater("the delivery waited for others to be sent, and was not sent")
_BEFORE_ROWS: Final = b'{"skipInvalidRows":true,"rows":['
_AFTER_ROWS: Final = b"]}"
"""The body of each request before and after its rows, by which `_joined` joins several."""

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,299}$")]


class Settings(kind_settings.KindSettings):
    """A row in a table of BigQuery.

    project, dataset, table  the table
    columns        for each column the JMESPath expression of its value over the event, or `{value: …, type: …}` with
                   the type `text`, `integer`, `number`, `boolean`, `date`, `time` or `json`
    delivery_id    the column that keeps the delivery's id, by which a query finds repeated rows; null for none
    create         create the table if it is missing, partitioned by the day
    secret         a service account's key (JSON); without, this deployment's own account writes
    api_url        another server with the same interface
    allow_private  allow an `api_url` at a private address, and plain http
    """

    extras_with_secret: ClassVar[tuple[str, ...]] = ("crypto",)  # the key signs by RSA

    project: Annotated[str, Field(pattern=r"^[a-z0-9.:-]{1,63}$", examples=["my-project"])]
    dataset: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,1024}$", examples=["my_dataset"])]
    table: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$", examples=["orders"])]
    columns: Annotated[
        Mapping[ColumnName, Annotated[ColumnSettings, BeforeValidator(as_column)]],
        Field(min_length=1, max_length=1_000),
    ]
    delivery_id: ColumnName | None = "delivery_id"
    create: bool = False
    secret: SecretName | None = None
    api_url: kind_settings.ServerAddress | None = None
    allow_private: bool = False

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        names = [name.lower() for name in self.row_columns]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            rule = "names differ in more than case, and `delivery_id` names a column of its own"
            raise ValueError(f"columns: {twice[0]!r} is there twice; {rule}")
        return self

    @property
    def table_text(self) -> str:
        """Return the table's name for people."""
        return f"{self.project}.{self.dataset}.{self.table}"

    def type_of(self, column: str) -> ColumnType | None:
        """Return the column's type; None if values go to BigQuery as they are."""
        if column == self.delivery_id:
            return "text"
        return self.columns[column].type or ("text" if self.create else None)

    @property
    def row_columns(self) -> tuple[str, ...]:
        return tuple(self.columns) if self.delivery_id is None else (*self.columns, self.delivery_id)


def request(
    delivery: Delivery, settings: Settings, secrets: http_kind.SecretValues, attempt: destination.Attempt
) -> http_kind.OutgoingRequest:
    """Return the request of one row. Raises Permanent: `conversion_failed` or `output_too_large`."""
    view = event.view_of(delivery.event)
    values: jsontext.JsonObject = {
        name: _value(name, bounded_texts.compiled_expression(column.value).search(view), settings)
        for name, column in settings.columns.items()
    }
    if settings.delivery_id is not None:
        values[settings.delivery_id] = attempt.row_key
    try:
        content = http_kind.json_body({"insertId": attempt.row_key, "json": values})
    except (ValueError, RecursionError) as error:
        raise errors.Permanent("conversion_failed", "the row has a value that JSON does not have") from error
    if len(content) > MAX_BYTES:
        raise errors.Permanent("output_too_large", f"the row has {len(content):,} bytes; {MAX_BYTES:,} fit")
    url = f"{_table_url(settings)}/{quote(settings.table)}/insertAll"
    auth = _auth(settings, CREATE_SCOPE if settings.create else INSERT_SCOPE)
    return http_kind.OutgoingRequest(
        method="POST",
        url=url,
        headers=(("content-type", "application/json"),),
        body=_BEFORE_ROWS + content + _AFTER_ROWS,
        auth=auth,
        allow_private=settings.allow_private,
    )


def outcome(response: http_kind.Response) -> Outcome:
    """Return the outcome of a request with one row."""
    return outcomes(response, 1)[0]


def outcomes(response: http_kind.Response, count: int) -> Sequence[Outcome]:
    """Return the outcome of each of `count` rows. BigQuery answers 200, and names the rows that it did not take."""
    if response.status != 200:
        return [_outcome_of_all(response)] * count
    answer = response.json()
    if response.is_cut or not isinstance(answer, dict):
        return [Unknown("BigQuery's answer is too long or no JSON", response.excerpt)] * count
    insert_errors = answer.get("insertErrors", [])
    faults = dict(map(_fault_of_row, insert_errors if isinstance(insert_errors, list) else [insert_errors]))
    rest: Outcome = Delivered("200 inserted")
    if not faults.keys() <= set(range(count)):
        rest = Unknown("BigQuery's answer names an error of no row that was sent", response.excerpt)
    return [faults.get(index, rest) for index in range(count)]


def table_request(settings: Settings) -> http_kind.OutgoingRequest:
    """Return the request that creates the table, from the mapping."""
    fields: list[jsontext.Json] = [
        {"name": name, "type": TYPES[settings.type_of(name) or "text"]} for name in settings.row_columns
    ]
    body: jsontext.JsonObject = {
        "tableReference": {"projectId": settings.project, "datasetId": settings.dataset, "tableId": settings.table},
        "schema": {"fields": fields},
        "timePartitioning": {"type": "DAY"},
    }
    auth = _auth(settings, CREATE_SCOPE)
    return http_kind.json_request(_table_url(settings), body, auth=auth, allow_private=settings.allow_private)


@dataclass(slots=True)
class _WaitingRow:
    """A row that waits, as the request of this row alone. `deadline` is a time of the event loop.

    `is_sent` tells the outcome at the deadline. It is set before the row is sent: BigQuery may store it then. It is
    taken back if BigQuery rejects the whole request.
    """

    request: http_kind.OutgoingRequest
    deadline: float
    secrets: http_kind.SecretValues
    is_sent: bool = False


_RowResult = Outcome | errors.Permanent | errors.Temporary
"""An error is a result here, because the batcher would raise it for all rows of a batch."""


class BigQueryDestination(HttpDestination):
    """The destination. The first row is sent at once, and what arrives meanwhile goes into the next request.

    It replaces two steps of HttpDestination: `send` lets a row wait for others, and `exchange` creates a table that is
    missing.
    """

    def __init__(self, settings: Settings, context: destination.Context) -> None:
        # A kind of HTTP requests is a module with the functions `request` and `outcome`: see http_kind.py.
        kind = cast("HttpKind", sys.modules[__name__])
        super().__init__(kind, settings, [settings.secret], context, max_response_bytes=MAX_ANSWER_BYTES)
        self._table = settings
        self._batcher: batching.Batcher[_WaitingRow, _RowResult] = batching.Batcher(
            self._send_in_time,
            max_batch=MAX_ROWS,
            max_waiting=MAX_WAITING,
            weigh=lambda row: len(row.request.body),
            max_weight=MAX_BYTES,
        )

    async def send(
        self, request: http_kind.OutgoingRequest, deadline: float, secrets: http_kind.SecretValues
    ) -> Outcome:
        """Send the row with others, and return its outcome. Raises Permanent and Temporary."""
        row = _WaitingRow(request, deadline, secrets)
        try:
            async with asyncio.timeout_at(deadline):
                result = await self._batcher.submit(row)
        except TimeoutError:
            return Unknown("no answer came in time") if row.is_sent else _NOT_SENT
        if isinstance(result, errors.Permanent | errors.Temporary):
            raise result
        return result

    async def _send_in_time(self, rows: Sequence[_WaitingRow]) -> Sequence[_RowResult]:
        """Send the rows that have time left for a response, and return the result of each row in their order."""
        now = asyncio.get_running_loop().time()
        have_time = [row.deadline - now >= MIN_SECONDS for row in rows]
        in_time = [*compress(rows, have_time)]
        results = iter(await self._send_together(in_time) if in_time else ())
        return [next(results) if has_time else _NOT_SENT for has_time in have_time]

    async def _send_together(self, rows: Sequence[_WaitingRow]) -> Sequence[_RowResult]:
        """Send the rows together, and return the result of each.

        If BigQuery rejects all of them, perhaps because of one row, send each half by itself, down to single rows.
        """
        deadline = min(row.deadline for row in rows)
        if deadline - asyncio.get_running_loop().time() < MIN_SECONDS:  # many halves took the time
            return [RetryLater("the time was over before this delivery was sent without those beside it")] * len(rows)
        for row in rows:
            row.is_sent = True
        try:
            response = await self._exchange_twice(_joined(rows), deadline, rows[0].secrets)
        except (errors.Permanent, errors.Temporary) as error:
            return [error] * len(rows)
        if not isinstance(response, http_kind.Response):
            return [response] * len(rows)
        if response.status not in _PERHAPS_FOR_ONE_ROW or len(rows) == 1:
            return outcomes(response, len(rows))
        for row in rows:
            row.is_sent = False  # nothing was accepted
        half = len(rows) // 2
        first_half = await self._send_together(rows[:half])
        return [*first_half, *await self._send_together(rows[half:])]

    async def _exchange_twice(
        self, request: http_kind.OutgoingRequest, deadline: float, secrets: http_kind.SecretValues
    ) -> http_kind.Response | RetryLater | Unknown:
        """Return the response. A request without one is sent again at once, while BigQuery recognises its rows."""
        response = await self.exchange(request, deadline, secrets)
        if not isinstance(response, Unknown) or deadline - asyncio.get_running_loop().time() < MIN_SECONDS:
            return response
        again = await self.exchange(request, deadline, secrets)
        return response if isinstance(again, RetryLater) else again  # the first may have been accepted

    async def exchange(
        self, request: http_kind.OutgoingRequest, deadline: float, secrets: http_kind.SecretValues
    ) -> http_kind.Response | RetryLater | Unknown:
        """Return the response to the rows; with `create`, make the table that is missing, and send them again."""
        response = await super().exchange(request, deadline, secrets)
        if not self._table.create or not isinstance(response, http_kind.Response) or response.status != 404:
            return response
        created = await super().exchange(table_request(self._table), deadline, secrets)
        if not isinstance(created, http_kind.Response):
            return RetryLater(f"the table could not be created: {created.reason}", UNREACHABLE_SECONDS)
        if created.status == 400:
            rule = "BigQuery rejects the table that `columns` make (400)"
            return RetryLater(rule, UNREACHABLE_SECONDS, created.excerpt)
        if created.status not in (200, 409):  # 409: another instance has just made it
            return created
        again = await super().exchange(request, deadline, secrets)
        if isinstance(again, http_kind.Response) and again.status == 404:
            return RetryLater("the table was created; BigQuery takes its rows after some time", UNREACHABLE_SECONDS)
        return again


def connect(name: str, settings: Settings, context: destination.Context) -> BigQueryDestination:
    return BigQueryDestination(settings, context)


def _joined(rows: Sequence[_WaitingRow]) -> http_kind.OutgoingRequest:
    """Return one request of all the rows, made of the bodies of their own requests."""
    contents = b",".join([row.request.body[len(_BEFORE_ROWS) : -len(_AFTER_ROWS)] for row in rows])
    return replace(rows[0].request, body=_BEFORE_ROWS + contents + _AFTER_ROWS)


def _outcome_of_all(response: http_kind.Response) -> Outcome:
    """Return the outcome of each row after a response to all of them, which is no success."""
    status = response.status
    reason = str(response.member("error", "errors", 0, "reason"))
    if status == 403 and reason in _QUOTA:
        return RetryLater(f"BigQuery's quota is used up ({reason})", UNREACHABLE_SECONDS, response.excerpt)
    advice = "correct the project, dataset and table, or let the account write to it (BigQuery Data Editor)"
    return http_kind.outcome_by_status(response, "BigQuery", failed={400, 413}, held_advice=advice)


def _fault_of_row(written: jsontext.Json) -> tuple[int, Outcome]:
    """Return the row's number and its outcome: a row that does not fit the table never will."""
    entry = jsontext.mapping_at(written)
    # The JSON of protocol buffers leaves out a zero.
    index = entry.get("index", 0)
    number = index if isinstance(written, dict) and isinstance(index, int) else -1
    row_errors = jsontext.objects_at(entry, "errors")
    for error in row_errors:
        if error.get("reason") == "invalid":
            column = event.oneline(str(error.get("location") or "")).strip()
            message = event.oneline(str(error.get("message") or ""))[:MAX_MESSAGE_CHARACTERS]
            if message.startswith(_NO_FIELD) and "." not in column:  # no row chooses it: the settings name the columns
                advice = f"the table lacks the column {column!r}: add it, which BigQuery heeds after some minutes"
                return number, Disabled(f"{advice}, or correct `columns`", message)
            # A reason is logged. Below the column, names may be keys in the event's data: only the answer has them.
            own_name = column.partition(".")[0].partition("[")[0]
            where = f"column {own_name!r}" if own_name else "the row"
            return number, Failed("request_rejected", f"BigQuery rejects {where} (invalid)", message)
    reason = str(row_errors[0].get("reason")) if row_errors else "no reason"
    return number, RetryLater(f"BigQuery did not take the row ({event.oneline(reason)[:MAX_MESSAGE_CHARACTERS]})")


def _value(name: str, result: jsontext.Json, settings: Settings) -> jsontext.Json:
    """Return the value as insertAll takes it: a time in UTC, and a long integer or JSON as text. Raises Permanent."""
    type_ = settings.type_of(name)
    if type_ is None:
        return result
    value = converted(name, result, type_, has_floats=True)
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    is_long = isinstance(value, int) and abs(value) > MAX_SAFE_INTEGER
    return str(value) if is_long else value


def _table_url(settings: Settings) -> str:
    """Return the URL of the dataset's tables."""
    tables = f"projects/{settings.project}/datasets/{settings.dataset}/tables"
    return f"{settings.api_url or API}/bigquery/v2/{tables}"


def _auth(settings: Settings, scope: str) -> tuple[GoogleOAuthRequestAuth]:
    return (GoogleOAuthRequestAuth(scheme="google_oauth", scope=scope, secret=settings.secret),)
