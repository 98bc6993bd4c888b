"""The destination `sql`: a row in a table for each delivery, once.

Rows that wait at once in this process go into one transaction. Drivers block, so a few threads write. Nothing waits
when idle: the first row starts a transaction at once, and what arrives while all threads write goes into the next one.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from functions.notify import destination, destination_secrets, http_engine, http_kind
from functions.notify.destinations.sql.database import Database
from functions.notify.destinations.sql.place import database_place
from functions.notify.destinations.sql.rows import Row, RowMaker
from functions.notify.destinations.sql.settings import Settings
from shared import batching, errors, event, limits
from shared.delivery import Delivery, Outcome, RetryLater, Unknown

NO_DISK = "SQLite is not for a cloud, whose disk is lost with the instance. Name another database"
MAX_ROWS: Final = 128
"""The most rows of a transaction. If one of them makes it fail, it is halved seven times at most. A statement for so
many rows of MAX_COLUMNS columns has 12,928 values; SQLite takes 32,766, and PostgreSQL 65,535.
"""
MAX_BYTES: Final = 4 * limits.MIB
"""The size of a transaction's values."""
MAX_WAITING: Final = 10_000
"""The most rows that wait for a thread. One more raises Temporary (`queue_full`)."""


class RowWriter:
    """Writes rows in batches, in at most `threads` threads at once.

    A thread ends by itself, because every wait for the database has a timeout.
    """

    def __init__(self, write: Callable[[Sequence[Row]], list[Outcome]], threads: int) -> None:
        """Create the writer. `write` blocks, and returns the outcome of each row."""
        self._write_rows = write
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sql")
        self._batcher: batching.Batcher[Row, Outcome] = batching.Batcher(
            self._write,
            max_batch=MAX_ROWS,
            max_waiting=MAX_WAITING,
            weigh=lambda row: row.weight,
            max_weight=MAX_BYTES,
            max_calls=threads,
        )

    async def write(self, row: Row) -> Outcome:
        """Write the row with those that wait. If it is cancelled before it is sent, it is not written.

        Raises Temporary (`queue_full`).
        """
        return await self._batcher.submit(row)

    def close(self) -> None:
        """End when the rows that threads have taken are written."""
        self._pool.shutdown()

    async def _write(self, rows: Sequence[Row]) -> Sequence[Outcome]:
        """Write the rows in a thread, and return the outcome of each."""
        for row in rows:
            row.is_sent = True
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._write_rows, rows)
        except Exception as error:  # a driver's own fault
            return [Unknown(f"the database's driver failed: {errors.place_of(error)}")] * len(rows)


class _Connected(NamedTuple):
    """A database, the secrets that name its place, and what makes and writes its rows."""

    secrets: http_kind.SecretValues
    maker: RowMaker
    database: Database
    writer: RowWriter


class SqlDestination:
    """The destination. The delivery's id, or the key, is unique in the table: a repeat has no further effect."""

    dedupes_repeats = True

    def __init__(self, settings: Settings, context: destination.Context) -> None:
        self._settings = settings
        self._context = context
        names = (settings.url_secret, settings.password_secret)
        secrets = destination_secrets.DestinationSecrets(context.secrets, names)
        self._attempts = http_engine.TimedAttempts(context, secrets)
        self._connected: _Connected | None = None

    async def attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        """Write the delivery's row, unless an earlier attempt has written it. As `Destination.attempt`."""

        def prepare(whole: Delivery, secrets: http_kind.SecretValues) -> tuple[RowWriter, Row]:
            connected = self._connection(secrets, attempt.timeout_seconds)
            return connected.writer, connected.maker.row(
                event.view_of(whole.event), attempt.row_key, attempt.may_be_there
            )

        async def write(prepared: tuple[RowWriter, Row], deadline: float, _: http_kind.SecretValues) -> Outcome:
            writer, row = prepared
            try:
                async with asyncio.timeout_at(deadline):
                    return await writer.write(row)
            except TimeoutError:
                seconds = f"{attempt.timeout_seconds:g} s"
                if row.is_sent:
                    return Unknown(f"the database did not answer within {seconds}")
                return RetryLater(f"the row waited for the database for {seconds}, and was not written")

        return await self._attempts.make(delivery, attempt, prepare, write)

    def close(self) -> None:
        """Write the rows that threads have taken, and close the connections."""
        if self._connected is not None:
            self._connected.writer.close()
            self._connected.database.close()

    def _connection(self, secrets: http_kind.SecretValues, timeout_seconds: float) -> _Connected:
        """Return what makes and writes rows; another one after a secret has changed. Raises Temporary."""
        connected = self._connected
        if connected is not None and connected.secrets == secrets:
            return connected
        place = database_place(self._settings, secrets)
        is_local = self._context.settings.is_local or self._context.settings.aws_endpoint is not None
        if place.driver == "sqlite" and not is_local:
            raise errors.Temporary("secret_unusable", NO_DISK)
        if connected is not None:
            connected.database.close()  # the connections that are in use are closed after it
        maker = RowMaker(self._settings, place.driver)
        database = Database(place, self._settings, timeout_seconds)
        self._connected = _Connected(secrets, maker, database, RowWriter(database.write, database.threads))
        return self._connected


def connect(name: str, settings: Settings, context: destination.Context) -> SqlDestination:
    return SqlDestination(settings, context)
