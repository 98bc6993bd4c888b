"""The destination `sheet`: a row in a Google Sheet for each delivery, once.

Google's API recognises no repeat, so the delivery's id is in a column, and is looked for there before a retry. The
header's first cell, A1, is the anchor of every append: Google looks for the table that holds it, and inserts rows below
that table from its first column on. Values are written RAW: no text becomes a formula.

https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/append
https://developers.google.com/workspace/sheets/api/guides/values#append_values
https://developers.google.com/workspace/sheets/api/reference/rest/v4/ValueInputOption
"""

import asyncio
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, ClassVar, Final, Literal, NamedTuple
from urllib.parse import quote

from pydantic import AfterValidator, Field, model_validator

from functions.notify import bounded_texts, destination, destination_secrets, http_engine, kind_settings
from functions.notify.google_calls import CallFailed, GoogleCalls
from functions.notify.http_kind import OutgoingRequest, SecretValues, json_body
from shared import batching, errors, expressions, jsontext, limits, time_bound
from shared.config.rules import SecretName
from shared.delivery import Delivered, Delivery, Disabled, Failed, Outcome, RetryLater, Unknown
from shared.event import Event, oneline, view_of
from shared.outgoing.auth import GoogleOAuthRequestAuth

GOOGLE: Final = "https://sheets.googleapis.com"
SCOPE: Final = "https://www.googleapis.com/auth/spreadsheets"
HEADER_SECONDS: Final = 300.0
"""How long after a check that found the right header it is not read again."""
PAGE_ROWS: Final = 50_000
"""The number of rows whose ids are read at once. They have 3.5 MB."""
_FAULTS_OF_THE_SHEET: Final = {
    b"Unable to parse range": "the spreadsheet has no such sheet: add it, or correct `sheet`",
    b"number of cells in the workbook above the limit": "the spreadsheet is full: name another one",
    b"protected cell": "cells are protected: allow the service account to edit them",
    b"not supported for this document": "the document is no Google Sheet: save it as one, or correct `spreadsheet`",
}
"""Texts in a 400 that every row would get, with the advice for each."""
_JSON: Final = (("content-type", "application/json"),)
_FIRST_ROW: Final = re.compile(r"![A-Z]+([0-9]+)")
"""The number of the first row in a range, such as `'Orders'!A7:D9`."""

MAX_COLUMNS: Final = 200
MAX_CHARACTERS: Final = 50_000
"""The length of a cell, which Google limits."""
MAX_EXACT: Final = 10**15
"""A sheet keeps 15 digits of a number. A longer integer, such as an id, is written as text."""
MAX_SHOWN_CHARACTERS: Final = 60
"""How much a message shows of a cell that does not have the expected header."""

MAX_ROWS: Final = 500
MAX_BATCH_BYTES: Final = 2 * limits.MIB
"""The size of an append. Google recommends 2 MB: https://developers.google.com/workspace/sheets/api/limits"""
MAX_WAITING: Final = 10_000
INTERVAL_SECONDS: Final = 1.0
"""The time between the beginnings of two appends, because Google allows an account 60 in a minute."""
NOT_SENT: Final = "the row waited for its turn until the attempt's time was over, and was not sent"
SHARE: Final = "share the spreadsheet with the service account as an editor, and correct `spreadsheet`"


def _title(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be printable text without spaces around it")
    return text


Title = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_title)]


class Settings(kind_settings.KindSettings):
    """Rows in a Google Sheet, each delivery once.

    Share the spreadsheet with the service account of `notify`, or of `secret`, as an editor.

    spreadsheet   its URL or id
    sheet         the name of the sheet in it, as its tab shows it
    columns       for each column, from A on, a JMESPath expression over the event
    header        `make` the first row if it is empty, and check it; or only `check` it; or `none`: there is no header
    delivery_id   the name of the column for the delivery's id, by which a row is written once. It is the last one;
                  with `header: none` the first one
    secret        a service account's key (JSON); without, this deployment's own account writes
    """

    extras: ClassVar[tuple[str, ...]] = ("crypto",)  # a service account's key signs by RSA

    spreadsheet: kind_settings.GoogleId
    sheet: Title
    columns: Annotated[Mapping[Title, kind_settings.EventExpression], Field(min_length=1, max_length=MAX_COLUMNS)]
    header: Literal["make", "check", "none"] = "make"
    delivery_id: Title = "Delivery"
    secret: SecretName | None = None

    @model_validator(mode="after")
    def _id_has_a_column_of_its_own(self) -> "Settings":
        if self.delivery_id in self.columns:
            raise ValueError(f"column {self.delivery_id!r} is for the delivery's id: name another one in `delivery_id`")
        return self

    @property
    def titles(self) -> tuple[str, ...]:
        """Return the names of all columns, in their order."""
        return (self.delivery_id, *self.columns) if self.header == "none" else (*self.columns, self.delivery_id)

    @property
    def id_column(self) -> int:
        """Return the index of the column with the delivery's id."""
        return 0 if self.header == "none" else len(self.columns)


