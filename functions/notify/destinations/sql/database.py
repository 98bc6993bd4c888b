"""The database of a destination: its statements, its unique indexes, and the transactions that write rows.

SQLAlchemy writes the statements from the names in the settings alone. The driver gets the values beside the statement,
so no value is ever part of a statement. Many rows are written in one transaction, in the calling thread. If one of them
makes it fail, each half of the rows is written by itself.

The setting `key` decides what becomes of a row:

    with `key`     the columns in `key` identify the row. A row that is there with the same values is replaced
    without `key`  the delivery's id identifies the row, which has it in a column of its own. A row that is there stays

In the code, `unique` are the names of the columns that identify a row, and `Row.key` are their values. A unique index
over these columns is required. Without it, rows would be there twice. PostgreSQL and SQLite get the columns in each
statement, and reject the statement if there is no such index. MySQL uses any unique index that a row collides with, so
its indexes are read before rows are written.
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
# What the record of an attempt says.
INSERTED: Final = "inserted"
UPSERTED: Final = "inserted or replaced"
THERE: Final = "was there already"
NEWER: Final = "a newer row is there"
PERHAPS_THERE: Final = f"{INSERTED}, or {THERE}"

INDEXES_SECONDS: Final = 300.0
"""How long the table's indexes are not read again. After that they are, because an operator may have changed them."""
MAX_KEY_CHARACTERS: Final = 255
MAX_ID_CHARACTERS: Final = 80
"""The lengths of a key's text and of a delivery's id in a table that MySQL creates: its keys need a length."""
# A value has the type of its column, which the database knows.
_UNTYPED: Final = NullType()


