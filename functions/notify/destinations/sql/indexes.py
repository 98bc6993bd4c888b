"""The unique indexes of a table: one over the row's key, without which rows would be there twice.

PostgreSQL and SQLite are told the index in each statement, and reject one without it. MySQL takes whichever unique
index a row collides with, so its indexes are read before rows are written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import NoSuchTableError

from functions.notify.destinations.sql.settings import Settings


@dataclass(frozen=True, slots=True)
class UniqueIndex:
    """`columns` are in lower case. `is_whole`: it is over whole columns, not over their beginnings or expressions."""

    name: str
    columns: frozenset[str]
    is_whole: bool = True


class IndexFault(NamedTuple):
    found: str
    act: str


def index_fault(connection: Connection, settings: Settings) -> IndexFault | None:
    """Return what is wrong with the table's unique indexes. Raises DBAPIError.

    Where there is no table, MySQL raises that; for another database nothing is wrong.
    """
    key, columns = frozenset(name.lower() for name in settings.unique), ", ".join(settings.unique)
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
            found = f"{other}, by which MySQL would replace a row that has another key"
            return IndexFault(found, "drop that index, or leave `key` out")
    return None


def _indexes(connection: Connection, settings: Settings) -> Iterator[UniqueIndex]:
    """Raises NoSuchTableError."""
    inspector, table, schema = inspect(connection), settings.table, settings.schema_
    found: list[tuple[str | None, Sequence[str | None]]] = [
        ("the primary key", inspector.get_pk_constraint(table, schema)["constrained_columns"]),
        *((each["name"], each["column_names"]) for each in inspector.get_unique_constraints(table, schema)),
        *((each["name"], each["column_names"]) for each in inspector.get_indexes(table, schema) if each["unique"]),
    ]
    for name, columns in found:
        yield UniqueIndex(str(name), frozenset(str(column).lower() for column in columns))


def _mysql_indexes(connection: Connection, settings: Settings) -> Iterator[UniqueIndex]:
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