@dataclass(slots=True)
class Row:
    """The row of a delivery.

    content   the JSON of its cells
    key       the attempt's `row_key`, which is one of the cells
    is_retry  it may be in the sheet already
    is_sent   an append has it, so it may be written
    """

    content: bytes
    key: str
    is_retry: bool
    is_sent: bool = False


class _Entry(NamedTuple):
    """A row that waits. `deadline` is the deadline of its attempt, a time of the event loop's clock."""

    row: Row
    secrets: SecretValues
    deadline: float


class SheetDestination:
    """The destination. Rows that wait at once in this process go into one append.

    _queue    submits the rows that wait to `_write_batch`, one batch after another
    _next_at  the time of the event loop at which the next append may begin
    """

    dedupes_repeats = True

    def __init__(self, settings: Settings, context: destination.Context) -> None:
        secrets = destination_secrets.DestinationSecrets(context.secrets, [settings.secret])
        self._attempts = http_engine.TimedAttempts(context, secrets)
        self._deadlines = time_bound.Deadlines()
        self._maker = RowMaker(settings)
        local_url = context.settings.sheets_url if settings.secret is None else None
        calls = GoogleCalls(context, None if local_url else auth_of(settings), "Google Sheets", SHARE)
        self._table = SheetTable(settings, calls, context.clock.now, local_url or GOOGLE)
        self._queue: batching.Batcher[_Entry, Outcome] = batching.Batcher(
            self._write_batch,
            max_batch=MAX_ROWS,
            max_waiting=MAX_WAITING,
            weigh=lambda entry: len(entry.row.content),
            max_weight=MAX_BATCH_BYTES,
        )
        self._next_at = 0.0

    async def attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        """Write the delivery's row, unless an earlier attempt has written it. As `Destination.attempt`."""

        # `whole` has its data: that of a large event is in a blob.
        def prepare(whole: Delivery, _: SecretValues) -> Row:
            return self._maker.row(whole.event, attempt.row_key, attempt.may_be_there)

        return await self._attempts.make(delivery, attempt, prepare, self._submit)

    async def _submit(self, row: Row, deadline: float, secrets: SecretValues) -> Outcome:
        """Return the row's outcome. At the deadline, a row that still waits is withdrawn. Raises Temporary."""
        try:
            return await self._deadlines.wait(self._queue.submit(_Entry(row, secrets, deadline)), deadline)
        except TimeoutError:
            return Unknown("Google Sheets did not answer in time") if row.is_sent else RetryLater(NOT_SENT)

    async def _write_batch(self, batch: Sequence[_Entry]) -> list[Outcome]:
        """Write the rows of the batch, but for retries that are there already. Raises Temporary and Permanent.

        It waits for its turn, verifies the header, looks for retries, leaves out rows whose time is over, and appends
        all others in one request.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._next_at - loop.time()))
        self._next_at = loop.time() + INTERVAL_SECONDS
        # `_submit` ends each row at its own deadline. The requests go on for those that have more time.
        deadline = max(entry.deadline for entry in batch)
        secrets = batch[0].secrets  # all rows have the secret of this destination
        retries = [entry.row for entry in batch if entry.row.is_retry]
        try:
            await self._table.verify_header(deadline, secrets, is_fresh=bool(retries))
        except CallFailed as failed:
            return [failed.outcome] * len(batch)
        outcomes = await self._outcomes_of_retries(retries, deadline, secrets)
        outcomes |= {entry.row.key: RetryLater(NOT_SENT) for entry in batch if entry.deadline <= loop.time()}
        left = [entry.row for entry in batch if entry.row.key not in outcomes]
        for row in left:
            row.is_sent = True
        appended = await self._append(left, deadline, secrets)
        outcomes |= dict(zip([row.key for row in left], appended, strict=True))
        return [outcomes[entry.row.key] for entry in batch]

    async def _outcomes_of_retries(
        self, rows: Sequence[Row], deadline: float, secrets: SecretValues
    ) -> dict[str, Outcome]:
        """Return the outcomes of the retries whose rows are there, so that they are not written.

        If it cannot be known now which rows are there, each retry has the outcome of the failed call.
        """
        keys = {row.key for row in rows}
        try:
            present = await self._table.present(keys, deadline, secrets) if keys else set()
        except CallFailed as failed:
            return dict.fromkeys(keys, failed.outcome)
        return {key: Delivered("the row was there already") for key in present}

    async def _append(self, rows: Sequence[Row], deadline: float, secrets: SecretValues) -> list[Outcome]:
        """Append the rows. Where Google rejects them, it has written none: each half is tried by itself."""
        if not rows or asyncio.get_running_loop().time() >= deadline:
            return [RetryLater(NOT_SENT)] * len(rows)
        try:
            return await self._table.append(rows, deadline, secrets)
        except CallFailed as failed:
            if not isinstance(failed.outcome, Failed) or len(rows) == 1:
                return [failed.outcome] * len(rows)
        half = len(rows) // 2
        first = await self._append(rows[:half], deadline, secrets)
        return [*first, *await self._append(rows[half:], deadline, secrets)]


def connect(name: str, settings: Settings, context: destination.Context) -> SheetDestination:
    return SheetDestination(settings, context)


def request(
    delivery: Delivery, settings: Settings, secrets: SecretValues, attempt: destination.Attempt
) -> OutgoingRequest:
    """Return the request that appends this delivery's row alone, for people to read. Raises Permanent."""
    del secrets  # the sender reads the account's key
    return append_request(settings, [RowMaker(settings).row(delivery.event, attempt.row_key)])


