"""The destination `sheet`: a row in a Google Sheet for each delivery, once.

Google's API recognises no repeat, so the delivery's id is in a column, and is looked for there before a retry.
https://developers.google.com/workspace/sheets/api/reference/rest/v4/spreadsheets.values/append
"""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import DestinationSecrets
from functions.notify.destinations.sheet.rows import Row, RowMaker
from functions.notify.destinations.sheet.settings import Settings
from functions.notify.destinations.sheet.table import GOOGLE, SheetTable, append_request, auth_of
from functions.notify.google_calls import CallFailed, GoogleCalls
from functions.notify.http_attempt import attempt_in_time
from functions.notify.http_examples import KEY
from functions.notify.http_kind import HttpExample, OutgoingRequest, SecretValues
from shared.batching import Batcher
from shared.delivery import Delivered, Delivery, Failed, Outcome, RetryLater, Unknown
from shared.limits import MIB
from shared.time_bound import Deadlines

__all__ = ["EXAMPLES", "Settings", "connect", "request"]

MAX_ROWS: Final = 500
MAX_BATCH_BYTES: Final = 2 * MIB
MAX_WAITING: Final = 10_000
INTERVAL_SECONDS: Final = 1.0
"""Between the beginnings of two appends: Google allows an account 60 a minute."""
NOT_SENT: Final = "the row waited for its turn until the attempt's time was over, and was not sent"
SHARE: Final = "share the spreadsheet with the service account as an editor, and correct `spreadsheet`"

EXAMPLES: Final = (
    HttpExample(
        settings={
            "spreadsheet": "https://docs.google.com/spreadsheets/d/1ExampleOfASpreadsheet/edit",
            "sheet": "Signups",
            "columns": {"Name": "data.name", "E-mail": "data.email", "Interests": "data.interests", "At": "receivedat"},
        },
        data={"name": "=HYPERLINK(1)", "email": "ada@example.com", "interests": ["news", "events"]},
        url="https://sheets.googleapis.com/v4/spreadsheets/1ExampleOfASpreadsheet/values/%27Signups%27%21A1:append"
        "?valueInputOption=RAW&insertDataOption=INSERT_ROWS",
        body={
            "values": [
                ["=HYPERLINK(1)", "ada@example.com", '["news","events"]', "2026-03-01T12:00:05.000Z", KEY],
            ]
        },
    ),
)


class _Waiting(NamedTuple):
    """A row that waits. `deadline` is that of its attempt, a time of the event loop."""

    row: Row
    secrets: SecretValues
    deadline: float


class SheetDestination:
    """The destination. Rows that wait at once in this process go into one append."""

    dedupes_repeats = True

    def __init__(self, settings: Settings, context: Context) -> None:
        self._secrets = DestinationSecrets(context.secrets, [settings.secret] if settings.secret else [])
        self._blobs = context.blobs
        self._deadlines = Deadlines()
        self._maker = RowMaker(settings)
        local_url = context.settings.sheets_url if settings.secret is None else None
        calls = GoogleCalls(context, None if local_url else auth_of(settings), "Google Sheets", SHARE)
        self._table = SheetTable(settings, calls, context.clock.now, local_url or GOOGLE)
        self._waiting: Batcher[_Waiting, Outcome] = Batcher(
            self._write,
            max_batch=MAX_ROWS,
            max_waiting=MAX_WAITING,
            weigh=lambda waiting: len(waiting.row.content),
            max_weight=MAX_BATCH_BYTES,
        )
        self._in_flight: set[str] = set()
        self._next_at = 0.0

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        def prepare(whole: Delivery, _: SecretValues) -> Row:
            return self._maker.row(whole.event, attempt.row_key, attempt.may_be_there)

        return await attempt_in_time(
            self._secrets, self._blobs, self._deadlines, delivery, attempt, prepare, self._submit
        )

    async def _submit(self, row: Row, deadline: float, secrets: SecretValues) -> Outcome:
        """Return the row's outcome. At the deadline, a row that still waits is withdrawn. Raises Temporary."""
        try:
            return await self._deadlines.wait(self._waiting.submit(_Waiting(row, secrets, deadline)), deadline)
        except TimeoutError:
            if row.key in self._in_flight:
                return Unknown("Google Sheets did not answer in time")
            return RetryLater(NOT_SENT)

    async def _write(self, batch: Sequence[_Waiting]) -> list[Outcome]:
        """Write the rows of the batch, but for retries that are there already. Raises Temporary and Permanent."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._next_at - loop.time())
        self._next_at = loop.time() + INTERVAL_SECONDS
        deadline, secrets = max(waiting.deadline for waiting in batch), batch[0].secrets
        retries = [waiting.row for waiting in batch if waiting.row.is_retry]
        try:
            await self._table.verify_header(deadline, secrets, is_fresh=bool(retries))
        except CallFailed as failed:
            return [failed.outcome] * len(batch)
        outcomes = await self._outcomes_of_retries(retries, deadline, secrets)
        outcomes |= {waiting.row.key: RetryLater(NOT_SENT) for waiting in batch if waiting.deadline <= loop.time()}
        left = [waiting.row for waiting in batch if waiting.row.key not in outcomes]
        keys = [row.key for row in left]
        self._in_flight.update(keys)
        try:
            outcomes |= dict(zip(keys, await self._append(left, deadline, secrets), strict=True))
        finally:
            self._in_flight.difference_update(keys)
        return [outcomes[waiting.row.key] for waiting in batch]

    async def _outcomes_of_retries(
        self, rows: Sequence[Row], deadline: float, secrets: SecretValues
    ) -> dict[str, Outcome]:
        """Return the outcomes of rows that are there, or of all where that cannot be known now."""
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


def request(delivery: Delivery, settings: Settings, secrets: SecretValues, attempt: Attempt) -> OutgoingRequest:
    """Return the request that appends this delivery's row alone. Raises Permanent."""
    del secrets  # the sender reads the account's key
    return append_request(settings, [RowMaker(settings).row(delivery.event, attempt.row_key)])


def connect(name: str, settings: object, context: Context) -> SheetDestination:
    del name
    return SheetDestination(Settings.model_validate(settings), context)
