"""The statements of a destination: SQLAlchemy writes them from the settings' names alone.

No value is ever part of one: the driver gets values beside the statement.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final, TypeAlias, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Engine,
    Function,
    Insert,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    bindparam,
    select,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.types import JSON, NullType

from functions.notify.columns import ColumnType
from functions.notify.destinations.sql.rows import Row, Value
from functions.notify.destinations.sql.settings import Driver, Settings

DatabaseType: TypeAlias = String | BigInteger | Numeric[Decimal] | Boolean | Date | DateTime | JSON

MAX_KEY_CHARACTERS: Final = 255
MAX_ID_CHARACTERS: Final = 80
MAX_PARAMETERS: Final = 30_000
"""SQLite takes 32,766 values in a statement, PostgreSQL 65,535."""
_UNTYPED: Final = NullType()  # a value's type is the column's, which the database knows


class Statements:
    """The statements for one table. SQLAlchemy compiles each for one row; more rows are more placeholders."""

    def __init__(self, settings: Settings, engine: Engine, driver: Driver) -> None:
        self._settings = settings
        self._engine = engine
        self._driver = driver
        self._one_row: tuple[str, str] | None = None
        columns = [Column(name, _UNTYPED) for name in settings.columns_written]
        self._table = Table(settings.table, MetaData(), *columns, schema=settings.schema_)

    @property
    def most_rows(self) -> int:
        return max(1, MAX_PARAMETERS // len(self._settings.columns_written))

    def insert(self, connection: Connection, rows: Sequence[Row]) -> int:
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

    def ids_in_table(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        """Return those deliveries' ids of which there is a row."""
        column = self._table.c[self._settings.delivery_id]
        names = [bindparam(f"id{number}", value, String) for number, value in enumerate(ids)]
        return {str(found) for (found,) in connection.execute(select(column).where(column.in_(names)))}

    def create(self) -> None:
        """Create the table, unless it is there. Raises DBAPIError."""
        with self._engine.connect() as connection:
            connection.execute(CreateTable(self._new_table(), if_not_exists=True))

    def _compiled(self, count: int) -> str:
        names = self._settings.columns_written
        rows = [
            {name: bindparam(f"r{row}c{column}", type_=_UNTYPED) for column, name in enumerate(names)}
            for row in range(count)
        ]
        compiled = self._insert(rows).compile(dialect=self._engine.dialect)
        expected = [f"r{row}c{column}" for row in range(count) for column in range(len(names))]
        assert compiled.positiontup == expected
        return str(compiled)

    def _insert(self, rows: list[dict[str, BindParameter[None]]]) -> Insert:
        if self._driver == "mysql":
            return self._insert_into_mysql(rows)
        module = postgresql if self._driver == "postgresql" else sqlite
        statement = cast("postgresql.Insert", module.insert(self._table)).values(rows)  # the two have the same methods
        settings, unique = self._settings, list(self._settings.unique)
        new = {name: statement.excluded[name] for name in settings.columns if name not in settings.key}
        if not settings.key or not new:
            return statement.on_conflict_do_nothing(index_elements=unique)
        if (newer := settings.newer_by) is None:
            return statement.on_conflict_do_update(index_elements=unique, set_=new)
        old = self._table.c[newer]
        is_newer = old.is_(None) | (statement.excluded[newer] >= old)
        return statement.on_conflict_do_update(index_elements=unique, set_=new, where=is_newer)

    def _insert_into_mysql(self, rows: list[dict[str, BindParameter[None]]]) -> Insert:
        """Return the statement. Without `key`, a repeated id is an error: MySQL does not say which index had it."""
        statement, settings = mysql.insert(self._table).values(rows), self._settings
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
            [(name, Function("IF", is_newer, statement.inserted[name], self._table.c[name])) for name in names]
        )

    def _new_table(self) -> Table:  # type: ignore[explicit-any] # the types of SQLAlchemy's arguments have it
        settings, unique = self._settings, self._settings.unique
        columns = [
            Column(name, self._column_type(name), primary_key=name in unique, autoincrement=False)
            for name in settings.columns_written
        ]
        return Table(settings.table, MetaData(), *columns, schema=settings.schema_, mysql_charset="utf8mb4")

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
            return Text()
        is_new = (dialect.server_version_info or ()) >= (8, 0, 17)
        collation = "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin" if is_new else "utf8mb4_bin"
        return mysql.VARCHAR(characters, charset="utf8mb4", collation=collation)


def database_type(type_: ColumnType, driver: Driver) -> DatabaseType:
    """Return the type of a column that `create: true` makes."""
    types: dict[ColumnType, DatabaseType] = {
        "text": Text(),
        "integer": BigInteger(),
        "number": Numeric(),
        "boolean": Boolean(),
        "date": Date(),
        "time": DateTime(timezone=True),
        "json": JSON(),
    }
    if driver == "postgresql":
        types["json"] = postgresql.JSONB()
    if driver == "mysql":
        types |= {"text": mysql.LONGTEXT(), "number": Numeric(38, 10), "time": mysql.DATETIME(fsp=6)}
    return types[type_]
