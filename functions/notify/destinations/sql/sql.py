"""The destination `sql`: a row in a table for each delivery, once."""

import asyncio
from typing import NamedTuple

from functions.notify.destination import Attempt, Context
from functions.notify.destination_secrets import NO_SECRETS, DestinationSecrets, outcome_of_fault
from functions.notify.destinations.sql.database import Database
from functions.notify.destinations.sql.place import Place, place_of
from functions.notify.destinations.sql.rows import RowMaker
from functions.notify.destinations.sql.settings import Settings
from functions.notify.destinations.sql.writer import RowWriter, WaitingRow
from functions.notify.http_kind import SecretValues
from shared.claim_check import checked_out
from shared.delivery import Delivery, Disabled, Outcome, RetryLater, Unknown
from shared.errors import Temporary
from shared.event import view_of
from shared.time_bound import Deadlines

NO_DISK = "SQLite is for `make dev` only: a cloud's disk is lost with the instance. Name another database"


class _Connected(NamedTuple):
    """The parts that make and write rows at a place, which these secrets name."""

    secrets: SecretValues
    place: Place
    maker: RowMaker
    database: Database
    writer: RowWriter


class SqlDestination:
    """The destination. The delivery's id, or the key, is unique in the table: a repeat has no further effect."""

    dedupes_repeats = True

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        names = [name for name in (settings.url_secret, settings.password_secret) if name is not None]
        self._secrets = DestinationSecrets(context.secrets, names)
        self._deadlines = Deadlines()
        self._connected: _Connected | None = None

    async def attempt(self, delivery: Delivery, attempt: Attempt) -> Outcome:
        deadline = asyncio.get_running_loop().time() + attempt.timeout_seconds
        secrets, row, writer = NO_SECRETS, None, None
        try:
            secrets = await self._deadlines.wait(self._secrets.read(), deadline)
            connected = self._connection(secrets, attempt.timeout_seconds)
            if isinstance(connected, Disabled):
                return connected
            writer, event = connected.writer, delivery.event
            if event.dataref is not None:
                event = await self._deadlines.wait(checked_out(event, self._context.blobs), deadline)
            made = connected.maker.row(view_of(event), attempt.row_key, attempt.may_be_there)
            row = writer.submit(made)
            outcome = await self._deadlines.wait(row.future, deadline)
        except TimeoutError as error:
            return _outcome_at_timeout(attempt.timeout_seconds, row, writer, error)
        except Temporary as error:
            outcome = outcome_of_fault(error)
        return await self._secrets.unless_changed(outcome, secrets)

    def close(self) -> None:
        if self._connected is not None:
            self._connected.writer.close()
            self._connected.database.close()

    def _connection(self, secrets: SecretValues, timeout_seconds: float) -> "_Connected | Disabled":
        """Return what makes and writes rows; another one after a secret has changed. Raises Temporary."""
        connected = self._connected
        if connected is not None and connected.secrets == secrets:
            return connected
        place = place_of(self._settings, secrets)
        is_local = self._context.settings.is_local or self._context.settings.aws_endpoint is not None
        if place.driver == "sqlite" and not is_local:
            return Disabled(NO_DISK)
        if connected is None or connected.place != place:
            if connected is not None:
                connected.database.close()  # the connections that are in use are closed after it
            database = Database(place, self._settings, timeout_seconds)
            writer = RowWriter(database.write, database.threads, database.most_rows)
            connected = _Connected(secrets, place, RowMaker(self._settings, place.driver), database, writer)
        self._connected = connected._replace(secrets=secrets)
        return self._connected


def _outcome_at_timeout(
    seconds: float, row: WaitingRow | None, writer: RowWriter | None, error: TimeoutError
) -> Outcome:
    """Return the outcome. Raises Temporary where nothing of the database's took the time."""
    if row is None or writer is None:
        raise Temporary("attempt_timeout", f"the attempt's {seconds:g} s were over before the row was sent") from error
    if writer.withdraw(row):
        return RetryLater(f"the row waited for the database for {seconds:g} s, and was not written")
    return Unknown(f"the database did not answer within {seconds:g} s")


def connect(name: str, settings: object, context: Context) -> SqlDestination:
    del name
    return SqlDestination(Settings.model_validate(settings), context)