def append_request(settings: Settings, rows: Sequence[Row], api_url: str = GOOGLE) -> OutgoingRequest:
    """Return the request that appends the rows. RAW: a text that begins with `=` stays a text.

    When it is sent, GoogleCalls takes its authentication out for a server on this machine.
    """
    values = f"{_spreadsheet(settings, api_url)}/values/{quote(range_in(settings.sheet, 'A1'), safe='')}"
    url = f"{values}:append?valueInputOption=RAW&insertDataOption=INSERT_ROWS"
    body = b'{"values":[%b]}' % b",".join([row.content for row in rows])
    return OutgoingRequest("POST", url, _JSON, body, (auth_of(settings),))


def _spreadsheet(settings: Settings, api_url: str) -> str:
    return f"{api_url}/v4/spreadsheets/{settings.spreadsheet}"


def auth_of(settings: Settings) -> GoogleOAuthRequestAuth:
    """Return the scheme of each request: a token of the secret's service account, or of this deployment's own."""
    return GoogleOAuthRequestAuth(scheme="google_oauth", scope=SCOPE, secret=settings.secret)


class SheetTable:
    """The sheet, by Google's API. Each call has a deadline, a time of the event loop, and the values of the secrets.

    `now` returns Unix seconds. `api_url` is Google's, or that of another server with the same API. There, the header is
    read before each append.
    """

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

        `is_fresh`: read it now, although it was right a short time ago. This is needed before ids are looked for: if
        somebody has moved their column since, none would be found, and the rows would be written again.
        """
        if self._settings.header == "none" or (self._now() < self._header_until and not is_fresh):
            return
        titles = self._settings.titles
        name = range_in(self._settings.sheet, f"A1:{column_letters(len(titles) - 1)}1")
        header = await self._read(f"{self._values}/{quote(name, safe='')}", deadline, secrets)
        first_row = jsontext.list_at(header, "values", 0)
        if not first_row and self._settings.header == "make":
            body = json_body({"values": [list(titles)]})
            url = f"{self._values}/{quote(name, safe='')}?valueInputOption=RAW"
            await self._write(OutgoingRequest("PUT", url, _JSON, body), deadline, secrets)
        elif fault := header_fault(titles, first_row):
            rule, found = fault
            reason = f"sheet {self._settings.sheet!r}: {rule}; correct the first row, or `columns`"
            raise CallFailed(Disabled(reason, found))
        self._header_until = self._now() + self._header_seconds

    async def present(self, keys: Collection[str], deadline: float, secrets: SecretValues) -> set[str]:
        """Return which of the keys are in the sheet. Raises CallFailed and Temporary.

        It reads the ids page by page from the last row on, and ends once all keys are found: a retry's row is a recent
        one.
        """
        present_keys: set[str] = set()
        letters = column_letters(self._settings.id_column)
        end = await self._row_count(deadline, secrets)
        while end > 0 and len(present_keys) < len(keys):
            begin = max(1, end - PAGE_ROWS + 1)  # rows are counted from 1, and both ends belong to a range
            name = quote(range_in(self._settings.sheet, f"{letters}{begin}:{letters}{end}"), safe="")
            url = f"{self._values}/{name}?majorDimension=COLUMNS&prettyPrint=false"
            values = jsontext.list_at(await self._read(url, deadline, secrets), "values", 0)
            present_keys |= {each for each in values if isinstance(each, str) and each in keys}
            end = begin - 1
        return present_keys

    async def append(self, rows: Sequence[Row], deadline: float, secrets: SecretValues) -> list[Outcome]:
        """Append the rows in one request and return the outcome of each. Raises CallFailed, Temporary and Permanent."""
        answer = await self._write(append_request(self._settings, rows, self._api_url), deadline, secrets)
        written = jsontext.mapping_at(answer, "updates")
        if written.get("updatedRows") != len(rows):
            reason = f"Google Sheets says that it wrote {written.get('updatedRows')} of {len(rows)} rows"
            return [Unknown(oneline(reason)[:200])] * len(rows)
        at = _FIRST_ROW.search(str(written.get("updatedRange")))
        return [Delivered(f"row {int(at[1]) + index}" if at else "200") for index in range(len(rows))]

    async def _row_count(self, deadline: float, secrets: SecretValues) -> int:
        """Return the number of rows that the sheet has, empty ones too."""
        url = f"{self._spreadsheet}?fields=sheets.properties(title,gridProperties.rowCount)"
        for sheet in jsontext.objects_at(await self._read(url, deadline, secrets), "sheets"):
            properties = jsontext.mapping_at(sheet, "properties")
            if properties.get("title") == self._settings.sheet:
                count = jsontext.value_at(properties, "gridProperties", "rowCount")
                if isinstance(count, int):
                    return count
        advice = _FAULTS_OF_THE_SHEET[b"Unable to parse range"]
        raise CallFailed(Disabled(f"sheet {self._settings.sheet!r}: {advice}"))

    async def _read(self, url: str, deadline: float, secrets: SecretValues) -> jsontext.JsonObject:
        """Return the answer of a GET. Raises CallFailed, held if the sheet is at fault, and Temporary."""
        with self._faults_of_the_sheet():
            return await self._calls.read(url, deadline, secrets)

    async def _write(self, request: OutgoingRequest, deadline: float, secrets: SecretValues) -> jsontext.JsonObject:
        """Return the answer of a request that changes the sheet. Raises as `_read` does, and Permanent."""
        with self._faults_of_the_sheet():
            return await self._calls.write(request, deadline, secrets)

    @contextmanager
    def _faults_of_the_sheet(self) -> Iterator[None]:
        """Let a call that failed hold the destination where the sheet and not the row is at fault."""
        try:
            yield
        except CallFailed as failed:
            response = failed.response
            body = response.body if response and response.status == 400 else b""
            advice = next((advice for text, advice in _FAULTS_OF_THE_SHEET.items() if text in body), None)
            if response is None or advice is None:
                raise
            reason = f"sheet {self._settings.sheet!r}: {advice}"
            raise CallFailed(Disabled(reason, response.excerpt), response) from failed


def header_fault(titles: Sequence[str], first_row: Sequence[jsontext.Json]) -> tuple[str, str] | None:
    """Return the rule that the first wrong cell breaks, and what the cell holds; None if each is its column's name.

    The reason of an outcome is logged, and the cell may hold a value of an event: only the answer has it.
    """
    for index, title in enumerate(titles):
        cell = first_row[index] if index < len(first_row) else ""
        if cell != title:
            name = f"{column_letters(index)}1"
            shown = bounded_texts.cut(oneline(cell), MAX_SHOWN_CHARACTERS)
            return f"cell {name} must be the column's name {title!r}", f"cell {name} is {shown!r}"
    return None


class RowMaker:
    """Makes the rows of events, by expressions that are compiled once."""

    def __init__(self, settings: Settings) -> None:
        self._columns = [(name, expressions.over_event(text)) for name, text in settings.columns.items()]
        self._is_id_first = settings.id_column == 0
        self._bound = bounded_texts.bound_of([expression for _, expression in self._columns])

    def row(self, event: Event, key: str, is_retry: bool = False) -> Row:
        """Return the row of an event. Raises Permanent."""
        view = view_of(event)
        with self._bound():
            cells = [_cell(name, expression.search(view)) for name, expression in self._columns]
        cells.insert(0 if self._is_id_first else len(cells), key)
        return Row(json_body(cells), key, is_retry)


def _cell(column: str, value: jsontext.Json) -> jsontext.Json:
    """Return the value as a cell takes it. Raises Permanent (`conversion_failed`) for one that JSON does not have."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value) if abs(value) >= MAX_EXACT else value
    if isinstance(value, float):
        if not isfinite(value):
            raise errors.Permanent("conversion_failed", f"column {column!r}: its number is not finite")
        return value
    try:
        text = value if isinstance(value, str) else jsontext.to_json(value)
    except (ValueError, RecursionError):
        raise errors.Permanent("conversion_failed", f"column {column!r}: its value is no JSON") from None
    return bounded_texts.cut(text, MAX_CHARACTERS, "utf-16")


def column_letters(index: int) -> str:
    """Return the name of the column at `index`: A for 0, AA for 26."""
    letters = ""
    number = index + 1
    while number:
        number, letter = divmod(number - 1, 26)  # the letters have no zero: after Z comes AA
        letters = chr(ord("A") + letter) + letters
    return letters


def range_in(sheet: str, cells: str) -> str:
    """Return a range in A1 notation."""
    quoted = sheet.replace("'", "''")
    return f"'{quoted}'!{cells}"
