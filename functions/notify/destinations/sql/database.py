"""The database of a destination: its statements, its unique indexes, and the transactions that write rows.

SQLAlchemy writes the statements from the settings' names alone; the driver gets values beside the statement, and no
value is ever part of one. Many rows are written in one transaction, in the calling thread, and each half after an
error.

A unique index over the row's key is required, without which rows would be there twice. PostgreSQL and SQLite are told
the index in each statement, and reject one without it. MySQL takes whichever unique index a row collides with, so its
indexes are read before rows are written.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.types import JSON, NullType

from functions.notify.columns import ColumnType
from functions.notify.destinations.sql.faults import DRIVER_ERRORS, Fault, fault_of, fault_of_connecting
from functions.notify.destinations.sql.place import Place, engine_of
from functions.notify.destinations.sql.rows import Row, Value
from functions.notify.destinations.sql.settings import Driver, Settings
from shared.delivery import Delivered, Disabled, Outcome, RetryLater, Unknown

DatabaseType: TypeAlias = sa.String | sa.BigInteger | sa.Numeric[Decimal] | sa.Boolean | sa.Date | sa.DateTime | JSON
INSERTED: Final = "inserted"
UPSERTED: Final = "inserted or replaced"
THERE: Final = "was there already"
NEWER: Final = "a newer row is there"
INDEXES_SECONDS: Final = 300.0
"""How long the table's indexes are not read again, as an operator may make the table again."""
PERHAPS_THERE: Final = f"{INSERTED}, or {THERE}"


MAX_KEY_CHARACTERS: Final = 255
MAX_ID_CHARACTERS: Final = 80
MAX_PARAMETERS: Final = 30_000
"""SQLite takes 32,766 values in a statement, PostgreSQL 65,535."""
# A value has the type of its column, which the database knows.
_UNTYPED: Final = NullType()