class Statements:
    """The statements for one table. SQLAlchemy compiles each for one row; more rows are more placeholders."""

    def __init__(self, settings: Settings, engine: sa.Engine, driver: Driver) -> None:
        self._settings = settings
        self._engine = engine
        self._driver = driver
        self._one_row: tuple[str, str] | None = None
        columns = [sa.Column(name, _UNTYPED) for name in settings.row_columns]
        self._table = sa.Table(settings.table, sa.MetaData(), *columns, schema=settings.schema_)

    def insert(self, connection: sa.Connection, rows: Sequence[Row]) -> int:
        """Insert or replace the rows, whose keys differ. Return how many were written. Raises DBAPIError."""
        values: list[Value] = []
        for row in rows:
            values += row.values
        return connection.exec_driver_sql(self.insert_text(len(rows)), tuple(values)).rowcount

    def insert_text(self, count: int) -> str:
        """Return the statement for so many rows. It depends on the server's version, so something must have connected.

        It is the text of one row, in which the group of placeholders is repeated. To compile it for each number of rows
        would take far longer.
        """
        if self._one_row is None:
            names = self._settings.row_columns
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
        """Return the statement for `count` rows, as SQLAlchemy writes it. Its values are in the order of a row."""
        names = self._settings.row_columns
        rows = [
            {name: sa.bindparam(f"r{row}c{column}", type_=_UNTYPED) for column, name in enumerate(names)}
            for row in range(count)
        ]
        compiled = self._insert(rows).compile(dialect=self._engine.dialect)
        expected = [f"r{row}c{column}" for row in range(count) for column in range(len(names))]
        assert compiled.positiontup == expected
        return str(compiled)

    def _insert(self, rows: list[dict[str, BindParameter[None]]]) -> sa.Insert:
        """Return the statement that inserts the rows. Settings say what becomes of those that are there."""
        if self._driver == "mysql":
            return self._insert_into_mysql(rows)
        module = postgresql if self._driver == "postgresql" else sqlite
        # The classes of PostgreSQL and SQLite have the same methods.
        statement = cast("postgresql.Insert", module.insert(self._table)).values(rows)
        settings = self._settings
        unique = list(settings.unique_columns)
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
        if not new:  # the key has all columns, so there is nothing to replace: an assignment that changes nothing
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
        """Return the table that `create: true` makes. Its primary key is the unique index that rows need."""
        settings = self._settings
        unique = settings.unique_columns
        columns = [
            sa.Column(name, self._column_type(name), primary_key=name in unique, autoincrement=False)
            for name in settings.row_columns
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
    """A problem with the indexes of a table, and what the operator can do about it."""

    problem: str
    advice: str


def index_fault(connection: sa.Connection, settings: Settings) -> IndexFault | None:
    """Return the problem with the table's unique indexes; None if there is none, or if there is no table.

    `Database` asks it of MySQL only, because the others reject a statement themselves; `hookchain doctor`, of all.
    Raises DBAPIError. MySQL also raises it if there is no table.
    """
    key = frozenset(name.lower() for name in settings.unique_columns)
    columns = ", ".join(settings.unique_columns)
    is_mysql = connection.dialect.name in ("mysql", "mariadb")
    try:
        indexes = list((_mysql_indexes if is_mysql else _indexes)(connection, settings))
    except NoSuchTableError:
        return None
    if not any(index.is_whole and index.columns == key for index in indexes):
        need = f"the table {settings.table_text} needs a unique index over {columns}"
        return IndexFault(f"{need}; without it, rows would be there twice", "create it, or name other columns in `key`")
    written = {name.lower() for name in settings.columns}
    for index in indexes if is_mysql and settings.key else ():
        # An index that contains the whole key cannot collide with the row of another key.
        if index.columns & written and not (index.is_whole and index.columns >= key):
            other = f"the table {settings.table_text} has the unique index {index.name!r} besides that over {columns}"
            problem = f"{other}, by which MySQL would replace a row that has another key"
            return IndexFault(problem, "drop that index, or leave `key` out")
    return None


def _indexes(connection: sa.Connection, settings: Settings) -> Iterator[UniqueIndex]:
    """Yield the unique indexes of a table in PostgreSQL or SQLite. Raises NoSuchTableError."""
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
    columns_by_index: dict[str, list[tuple[str | None, bool]]] = {}  # a column is None for an expression
    for row in connection.exec_driver_sql(f"SHOW INDEX FROM {table}").mappings():
        if not row["Non_unique"]:
            columns_by_index.setdefault(row["Key_name"], []).append((row["Column_name"], row["Sub_part"] is None))
    for name, columns in columns_by_index.items():
        is_whole = all(column is not None and is_whole_column for column, is_whole_column in columns)
        yield UniqueIndex(name, frozenset(column.lower() for column, _ in columns if column is not None), is_whole)


WriteResult: TypeAlias = list[Delivered] | Fault | Unknown | Disabled
"""The outcome of each row; or the one outcome of all rows, of which none was written."""


@dataclass(frozen=True, slots=True)
class LostConnection:
    """A connection that failed while it was used. `is_unknown`: the rows may have been written."""

    fault: Fault
    is_unknown: bool

    @property
    def result(self) -> Fault | Unknown:
        """Return the result of the rows if they are not written again."""
        if not self.is_unknown:
            return self.fault
        return Unknown("the connection to the database failed before its answer came", self.fault.message)


class Database:
    """One database and the table that rows go to. Threads share it.

    threads          how many threads may write at the same time. SQLite has one writer
    _verified_until  the time of the monotonic clock until which the indexes need not be read again: see the module's
                     docstring
    """

    def __init__(self, place: Place, settings: Settings, timeout_seconds: float) -> None:
        """Make the database. It connects when it is first written to. Raises Temporary."""
        self._settings = settings
        self._driver = place.driver
        self._timeout_seconds = timeout_seconds
        self._engine = engine_of(place, settings.connections, timeout_seconds)
        self._statements = Statements(settings, self._engine, place.driver)
        self._verified_until = 0.0 if place.driver == "mysql" else math.inf
        self.threads = 1 if place.driver == "sqlite" else settings.connections

    def write(self, rows: Sequence[Row]) -> list[Outcome]:
        """Write the rows in one transaction. If a row makes it fail, write each half of the rows by itself.

        Rows whose turn does not come within the timeout are for later.
        """
        return self._write(rows, time.monotonic() + self._timeout_seconds)

    def close(self) -> None:
        """Close the connections that no thread uses."""
        self._engine.dispose()

    def _write(self, rows: Sequence[Row], deadline: float) -> list[Outcome]:
        """Do what `write` does, until `deadline`, a time of the monotonic clock."""
        result = self._write_together(rows, deadline)
        may_split = isinstance(result, Fault) and result.spares_other_rows and len(rows) > 1
        if not may_split:
            return _outcomes(result, len(rows))
        outcomes: list[Outcome] = []
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            late = RetryLater("the time was over before this row's turn: another row of its transaction failed")
            outcomes += self._write(half, deadline) if time.monotonic() < deadline else [late] * len(half)
        return outcomes

    def _write_together(self, rows: Sequence[Row], deadline: float) -> WriteResult:
        """Write the rows in one transaction, and once more if the table is missing or the connection is lost."""
        result = self._write_once(rows)
        if isinstance(result, Fault) and result.kind == "no_table" and self._settings.create:
            result = self._write_into_new_table(rows)
        if isinstance(result, LostConnection):
            result = self._write_after_loss(rows, result) if time.monotonic() < deadline else result.result
        if isinstance(result, Fault) and result.kind == "repeat" and len(rows) == 1 and not self._settings.key:
            return [Delivered(THERE)] if self._is_there(rows[0]) else result
        return result

    def _write_after_loss(self, rows: Sequence[Row], lost: LostConnection) -> WriteResult:
        """Write the rows over a new connection. All others are dropped, because they are as old as the one that failed.

        Rows that were written nevertheless are not written twice, because their keys are unique.
        """
        self._engine.dispose()
        result = self._write_once([replace(row, is_retry=True) for row in rows])
        if isinstance(result, LostConnection):
            result = result.result
        has_learnt_nothing = isinstance(result, Fault) and not result.concerns_row
        if lost.is_unknown and has_learnt_nothing:  # what the first try did stays unknown
            return lost.result
        return result

    def _write_into_new_table(self, rows: Sequence[Row]) -> WriteResult:
        """Create the table and write the rows. Another instance may create it at the same moment."""
        creation_fault: Fault | None = None
        try:
            self._statements.create()
        except DRIVER_ERRORS as error:
            creation_fault = fault_of(error, self._driver)
        result = self._write_once(rows)
        if isinstance(result, LostConnection):
            return result.result
        is_missing = isinstance(result, Fault) and result.kind == "no_table"
        if creation_fault is None or not is_missing:
            return result
        # The statement that creates the table has no row, so no fault of it is one of a row.
        return replace(creation_fault, kind="setup") if creation_fault.concerns_row else creation_fault

    def _is_there(self, row: Row) -> bool:
        """Return whether the table has a row with the delivery's id; False if that cannot be read."""
        try:
            with self._engine.connect() as connection:
                return bool(self._statements.ids_in_table(connection, [str(row.key[0])]))
        except DRIVER_ERRORS:
            return False  # The conflict is reported as a fault of this row.

    def _write_once(self, rows: Sequence[Row]) -> WriteResult | LostConnection:
        """Write the rows in one transaction. If it fails, it leaves no row."""
        try:
            connection = self._engine.connect()
        except Exception as error:  # nothing was sent
            return fault_of_connecting(error, self._driver)
        transaction = _Transaction(self._statements, self._settings, rows)
        try:
            with connection, _invalidated_on_error(connection, transaction, self._driver):
                if time.monotonic() >= self._verified_until:
                    if fault_of_indexes := index_fault(connection, self._settings):
                        return Disabled(": ".join(fault_of_indexes))
                    self._verified_until = time.monotonic() + INDEXES_SECONDS
                return transaction.write(connection)
        except DRIVER_ERRORS as error:
            fault = fault_of(error, self._driver)
            if fault.kind == "no_table" and self._driver == "mysql":
                self._verified_until = 0.0  # the table that is made next may have other indexes
            return LostConnection(fault, transaction.is_sent) if fault.kind == "connection" else fault


@contextmanager
def _invalidated_on_error(connection: sa.Connection, transaction: "_Transaction", driver: Driver) -> Iterator[None]:
    """Close the connection for good after an error, unless the error concerns single rows and no transaction is open.

    A new connection may lead to another server. With SQLite, it also reads the schema that an operator has repaired.
    """
    try:
        yield
    except Exception as error:
        is_of_rows = isinstance(error, DRIVER_ERRORS) and fault_of(error, driver).spares_other_rows
        if transaction.is_open or not is_of_rows:
            connection.invalidate()
        raise


@dataclass(slots=True)
class _Transaction:
    """One transaction. A single statement needs no BEGIN and no COMMIT: engines are in autocommit mode (place.py).

    is_open  BEGIN was sent, and nothing is committed yet
    is_sent  the statement that commits was sent, so the rows may have been written
    """

    statements: Statements
    settings: Settings
    rows: Sequence[Row]
    is_open: bool = False
    is_sent: bool = False

    def write(self, connection: sa.Connection) -> list[Delivered]:
        """Write the rows and commit. Return the outcome of each. Raises DBAPIError."""
        return self._upsert(connection) if self.settings.key else self._insert(connection)

    def _insert(self, connection: sa.Connection) -> list[Delivered]:
        """Insert the rows of the deliveries that the table does not have yet."""
        retried = [str(row.key[0]) for row in self.rows if row.is_retry]
        there = self.statements.ids_in_table(connection, retried) if retried else frozenset[str]()
        missing = [row for row in self.rows if row.key[0] not in there]
        self.is_sent = bool(missing)
        written = self.statements.insert(connection, missing) if missing else 0
        # If fewer rows were inserted, some were there. The database does not say which ones.
        not_all = THERE if len(missing) == 1 else PERHAPS_THERE
        answer = INSERTED if written == len(missing) else not_all
        return [Delivered(THERE if row.key[0] in there else answer) for row in self.rows]

    def _upsert(self, connection: sa.Connection) -> list[Delivered]:
        """Insert or replace the rows. No statement may have a key twice, so rows with the same key take several."""
        groups = distinct_keys(self.rows)
        if len(groups) > 1:
            connection.exec_driver_sql("BEGIN")
            self.is_open = True
        self.is_sent = len(groups) == 1
        written = sum(self.statements.insert(connection, group) for group in groups)
        if self.is_open:
            self.is_sent = True
            connection.exec_driver_sql("COMMIT")
            self.is_open = False
        # MySQL may count an older row as written, too.
        is_older = self.settings.newer_by is not None and len(self.rows) == 1 and written == 0
        return [Delivered(NEWER if is_older else UPSERTED)] * len(self.rows)


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


def _outcomes(result: WriteResult, count: int) -> list[Outcome]:
    if isinstance(result, list):
        return [*result]
    return [result.outcome if isinstance(result, Fault) else result] * count
