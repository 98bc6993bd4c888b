"""Check the databases that destinations of the kind `sql` write to.

A table passes if it has the columns that `columns` of the destination maps values to, if they accept the types of these
values, and if it has the unique index that the destination needs. Nothing is written.
"""

from collections import defaultdict
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
from functions.notify.destinations.sql.faults import DRIVER_ERRORS, Fault, fault_of
from functions.notify.destinations.sql.place import database_place, engine_of
from functions.notify.destinations.sql.settings import Settings
from shared import errors, jsontext

SECONDS: Final = 10.0
LOCAL_ADVICE: Final = "start it, or correct its host and port; deliveries are retried until then"
REMOTE_ADVICE: Final = "this machine may not reach it; the page shows what the database returns to notify"
_COLUMN_TYPES: Final[Mapping[ColumnType, tuple[type, ...]]] = {
    "text": (types.String, types.JSON),
    "integer": (types.Integer, types.Numeric, types.Float, types.String),
    "number": (types.Numeric, types.Float, types.String),
    "boolean": (types.Boolean, types.Integer, types.String),
    "date": (types.Date, types.DateTime, types.String),
    "time": (types.DateTime, types.Date, types.String),
    "json": (types.JSON, types.String),
}
"""The column types that accept the values of each type of the mapping."""


class _UnknownType(types.UserDefinedType[object]):
    """A column type that SQLAlchemy does not know, such as MariaDB's `VECTOR(3)`."""

    cache_ok = True

    def __init__(self, *_: object, **__: object) -> None:
        """Accept any arguments: without this class, SQLAlchemy raises an error for a type that has some."""

    def get_col_spec(self, **_: object) -> str:
        return "of a type that SQLAlchemy does not know"


@dataclass(frozen=True, slots=True)
class LiveColumn:
    """A column of the table. `is_required`: a new row must have a value for it, as the database supplies none."""

    type: object
    is_required: bool = False


Columns: TypeAlias = Mapping[str, LiveColumn]


def databases(notify: jsontext.JsonObject, backend: SecretBackend, *, is_local: bool = False) -> Finding:
    """Check the table of each destination. `is_local`: notify runs on this machine. Raises BackendError."""
    return worst({name: _check(settings, backend, is_local) for name, settings in sql_destinations(notify).items()})


def _check(settings: Settings, backend: SecretBackend, is_local: bool) -> Finding:
    names = [name for name in (settings.url_secret, settings.password_secret) if name is not None]
    secrets = {name: stored.values for name, stored in backend.find(names).items() if stored.values}
    for name in names:
        if name not in secrets:
            return unknown(f"the secret {name} is not set, or cannot be read here")
    try:
        place = database_place(settings, secrets)
        engine = engine_of(place, 1, SECONDS)
    except errors.Temporary as fault:
        return problem(fault.detail, "set the secret again")
    try:
        columns = live_columns(engine, settings)
        if columns is None:
            return _missing_table(settings)
        with engine.connect() as connection:
            return _check_table(settings, columns, index_fault(connection, settings))
    except DRIVER_ERRORS as error:
        return _connection_finding(fault_of(error, place.driver), is_local)
    finally:
        engine.dispose()


def _connection_finding(fault: Fault, is_local: bool) -> Finding:
    """Return what the fault says about the database, by its kind: see `Fault`."""
    if fault.kind == "setup":
        return problem(f"the database rejects the check ({fault.code}): {fault.message}", fault.advice)
    if fault.kind == "passing":
        code = f" ({fault.code})" if fault.code else ""
        todo = fault.advice or "wait, or end what holds it"
        return problem(f"the database cannot be read now{code}: {fault.message}", todo)
    rule = f"the database is not reachable: {fault.message}"
    if is_local:
        return problem(rule, fault.advice or LOCAL_ADVICE)
    # In a cloud, only notify may be able to reach the database.
    return unknown(rule, fault.advice or REMOTE_ADVICE)


def live_columns(engine: Engine, settings: Settings) -> Columns | None:
    """Return the table's columns; None if it is missing. Raises an error of DRIVER_ERRORS."""
    if isinstance(engine.dialect, MySQLDialect):
        engine.dialect.ischema_names = defaultdict(lambda: _UnknownType, engine.dialect.ischema_names)
    try:
        found = inspect(engine).get_columns(settings.table, settings.schema_)
    except NoSuchTableError:
        return None
    columns: dict[str, LiveColumn] = {}
    for each in found:
        has_value = (
            each["nullable"]
            or each.get("default") is not None
            or each.get("autoincrement") is True
            or bool(each.get("identity") or each.get("computed"))
        )
        columns[each["name"]] = LiveColumn(each["type"], is_required=not has_value)
    return columns


def _missing_table(settings: Settings) -> Finding:
    if settings.create:
        return ok(f"{settings.table_text} is created by the first delivery")
    return problem(f"the database has no table {settings.table_text}", "create it, or set `create: true`")


def _check_table(settings: Settings, columns: Columns, index: IndexFault | None) -> Finding:
    table = settings.table_text
    if faults := list(_column_faults(settings, columns)):
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        return problem(f"{table}: {faults[0]}{more}", "correct the table, or `columns` of the configuration")
    if index is not None:
        return problem(index.problem, index.advice)
    return ok(f"{table} has the columns of the mapping")


def _column_faults(settings: Settings, columns: Columns) -> Iterator[str]:
    """Yield what is wrong with the columns. Names are compared in lower case, as MySQL and SQLite do."""
    by_lower_name = {name.lower(): column for name, column in columns.items()}
    for name in settings.row_columns:
        column = by_lower_name.get(name.lower())
        if column is None:
            yield f"it has no column {name!r}"
        elif name not in settings.columns:  # the column of the delivery's id
            length = getattr(column.type, "length", None)
            if not isinstance(column.type, types.String) or (isinstance(length, int) and length < MAX_ID_CHARACTERS):
                yield f"column {name!r} is {column.type!s}; a delivery's id has up to {MAX_ID_CHARACTERS} characters"
        else:
            type_ = settings.columns[name].type
            if type_ and not isinstance(column.type, _COLUMN_TYPES[type_]):
                yield f"column {name!r} is {column.type!s}, which does not take the type {type_}"
    written = {name.lower() for name in settings.row_columns}
    for name, column in columns.items():
        if column.is_required and name.lower() not in written:
            yield f"column {name!r} needs a value, and `columns` has none for it"
