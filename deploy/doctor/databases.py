"""The check of the databases that destinations of the kind `sql` write to: each table as it is, and the mapping."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from sqlalchemy import Engine, inspect, types
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.exc import NoSuchTableError

from deploy.config.databases import sql_destinations
from deploy.secrets.backend import SecretBackend
from deploy.terminal.finding import Finding, ok, problem, unknown, worst
from functions.notify.columns import ColumnType
from functions.notify.destinations.sql.database import MAX_ID_CHARACTERS, IndexFault, index_fault
from functions.notify.destinations.sql.faults import DRIVER_ERRORS, fault_of
from functions.notify.destinations.sql.place import database_place, engine_of
from functions.notify.destinations.sql.settings import Settings
from shared import errors, jsontext

SECONDS: Final = 10.0
HERE: Final = "start it, or correct its host and port; deliveries are retried until then"
NOT_HERE: Final = "this machine may not reach it; the page shows what the database returns to notify"
_FITTING: Final[Mapping[ColumnType, tuple[type, ...]]] = {
    "text": (types.String, types.JSON),
    "integer": (types.Integer, types.Numeric, types.Float, types.String),
    "number": (types.Numeric, types.Float, types.String),
    "boolean": (types.Boolean, types.Integer, types.String),
    "date": (types.Date, types.DateTime, types.String),
    "time": (types.DateTime, types.Date, types.String),
    "json": (types.JSON, types.String),
}
"""The types of columns that take the values of a type of the mapping."""


class _OtherType(types.UserDefinedType[object]):
    """A type that SQLAlchemy does not know, such as MariaDB's VECTOR."""

    cache_ok = True
    name = ""

    def __init__(self, *arguments: object, **_: object) -> None:
        self._arguments = arguments

    def get_col_spec(self, **_: object) -> str:
        arguments = ", ".join(map(str, self._arguments))
        return f"{self.name}({arguments})" if arguments else self.name


class _Types(dict[str, type]):
    """The types that SQLAlchemy knows by name, and any other: with arguments, it would end the look at the table."""

    def __missing__(self, name: str) -> type:
        return type("OtherType", (_OtherType,), {"name": name.upper()})


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """A column as the database describes it. `is_required`: a row must have a value, and there is no default."""

    type: object
    is_required: bool = False


Columns: TypeAlias = Mapping[str, LiveColumn]


def databases(notify: jsontext.JsonObject, backend: SecretBackend, *, is_local: bool = False) -> Finding:
    """Check each table. `is_local`: notify reaches what this machine does. Raises BackendError."""
    return worst({name: _finding(settings, backend, is_local) for name, settings in sql_destinations(notify).items()})


def _finding(settings: Settings, backend: SecretBackend, is_local: bool) -> Finding:
    names = [name for name in (settings.url_secret, settings.password_secret) if name is not None]
    stored = backend.find(names)
    secrets = {name: each.values for name, each in stored.items() if each.values}
    if missing := [name for name in names if name not in secrets]:
        return unknown(f"the secret {missing[0]} is not set, or cannot be read here")
    try:
        where = database_place(settings, secrets)
        engine = engine_of(where, 1, SECONDS)
    except errors.Temporary as fault:
        return problem(fault.detail, "set the secret again")
    try:
        columns = live_columns(engine, settings)
        if columns is None:
            return table_finding(settings, None, None)
        with engine.connect() as connection:
            return table_finding(settings, columns, index_fault(connection, settings))
    except DRIVER_ERRORS as error:
        found = fault_of(error, where.driver)
        if found.kind == "setup":
            return problem(f"the database rejects the check ({found.code}): {found.message}", found.advice)
        if found.kind == "passing":
            code = f" ({found.code})" if found.code else ""
            todo = found.advice or "wait, or end what holds it"
            return problem(f"the database cannot be read now{code}: {found.message}", todo)
        rule = f"the database is not reachable: {found.message}"
        return problem(rule, found.advice or HERE) if is_local else unknown(rule, found.advice or NOT_HERE)
    finally:
        engine.dispose()


def live_columns(engine: Engine, settings: Settings) -> Columns | None:
    """Return the table's columns; None if it is missing. Raises an error of DRIVER_ERRORS."""
    if isinstance(engine.dialect, MySQLDialect):
        engine.dialect.ischema_names = _Types(engine.dialect.ischema_names)
    try:
        found = inspect(engine).get_columns(settings.table, settings.schema_)
    except NoSuchTableError:
        return None
    return {
        each["name"]: LiveColumn(
            each["type"],
            not each["nullable"]
            and each.get("default") is None
            and each.get("autoincrement") is not True
            and not each.get("identity")
            and not each.get("computed"),
        )
        for each in found
    }


def table_finding(settings: Settings, columns: Columns | None, index: IndexFault | None) -> Finding:
    table = settings.table_text
    if columns is None:
        if settings.create:
            return ok(f"{table} is created by the first delivery")
        return problem(f"the database has no table {table}", "create it, or set `create: true`")
    if faults := list(_faults(settings, columns)):
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        return problem(f"{table}: {faults[0]}{more}", "correct the table, or `columns` of the configuration")
    if index is not None:
        return problem(index.problem, index.advice)
    return ok(f"{table} has the columns of the mapping")


def _faults(settings: Settings, columns: Columns) -> Iterator[str]:
    live = {name.lower(): column for name, column in columns.items()}
    for name in settings.row_columns:
        column = live.get(name.lower())
        if column is None:
            yield f"it has no column {name!r}"
        elif name not in settings.columns:
            length = getattr(column.type, "length", None)
            if not isinstance(column.type, types.String) or (isinstance(length, int) and length < MAX_ID_CHARACTERS):
                yield f"column {name!r} is {column.type!s}; a delivery's id has up to {MAX_ID_CHARACTERS} characters"
        elif (type_ := settings.columns[name].type) and not isinstance(column.type, _FITTING[type_]):
            yield f"column {name!r} is {column.type!s}, which does not take the type {type_}"
    written = {name.lower() for name in settings.row_columns}
    for name, column in columns.items():
        if column.is_required and name.lower() not in written:
            yield f"column {name!r} needs a value, and `columns` has none for it"
