"""An event as a row: the values of the columns, each converted to its column's type."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Final, TypeAlias

from functions.notify import bounded_texts, columns
from functions.notify.destinations.sql.settings import Driver, Settings
from shared import errors, event, expressions, jsontext
from shared.delivery import Delivery

_OF_TEXT: Final = (None, "text")
"""The types of a column that takes a text as it is."""
Value: TypeAlias = str | int | float | None
"""A value as each driver takes it; booleans of PostgreSQL are texts, and elsewhere 0 and 1."""


@dataclass(slots=True)
class Row:
    """The row of a delivery.

    values    in the order of the statement's columns
    key       the values that identify the row: those of `key`, or the delivery's id
    is_retry  it may be in the table already
    is_sent   a thread has taken it, so it may be written
    """

    values: tuple[Value, ...]
    key: tuple[Value, ...]
    is_retry: bool = False
    is_sent: bool = False

    @property
    def weight(self) -> int:
        """Return about how many bytes the values have. A number has 8."""
        return sum([len(value) if isinstance(value, str) else 8 for value in self.values])


class RowMaker:
    """Makes the rows of events for one driver, by expressions that are compiled once."""

    def __init__(self, settings: Settings, driver: Driver) -> None:
        """The expressions are valid: the settings were validated."""
        self._columns: list[tuple[str, expressions.Expression, columns.ColumnType | None]] = [
            (name, expressions.over_event(column.value), settings.type_of(name))
            for name, column in settings.columns.items()
        ]
        self._key = [list(settings.columns).index(name) for name in settings.key]
        self._driver = driver
        self._bound = bounded_texts.bound_of([expression for _, expression, _ in self._columns])

    def row(self, view: jsontext.JsonObject, delivery_id: str, is_retry: bool = False) -> Row:
        """Return the row of an event. Raises Permanent: `expression_failed`, or `conversion_failed` for a value."""
        with self._bound():
            results = [expression.search(view) for _, expression, _ in self._columns]
            pairs = zip(self._columns, results, strict=True)
            values = [self._value(name, result, type_) for (name, _, type_), result in pairs]
        if not self._key:
            return Row((*values, delivery_id), (delivery_id,), is_retry)
        for index in self._key:
            if results[index] in (None, []):
                raise _unfit(self._columns[index][0], "is part of the key, and the event has no value for it")
        return Row(tuple(values), tuple(values[index] for index in self._key), is_retry)

    def _value(self, name: str, result: jsontext.Json, type_: columns.ColumnType | None) -> Value:
        """Return the column's value, as the driver takes it, from what its expression found. Raises Permanent."""
        if result is None:
            return None
        if isinstance(result, str) and type_ in _OF_TEXT:
            return self._text(name, result)
        if type_ is None:
            value = _as_it_is(name, result)
        else:
            # SQLite stores large numbers as 64-bit floats.
            value = columns.converted(name, result, type_, has_floats=self._driver == "sqlite")
        assert value is not None
        return self._for_driver(name, value)

    def _for_driver(self, name: str, value: columns.ColumnValue) -> Value:
        """Return the value as the driver takes it.

        PostgreSQL reads each value from its text, as its column's type says: nothing is rounded or cut by a cast.
        """
        if isinstance(value, str):
            return self._text(name, value)
        if isinstance(value, datetime):
            return _time_text(value, self._driver)
        is_postgresql = self._driver == "postgresql"
        if isinstance(value, bool):
            return str(value).lower() if is_postgresql else int(value)
        if isinstance(value, int) and abs(value) > columns.MAX_INTEGER:
            return str(value)
        return repr(value) if is_postgresql else value

    def _text(self, name: str, value: str) -> str:
        """Return the text as the database stores it. Raises Permanent."""
        value = value.encode("utf-8", "replace").decode()  # half a surrogate pair becomes a question mark
        if self._driver == "postgresql" and "\0" in value:
            raise _unfit(name, "has the character NUL, which PostgreSQL does not store")
        return value


def _unfit(column: str, fault: str) -> errors.Permanent:
    return errors.Permanent("conversion_failed", f"column {column!r} {fault}")


def _as_it_is(column: str, value: jsontext.Json) -> columns.ColumnValue | None:
    """Return the value of a column without a type, whose type only the database knows. Raises Permanent."""
    if isinstance(value, list | dict):
        return columns.converted(column, value, "json")
    if isinstance(value, float) and not isfinite(value):
        raise _unfit(column, "must be a value that a database has; got a number that is not finite")
    return value


def _time_text(value: datetime, driver: Driver) -> str:
    """Return the time in UTC. MySQL has no zones: the session's is UTC."""
    if driver == "mysql":
        return value.replace(tzinfo=None).isoformat(" ", "microseconds")
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def row_of(delivery: Delivery, settings: Settings) -> Mapping[str, Value]:
    """Return the values by column, as SQLite has them: numbers as numbers, booleans as 0 and 1, all else as text.

    Raises Permanent.
    """
    row = RowMaker(settings, "sqlite").row(event.view_of(delivery.event), delivery.id)
    return dict(zip(settings.row_columns, row.values, strict=True))


def row_lines(delivery: Delivery, settings: Settings) -> Iterator[str]:
    """Yield where the row goes, then its values. Raises Permanent."""
    does = f"insert or replace by {', '.join(settings.key)}" if settings.key else "insert"
    yield f"sql: {does} in the table {settings.table_text}"
    for name, value in row_of(delivery, settings).items():
        yield f"{name} = {'NULL' if value is None else value}"
