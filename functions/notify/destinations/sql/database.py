"""Writing rows into the database, in the calling thread: many in one transaction, and each by itself after an error."""

import time
from collections.abc import Sequence
from typing import Final, TypeAlias

from sqlalchemy import Connection

from functions.notify.destinations.sql.faults import DRIVER_ERRORS, Fault, fault_of
from functions.notify.destinations.sql.place import Place, engine_of
from functions.notify.destinations.sql.rows import Row, Value
from functions.notify.destinations.sql.settings import Settings
from functions.notify.destinations.sql.statements import Statements, is_unique
from shared.delivery import Delivered, Disabled, Outcome, RetryLater, Unknown

INSERTED: Final = "inserted"
UPSERTED: Final = "inserted or replaced"
THERE: Final = "was there already"
NEWER: Final = "a newer row is there"
PERHAPS_THERE: Final = f"{INSERTED}, or {THERE}"

Written: TypeAlias = list[Delivered] | Fault | Unknown | Disabled
"""The outcome of each row; or what became of the whole transaction, in which nothing was written."""


class Database:
    """One database and the table that rows go to. Threads share it."""

    def __init__(self, place: Place, settings: Settings, timeout_seconds: float) -> None:
        """Raises Temporary."""
        self._settings = settings
        self._driver = place.driver
        self._timeout_seconds = timeout_seconds
        self._engine = engine_of(place, settings.connections, timeout_seconds)
        self._statements = Statements(settings, self._engine, place.driver)
        self._is_verified = place.driver != "mysql"
        self.threads = 1 if place.driver == "sqlite" else settings.connections

    @property
    def most_rows(self) -> int:
        return self._statements.most_rows

    def write(self, rows: Sequence[Row]) -> list[Outcome]:
        """Write the rows in one transaction; if that fails by one of them, each in a transaction of its own.

        Rows whose turn does not come within the timeout are for later.
        """
        deadline = time.monotonic() + self._timeout_seconds
        written = self._written(rows, deadline)
        if isinstance(written, Fault) and written.concerns_row and len(rows) > 1:
            return [self._written_alone(row, deadline) for row in rows]
        return _outcomes(written, len(rows))

    def close(self) -> None:
        self._engine.dispose()

    def _written_alone(self, row: Row, deadline: float) -> Outcome:
        if time.monotonic() >= deadline:
            return RetryLater("the time was over before this row's turn: another row of its transaction failed")
        return _outcomes(self._written([row], deadline), 1)[0]

    def _written(self, rows: Sequence[Row], deadline: float) -> Written:
        written = self._transaction(rows)
        if isinstance(written, Fault) and written.kind == "no_table" and self._settings.create:
            written = self._after_creation(rows)
        if isinstance(written, Fault) and written.kind == "lost" and time.monotonic() < deadline:
            # The server closed a connection that was idle. Nothing was committed, and the others are as old.
            self._engine.dispose()
            written = self._transaction(rows)
        if isinstance(written, Fault) and written.kind == "repeat" and len(rows) == 1 and not self._settings.key:
            return [Delivered(THERE)] if self._is_there(rows[0]) else written
        return written

    def _after_creation(self, rows: Sequence[Row]) -> Written:
        """Create the table and write the rows. Another instance may create it at the same moment."""
        failure: Fault | None = None
        try:
            self._statements.create()
        except DRIVER_ERRORS as error:
            failure = fault_of(error, self._driver)
        written = self._transaction(rows)
        is_missing = isinstance(written, Fault) and written.kind == "no_table"
        return failure if failure is not None and is_missing else written

    def _is_there(self, row: Row) -> bool:
        try:
            with self._engine.connect() as connection:
                return bool(self._statements.ids_in_table(connection, [str(row.key[0])]))
        except DRIVER_ERRORS:
            return False  # the conflict is reported, as one of this row

    def _transaction(self, rows: Sequence[Row]) -> Written:
        stage = "connect"
        try:
            if not self._is_verified:
                if not is_unique(self._engine, self._settings):
                    return _without_index(self._settings)
                self._is_verified = True
            with self._engine.connect() as connection:
                stage = "write"
                try:
                    answers = self._insert(connection, rows)
                    stage = "commit"
                    connection.commit()
                except DRIVER_ERRORS as error:
                    if fault_of(error, self._driver).kind in ("connection", "no_table", "setup"):
                        connection.invalidate()  # SQLite remembers the old schema after what an operator has repaired
                    raise
        except DRIVER_ERRORS as error:
            fault = fault_of(error, self._driver)
            if fault.kind != "connection" or stage == "connect":
                return fault
            if stage == "commit":
                return Unknown("the connection failed during the commit, which may have been done", fault.message)
            return Fault("lost", fault.code, fault.message)
        return answers

    def _insert(self, connection: Connection, rows: Sequence[Row]) -> list[Delivered]:
        """Raises DBAPIError."""
        if self._settings.key:
            return self._upsert(connection, rows)
        retried = [str(row.key[0]) for row in rows if row.is_retry]
        there = self._statements.ids_in_table(connection, retried) if retried else frozenset[str]()
        missing = [row for row in rows if row.key[0] not in there]
        written = self._statements.insert(connection, missing)
        answer = INSERTED if written == len(missing) else THERE if len(missing) == 1 else PERHAPS_THERE
        return [Delivered(THERE if row.key[0] in there else answer) for row in rows]

    def _upsert(self, connection: Connection, rows: Sequence[Row]) -> list[Delivered]:
        written = sum(self._statements.insert(connection, each) for each in distinct_keys(rows))
        is_older = self._settings.newer_by is not None and len(rows) == 1 and written == 0
        return [Delivered(NEWER if is_older else UPSERTED)] * len(rows)


def distinct_keys(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows in groups, in each of which every key is there once. Rows with the same key keep their order.

    The keys of a group are sorted, so that two transactions seldom wait for each other's rows.
    """
    groups: list[list[Row]] = []
    counts: dict[tuple[Value, ...], int] = {}
    for row in rows:
        number = counts.get(row.key, 0)
        counts[row.key] = number + 1
        if number == len(groups):
            groups.append([])
        groups[number].append(row)
    return [sorted(group, key=lambda row: repr(row.key)) for group in groups]


def _outcomes(written: Written, count: int) -> list[Outcome]:
    if isinstance(written, list):
        return [*written]
    return [written.outcome if isinstance(written, Fault) else written] * count


def _without_index(settings: Settings) -> Disabled:
    columns = ", ".join(settings.unique)
    act = f"the table {settings.table_text} needs a unique index over {columns}; without it, rows would be there twice"
    return Disabled(f"{act}. Create it, or name other columns in `key`")
