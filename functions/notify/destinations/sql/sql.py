"""The destination `sql`: a row in a table for each delivery, once.

Rows that wait at once in this process go into one transaction. Drivers block, so a few threads write. Nothing waits
when idle: the first row starts a transaction at once, and what arrives while all threads write goes into the next one.
The threads do not depend on the event loop, of which a platform may start another one for each request.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias

from functions.notify import destination, destination_secrets, http_engine, http_kind
from functions.notify.destinations.sql.database import Database
from functions.notify.destinations.sql.place import Place, database_place
from functions.notify.destinations.sql.rows import Row, RowMaker
from functions.notify.destinations.sql.settings import Settings
from shared import errors, limits, time_bound
from shared.delivery import Delivery, Outcome, RetryLater, Unknown
from shared.event import view_of

NO_DISK = "SQLite is for `make dev` only: a cloud's disk is lost with the instance. Name another database"
MAX_ROWS: Final = 128
MAX_BYTES: Final = 4 * limits.MIB
MAX_WAITING: Final = 10_000


Write: TypeAlias = Callable[[Sequence[Row]], list[Outcome]]


class WaitingRow:
    """A row on its way into the database. `future` gets its outcome, in the event loop that submitted it."""

    __slots__ = ("future", "is_started", "row")

    def __init__(self, row: Row, future: "asyncio.Future[Outcome]") -> None:
        self.row = row
        self.future = future
        self.is_started = False


class RowWriter:
    """`write` returns the outcome of each row. It runs in at most `threads` threads at once."""

    def __init__(self, write: Write, threads: int, most_rows: int = MAX_ROWS) -> None:
        self._write = write
        self._threads = threads
        self._most_rows = min(most_rows, MAX_ROWS)
        self._waiting: deque[WaitingRow] = deque()
        self._lock = threading.Lock()
        self._busy = 0
        self._starting: asyncio.AbstractEventLoop | None = None
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sql")

    def submit(self, row: Row) -> WaitingRow:
        """Let the row be written, with those that wait. Raises Temporary (`queue_full`)."""
        loop = asyncio.get_running_loop()
        waiting = WaitingRow(row, loop.create_future())
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                raise errors.Temporary("queue_full", f"{MAX_WAITING} rows already wait for the database")
            self._waiting.append(waiting)
        if self._starting is not loop:
            self._starting = loop
            # Starts after the other tasks that submit a row in the same turn of the loop.
            loop.call_soon(self._start)
        return waiting

    def _start(self) -> None:
        self._starting = None
        with self._lock:
            is_needed = bool(self._waiting) and self._busy < self._threads
            self._busy += is_needed
        if is_needed:
            self._pool.submit(self._work)

    def withdraw(self, waiting: WaitingRow) -> bool:
        """Return whether the row is withdrawn. One that a thread has taken may be written.

        The thread ends by itself, because every wait for the database has a timeout.
        """
        with self._lock:
            if waiting.is_started:
                return False
            with suppress(ValueError):
                self._waiting.remove(waiting)
            return True

    def close(self) -> None:
        """End when the rows that wait have been written."""
        self._pool.shutdown()

    def _work(self) -> None:
        while batch := self._next_batch():
            try:
                outcomes = self._write([each.row for each in batch])
            except Exception as error:  # a driver's own fault must not end the thread, nor leave rows without outcome
                unknown = Unknown(f"the database's driver failed: {errors.place_of(error)}")
                outcomes = [unknown] * len(batch)
            done: dict[asyncio.AbstractEventLoop, list[tuple[WaitingRow, Outcome]]] = {}
            for waiting, outcome in zip(batch, outcomes, strict=True):
                done.setdefault(waiting.future.get_loop(), []).append((waiting, outcome))
            for loop, rows in done.items():
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(_finish, rows)

    def _next_batch(self) -> list[WaitingRow]:
        """Return the next rows; none if nothing waits, and then this thread counts as idle."""
        batch: list[WaitingRow] = []
        weight = 0
        with self._lock:
            while self._waiting and len(batch) < self._most_rows:
                weight += self._waiting[0].row.weight
                if batch and weight > MAX_BYTES:
                    break
                waiting = self._waiting.popleft()
                waiting.is_started = True
                batch.append(waiting)
            if not batch:
                self._busy -= 1
        return batch


def _finish(rows: Sequence[tuple[WaitingRow, Outcome]]) -> None:
    for waiting, outcome in rows:
        if not waiting.future.done():
            waiting.future.set_result(outcome)


class _Connected(NamedTuple):
    """The parts that make and write rows at a place, which these secrets name."""

    secrets: http_kind.SecretValues
    place: Place
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
        self._deadlines = time_bound.Deadlines()
        self._connected: _Connected | None = None

    async def attempt(self, delivery: Delivery, attempt: destination.Attempt) -> Outcome:
        def prepare(whole: Delivery, secrets: http_kind.SecretValues) -> tuple[RowWriter, Row]:
            connected = self._connection(secrets, attempt.timeout_seconds)
            return connected.writer, connected.maker.row(view_of(whole.event), attempt.row_key, attempt.may_be_there)

        async def write(prepared: tuple[RowWriter, Row], deadline: float, _: http_kind.SecretValues) -> Outcome:
            writer, row = prepared
            waiting = writer.submit(row)
            try:
                return await self._deadlines.wait(waiting.future, deadline)
            except TimeoutError:
                seconds = f"{attempt.timeout_seconds:g} s"
                if writer.withdraw(waiting):
                    return RetryLater(f"the row waited for the database for {seconds}, and was not written")
                return Unknown(f"the database did not answer within {seconds}")

        return await self._attempts.make(delivery, attempt, prepare, write)

    def close(self) -> None:
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
        if connected is None or connected.place != place:
            if connected is not None:
                connected.database.close()  # the connections that are in use are closed after it
            database = Database(place, self._settings, timeout_seconds)
            writer = RowWriter(database.write, database.threads, database.most_rows)
            connected = _Connected(secrets, place, RowMaker(self._settings, place.driver), database, writer)
        self._connected = connected._replace(secrets=secrets)
        return self._connected


def connect(name: str, settings: Settings, context: destination.Context) -> SqlDestination:
    return SqlDestination(settings, context)
