"""Writing rows into the database, in the calling thread: many in one transaction, and each half after an error."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from sqlalchemy import Connection

from functions.notify.destinations.sql.faults import DRIVER_ERRORS, Fault, fault_of, fault_of_connecting
from functions.notify.destinations.sql.indexes import index_fault
from functions.notify.destinations.sql.place import Place, engine_of
from functions.notify.destinations.sql.rows import Row, Value
from functions.notify.destinations.sql.settings import Driver, Settings
from functions.notify.destinations.sql.statements import Statements
from shared.delivery import Delivered, Disabled, Outcome, RetryLater, Unknown

INSERTED: Final = "inserted"
UPSERTED: Final = "inserted or replaced"
THERE: Final = "was there already"
NEWER: Final = "a newer row is there"
INDEXES_SECONDS: Final = 300.0
"""How long the table's indexes are not read again, as an operator may make the table again."""
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
        self._verified_until = 0.0 if place.driver == "mysql" else math.inf
        self.threads = 1 if place.driver == "sqlite" else settings.connections

    @property
    def most_rows(self) -> int:
        return self._statements.most_rows

    def write(self, rows: Sequence[Row]) -> list[Outcome]:
        """Write the rows in one transaction; if that fails by one of them, each half by itself.

        Rows whose turn does not come within the timeout are for later.
        """
        return self._write(rows, time.monotonic() + self._timeout_seconds)

    def close(self) -> None:
        self._engine.dispose()

    def _write(self, rows: Sequence[Row], deadline: float) -> list[Outcome]:
        written = self._written(rows, deadline)
        if not isinstance(written, Fault) or not written.is_of_one or len(rows) == 1:
            return _outcomes(written, len(rows))
        outcomes: list[Outcome] = []
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            late = RetryLater("the time was over before this row's turn: another row of its transaction failed")
            outcomes += self._write(half, deadline) if time.monotonic() < deadline else [late] * len(half)
        return outcomes

    def _written(self, rows: Sequence[Row], deadline: float) -> Written:
        written = self._transaction(rows)
        if isinstance(written, Fault) and written.kind == "no_table" and self._settings.create:
            written = self._after_creation(rows)
        if isinstance(written, Lost):
            written = self._again(rows, written) if time.monotonic() < deadline else written.outcome
        if isinstance(written, Fault) and written.kind == "repeat" and len(rows) == 1 and not self._settings.key:
            return [Delivered(THERE)] if self._is_there(rows[0]) else written
        return written

    def _again(self, rows: Sequence[Row], lost: "Lost") -> Written:
        """Write the rows by a new connection. The server closed one that was idle, and the others are as old.

        Rows that were written nevertheless are there once: their keys are unique.
        """
        self._engine.dispose()
        written = self._transaction([replace(row, is_retry=True) for row in rows])
        if isinstance(written, Lost):
            written = written.outcome
        if lost.is_unknown and isinstance(written, Fault) and not written.concerns_row:
            return lost.outcome
        return written

    def _after_creation(self, rows: Sequence[Row]) -> Written:
        """Create the table and write the rows. Another instance may create it at the same moment."""
        failure: Fault | None = None
        try:
            self._statements.create()
        except DRIVER_ERRORS as error:
            failure = fault_of(error, self._driver)
        written = self._transaction(rows)
        if isinstance(written, Lost):
            return written.outcome
        is_missing = isinstance(written, Fault) and written.kind == "no_table"
        if failure is None or not is_missing:
            return written
        return replace(failure, kind="setup") if failure.concerns_row else failure

    def _is_there(self, row: Row) -> bool:
        try:
            with self._engine.connect() as connection:
                return bool(self._statements.ids_in_table(connection, [str(row.key[0])]))
        except DRIVER_ERRORS:
            return False  # the conflict is reported, as one of this row

    def _transaction(self, rows: Sequence[Row]) -> "Written | Lost":
        """Write the rows in one transaction. What fails in it leaves no row."""
        try:
            connection = self._engine.connect()
        except Exception as error:  # nothing was sent
            return fault_of_connecting(error, self._driver)
        work = _Work(self._statements, self._settings, rows)
        try:
            with connection, _without_rest(connection, work, self._driver):
                if time.monotonic() >= self._verified_until:
                    if fault_of_indexes := index_fault(connection, self._settings):
                        return Disabled(": ".join(fault_of_indexes))
                    self._verified_until = time.monotonic() + INDEXES_SECONDS
                return work.write(connection)
        except DRIVER_ERRORS as error:
            fault = fault_of(error, self._driver)
            if fault.kind == "no_table" and self._driver == "mysql":
                self._verified_until = 0.0
            return Lost(fault, work.is_sent) if fault.kind == "connection" else fault


@contextmanager
def _without_rest(connection: Connection, work: "_Work", driver: Driver) -> Iterator[None]:
    """Close the connection after an error that is not of a row alone: the next one may lead to another server.

    Nor is one used again whose transaction is open. And SQLite remembers the old schema after an operator's repair.
    """
    try:
        yield
    except Exception as error:
        if work.is_open or not isinstance(error, DRIVER_ERRORS) or not fault_of(error, driver).is_of_one:
            connection.invalidate()
        raise


@dataclass(frozen=True, slots=True)
class Lost:
    """A connection that failed while it was used. `is_unknown`: the rows may have been written."""

    fault: Fault
    is_unknown: bool

    @property
    def outcome(self) -> Fault | Unknown:
        if not self.is_unknown:
            return self.fault
        return Unknown("the connection to the database failed before its answer came", self.fault.message)


class _Work:
    """The statements of one transaction. One statement alone is a transaction by itself.

    `is_open`: others have begun, and nothing is committed. `is_sent`: what commits was sent.
    """

    def __init__(self, statements: Statements, settings: Settings, rows: Sequence[Row]) -> None:
        self._statements = statements
        self._settings = settings
        self._rows = rows
        self.is_open = self.is_sent = False

    def write(self, connection: Connection) -> list[Delivered]:
        """Raises DBAPIError."""
        return self._upsert(connection) if self._settings.key else self._insert(connection)

    def _insert(self, connection: Connection) -> list[Delivered]:
        retried = [str(row.key[0]) for row in self._rows if row.is_retry]
        there = self._statements.ids_in_table(connection, retried) if retried else frozenset[str]()
        missing = [row for row in self._rows if row.key[0] not in there]
        self.is_sent = bool(missing)
        written = self._statements.insert(connection, missing) if missing else 0
        answer = INSERTED if written == len(missing) else THERE if len(missing) == 1 else PERHAPS_THERE
        outcome, was_there = Delivered(answer), Delivered(THERE)
        return [was_there if row.key[0] in there else outcome for row in self._rows]

    def _upsert(self, connection: Connection) -> list[Delivered]:
        groups = distinct_keys(self._rows)
        if len(groups) > 1:
            connection.exec_driver_sql("BEGIN")
            self.is_open = True
        self.is_sent = len(groups) == 1
        written = sum(self._statements.insert(connection, each) for each in groups)
        if self.is_open:
            self.is_sent = True
            connection.exec_driver_sql("COMMIT")
            self.is_open = False
        is_older = self._settings.newer_by is not None and len(self._rows) == 1 and written == 0
        return [Delivered(NEWER if is_older else UPSERTED)] * len(self._rows)


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