class Statements:
    """The statements for one table. SQLAlchemy compiles each for one row; more rows are more placeholders."""

    def __init__(self, settings: Settings, engine: sa.Engine, driver: Driver) -> None:
        self._settings = settings
        self._engine = engine
        self._driver = driver
        self._one_row: tuple[str, str] | None = None
        columns = [sa.Column(name, _UNTYPED) for name in settings.columns_written]
        self._table = sa.Table(settings.table, sa.MetaData(), *columns, schema=settings.schema_)

    @property
    def most_rows(self) -> int:
        return max(1, MAX_PARAMETERS // len(self._settings.columns_written))

    def insert(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """Insert or replace the rows, whose keys differ. Return how many were written. Raises DBAPIError."""
        values: list[Value] = []
        for row in rows:
            values += row.values
        return connection.exec_driver_sql(self.insert_text(len(rows)), tuple(values)).rowcount

    def insert_text(self, count: int) -> str:
        """Return the statement for so many rows. The server's version decides about it, so something has connected."""
        if self._one_row is None:
            names = self._settings.columns_written
            text = self._compiled(1)
            mark = "?" if self._driver == "sqlite" else "%s"
            group = f"({', '.join([mark] * len(names))})"
            assert text.count(group) == 1
            self._one_row = text, group
        text, group = self._one_row
        return text if count == 1 else text.replace(group, ", ".join([group] * count))

    def ids_in_table(self, connection: sa.Connection, ids: Sequence[str]) -> set[str]:
        """Return those deliveries' ids of which there is a row."""
        column = self._table.c[self._settings.delivery_id]
        names = [sa.bindparam(f"id{number}", value, sa.String) for number, value in enumerate(ids)]
        return {str(delivery_id) for (delivery_id,) in connection.execute(sa.select(column).where(column.in_(names)))}

    def create(self) -> None:
        """Create the table, unless it is there. Raises DBAPIError."""
        with self._engine.connect() as connection:
            connection.execute(CreateTable(self._new_table(), if_not_exists=True))

    def _compiled(self, count: int) -> str:
        names = self._settings.columns_written
        rows = [
            {name: sa.bindparam(f"r{row}c{column}", type_=_UNTYPED) for column, name in enumerate(names)}
            for row in range(count)
        ]
        compiled = self._insert(rows).compile(dialect=self._engine.dialect)
        expected = [f"r{row}c{column}" for row in range(count) for column in range(len(names))]
        assert compiled.positiontup == expected
        return str(compiled)

    def _insert(self, rows: list[dict[str, BindParameter[None]]]) -> sa.Insert:
        if self._driver == "mysql":
            return self._insert_into_mysql(rows)
        module = postgresql if self._driver == "postgresql" else sqlite
        # The classes of PostgreSQL and SQLite have the same methods.
        statement = cast("postgresql.Insert", module.insert(self._table)).values(rows)
        settings = self._settings
        unique = list(settings.unique)
        new = {name: statement.excluded[name] for name in settings.columns if name not in settings.key}
        if not settings.key or not new:
            return statement.on_conflict_do_nothing(index_elements=unique)
        if (newer := settings.newer_by) is None:
            return statement.on_conflict_do_update(index_elements=unique, set_=new)
        old = self._table.c[newer]
        is_newer = old.is_(None) | (statement.excluded[newer] >= old)
        return statement.on_conflict_do_update(index_elements=unique, set_=new, where=is_newer)

    def _insert_into_mysql(self, rows: list[dict[str, BindParameter[None]]]) -> sa.Insert:
        """Return the statement. Without `key`, a repeated id is an error: MySQL does not say which index had it."""
        settings = self._settings
        statement = mysql.insert(self._table).values(rows)
        if not settings.key:
            return statement
        new = {name: statement.inserted[name] for name in settings.columns if name not in settings.key}
        if not new:
            first = settings.key[0]
            return statement.on_duplicate_key_update({first: self._table.c[first]})
        if (newer := settings.newer_by) is None:
            return statement.on_duplicate_key_update(new)
        old = self._table.c[newer]
        is_newer = old.is_(None) | (statement.inserted[newer] >= old)
        # MySQL assigns from left to right, and compares with what was assigned before.
        names = [*(name for name in new if name != newer), newer]
        return statement.on_duplicate_key_update(
            [(name, sa.Function("IF", is_newer, statement.inserted[name], self._table.c[name])) for name in names]
        )

    def _new_table(self) -> sa.Table:  # type: ignore[explicit-any] # the types of SQLAlchemy's arguments have it
        settings = self._settings
        unique = settings.unique
        columns = [
            sa.Column(name, self._column_type(name), primary_key=name in unique, autoincrement=False)
            for name in settings.columns_written
        ]
        return sa.Table(settings.table, sa.MetaData(), *columns, schema=settings.schema_, mysql_charset="utf8mb4")

    def _column_type(self, name: str) -> DatabaseType:
        if name not in self._settings.columns:
            return self._key_text(MAX_ID_CHARACTERS)
        type_ = self._settings.type_of(name)
        assert type_ is not None
        if type_ == "text" and name in self._settings.key:
            return self._key_text(MAX_KEY_CHARACTERS)
        return database_type(type_, self._driver)

    def _key_text(self, characters: int) -> DatabaseType:
        """Return the type of a text in a key, which tells all texts apart: cases, accents and blanks at the end.

        MySQL's own texts cannot be a key. Something has connected, so the server is known.
        """
        dialect = self._engine.dialect
        if not isinstance(dialect, MySQLDialect):
            return sa.Text()
        if dialect.is_mariadb:
            collation = "utf8mb4_nopad_bin"
        elif (dialect.server_version_info or ()) >= (8, 0, 17):
            collation = "utf8mb4_0900_bin"
        else:
            collation = "utf8mb4_bin"
        return mysql.VARCHAR(characters, charset="utf8mb4", collation=collation)


def database_type(type_: ColumnType, driver: Driver) -> DatabaseType:
    """Return the type of a column that `create: true` makes."""
    types: dict[ColumnType, DatabaseType] = {
        "text": sa.Text(),
        "integer": sa.BigInteger(),
        "number": sa.Numeric(),
        "boolean": sa.Boolean(),
        "date": sa.Date(),
        "time": sa.DateTime(timezone=True),
        "json": JSON(),
    }
    if driver == "postgresql":
        types["json"] = postgresql.JSONB()
    if driver == "mysql":
        types |= {"text": mysql.LONGTEXT(), "number": sa.Numeric(38, 10), "time": mysql.DATETIME(fsp=6)}
    return types[type_]


@dataclass(frozen=True, slots=True)
class UniqueIndex:
    """`columns` are in lower case. `is_whole`: it is over whole columns, not over their beginnings or expressions."""

    name: str
    columns: frozenset[str]
    is_whole: bool = True


class IndexFault(NamedTuple):
    found: str
    advice: str


def index_fault(connection: sa.Connection, settings: Settings) -> IndexFault | None:
    """Return the problem with the table's unique indexes. Raises DBAPIError.

    Where there is no table, MySQL raises that; for another database nothing is wrong.
    """
    key = frozenset(name.lower() for name in settings.unique)
    columns = ", ".join(settings.unique)
    is_mysql = connection.dialect.name in ("mysql", "mariadb")
    try:
        indexes = list((_mysql_indexes if is_mysql else _indexes)(connection, settings))
    except NoSuchTableError:
        return None
    if not any(each.is_whole and each.columns == key for each in indexes):
        need = f"the table {settings.table_text} needs a unique index over {columns}"
        return IndexFault(f"{need}; without it, rows would be there twice", "create it, or name other columns in `key`")
    written = {name.lower() for name in settings.columns}
    for each in indexes if is_mysql and settings.key else ():
        if each.columns & written and not (each.is_whole and each.columns >= key):
            other = f"the table {settings.table_text} has the unique index {each.name!r} besides that over {columns}"
            problem = f"{other}, by which MySQL would replace a row that has another key"
            return IndexFault(problem, "drop that index, or leave `key` out")
    return None


def _indexes(connection: sa.Connection, settings: Settings) -> Iterator[UniqueIndex]:
    """Raises NoSuchTableError."""
    inspector = sa.inspect(connection)
    table = settings.table
    schema = settings.schema_
    indexes: list[tuple[str | None, Sequence[str | None]]] = [
        ("the primary key", inspector.get_pk_constraint(table, schema)["constrained_columns"]),
        *((each["name"], each["column_names"]) for each in inspector.get_unique_constraints(table, schema)),
        *((each["name"], each["column_names"]) for each in inspector.get_indexes(table, schema) if each["unique"]),
    ]
    for name, columns in indexes:
        yield UniqueIndex(str(name), frozenset(str(column).lower() for column in columns))


def _mysql_indexes(connection: sa.Connection, settings: Settings) -> Iterator[UniqueIndex]:
    """Read them by SHOW INDEX, which says of which columns an index has the beginnings only."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    table = ".".join(quote(name) for name in (settings.schema_, settings.table) if name)
    columns: dict[str, list[tuple[str | None, bool]]] = {}
    for row in connection.exec_driver_sql(f"SHOW INDEX FROM {table}").mappings():
        if not row["Non_unique"]:
            columns.setdefault(row["Key_name"], []).append((row["Column_name"], row["Sub_part"] is None))
    for name, each in columns.items():
        is_whole = all(column is not None and is_whole for column, is_whole in each)
        yield UniqueIndex(name, frozenset(column.lower() for column, _ in each if column is not None), is_whole)


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
        """Write the rows in one transaction. If a row makes it fail, write each half of the rows by itself.

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
            return False  # The conflict is reported as a fault of this row.

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
def _without_rest(connection: sa.Connection, work: "_Work", driver: Driver) -> Iterator[None]:
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

    def write(self, connection: sa.Connection) -> list[Delivered]:
        """Raises DBAPIError."""
        return self._upsert(connection) if self._settings.key else self._insert(connection)

    def _insert(self, connection: sa.Connection) -> list[Delivered]:
        retried = [str(row.key[0]) for row in self._rows if row.is_retry]
        there = self._statements.ids_in_table(connection, retried) if retried else frozenset[str]()
        missing = [row for row in self._rows if row.key[0] not in there]
        self.is_sent = bool(missing)
        written = self._statements.insert(connection, missing) if missing else 0
        not_all = THERE if len(missing) == 1 else PERHAPS_THERE
        answer = INSERTED if written == len(missing) else not_all
        return [Delivered(THERE if row.key[0] in there else answer) for row in self._rows]

    def _upsert(self, connection: sa.Connection) -> list[Delivered]:
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
