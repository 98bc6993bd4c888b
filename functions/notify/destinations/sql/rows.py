"""An event as a row: the values of the columns, each converted to its column's type."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Final, TypeAlias

from functions.notify.destinations.sql.settings import ColumnType, Driver, Settings
from shared.errors import Permanent
from shared.expressions import Expression, over_event
from shared.jsontext import Json, JsonObject, kind_of
from shared.times import read_time

Value: TypeAlias = str | int | float | None
"""A value as each driver takes it; booleans of PostgreSQL are texts, and elsewhere 0 and 1."""

MAX_INTEGER: Final = 2**63 - 1
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,3})?")
_BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Row:
    """`values` are in the order of the statement's columns. `key` are those that identify the row.

    `is_retry`: it may be in the table already.
    """

    values: tuple[Value, ...]
    key: tuple[Value, ...]
    is_retry: bool = False

    @property
    def weight(self) -> int:
        """Return about how many bytes the values have."""
        return sum(len(value) if isinstance(value, str) else 8 for value in self.values)


class RowMaker:
    def __init__(self, settings: Settings, driver: Driver) -> None:
        """The expressions are valid: the settings were validated."""
        self._columns: list[tuple[str, Expression, ColumnType | None]] = [
            (name, over_event(column.value), settings.type_of(name)) for name, column in settings.columns.items()
        ]
        self._key = [list(settings.columns).index(name) for name in settings.key]
        self._driver = driver

    def row(self, view: JsonObject, delivery_id: str, is_retry: bool = False) -> Row:
        """Return the row of an event. Raises Permanent: `expression_failed`, or `conversion_failed` for a value."""
        values = [self._value(name, expression.search(view), type_) for name, expression, type_ in self._columns]
        if not self._key:
            return Row((*values, delivery_id), (delivery_id,), is_retry)
        for index in self._key:
            if values[index] is None:
                raise _unfit(self._columns[index][0], "is part of the key, and the event has no value for it")
        return Row(tuple(values), tuple(values[index] for index in self._key), is_retry)

    def _value(self, name: str, found: Json, type_: ColumnType | None) -> Value:
        if found is None:
            return None
        try:
            value = _CONVERTERS[type_](found) if type_ else _as_it_is(found)
        except (ValueError, OverflowError, RecursionError) as error:
            rule = f"must be of the type {type_}" if type_ else "must be a value that a database has"
            raise _unfit(name, f"{rule}; got {kind_of(found)} {_fault(error)}".rstrip()) from error
        return self._for_driver(name, value)

    def _for_driver(self, name: str, value: bool | int | float | str | datetime) -> Value:
        """Return the value as the driver takes it.

        PostgreSQL reads each value from its text, as its column's type says: nothing is rounded or cut by a cast.
        """
        is_postgresql = self._driver == "postgresql"
        if isinstance(value, datetime):
            value = _time_text(value, self._driver)
        if isinstance(value, bool):
            return str(value).lower() if is_postgresql else int(value)
        if isinstance(value, str):
            value = value.encode("utf-8", "replace").decode()  # half a surrogate pair becomes a question mark
            if is_postgresql and "\0" in value:
                raise _unfit(name, "has the character NUL, which PostgreSQL does not store")
            return value
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            return str(value)
        return repr(value) if is_postgresql else value


def _unfit(column: str, fault: str) -> Permanent:
    return Permanent("conversion_failed", f"column {column!r} {fault}")


def _fault(error: Exception) -> str:
    return str(error) if isinstance(error, _Unfit) else ""


class _Unfit(ValueError):
    """A value that the type does not have. The text does not quote the value."""


def _as_it_is(value: Json) -> bool | int | float | str:
    if isinstance(value, list | dict):
        return _json(value)
    if isinstance(value, float) and not isfinite(value):
        raise _Unfit("that is not finite")
    assert value is not None
    return value


def _text(value: Json) -> str:
    return value if isinstance(value, str) else _json(value)


def _integer(value: Json) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Unfit
    if not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise _Unfit("beyond 64 bits")
    return value


def _number(value: Json) -> int | float | str:
    """Return a number; one that came as text stays text, so that no digit is lost."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unfit
    if isinstance(value, float) and not isfinite(value):
        raise _Unfit("that is not finite")
    return value


def _boolean(value: Json) -> bool:
    found = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(found, bool):
        raise _Unfit
    return found


def _time(value: Json) -> datetime:
    """Return the time of an RFC 3339 text or of Unix seconds."""
    if isinstance(value, str):
        return read_time(value.strip()).astimezone(UTC)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unfit
    return datetime.fromtimestamp(value, UTC)


def _json(value: Json) -> str:
    """Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _time_text(value: datetime, driver: Driver) -> str:
    """Return the time in UTC. MySQL has no zones: the session's is UTC."""
    if driver == "mysql":
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


_CONVERTERS: Final[Mapping[ColumnType, Callable[[Json], bool | int | float | str | datetime]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "time": _time,
    "json": _json,
}
