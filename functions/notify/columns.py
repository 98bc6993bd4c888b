"""Columns of a table that deliveries become rows of: the settings of a column, and values converted to its type."""

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from math import isfinite
from typing import Final, Literal, TypeAlias

from functions.notify.kind_settings import EventExpression, KindSettings
from shared import errors, jsontext, times

ColumnType: TypeAlias = Literal["text", "integer", "number", "boolean", "date", "time", "json"]
ColumnValue: TypeAlias = bool | int | float | str | datetime
"""A value as its column's type has it: JSON and dates are text, and so is a number that came as text."""

MAX_INTEGER: Final = 2**63 - 1
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,3})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FORMS: Final[Mapping[ColumnType, str]] = {
    "integer": "write digits only, as in 1204",
    "number": "write a point and no separators of thousands, as in 1204.50",
    "boolean": "write true or false",
    "date": "write it as in 2026-03-01",
    "time": "write it as in 2026-03-01T12:00:00Z; without a time of day, its type is date",
}
"""How a text must be written to have the type."""
_BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "false": False}


def as_column(written: object) -> object:
    """Return the settings of a column that is written as its expression alone; any other value unchanged."""
    return {"value": written} if isinstance(written, str) else written


class ColumnSettings(KindSettings):
    """A column: the JMESPath expression of its value, and its type."""

    value: EventExpression
    type: ColumnType | None = None


class _Unfit(ValueError):
    """A value that the type does not have. Its text, if any, follows `got a number`, and does not quote the value."""


def converted(column: str, value: jsontext.Json, type_: ColumnType, *, has_floats: bool = False) -> ColumnValue | None:
    """Return the value in the column's type; null stays null. Raises Permanent (`conversion_failed`).

    `has_floats`: the database stores the numbers of a column of the type `number` as 64-bit floats. A number beyond
    them, which would become infinite, is then rejected.
    """
    if value is None:
        return None
    try:
        found = _CONVERTERS[type_](value)
        if has_floats and type_ == "number" and not _is_in_float_range(found):
            raise _Unfit("beyond 64-bit floats")
        return found
    except (ValueError, OverflowError, OSError, RecursionError) as error:  # OSError: a time far out of range
        rule = f"column {column!r} must be of the type {type_}; got {jsontext.kind_of(value)}"
        raise errors.Permanent("conversion_failed", f"{rule}{_advice(value, type_, error)}") from error


def _advice(value: jsontext.Json, type_: ColumnType, error: Exception) -> str:
    """Return what follows `got a number` or `got text`: ` beyond 64 bits`, or `: write digits only, as in 1204`."""
    if isinstance(error, _Unfit) and str(error):
        return f" {error}"
    return f": {_FORMS[type_]}" if isinstance(value, str) and type_ in _FORMS else ""


def _text(value: jsontext.Json) -> str:
    return value if isinstance(value, str) else _json(value)


def _integer(value: jsontext.Json) -> int:
    """Return the integer in a number without a fraction, such as 3.0, or in a text of digits."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Unfit
    if not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise _Unfit("beyond 64 bits")
    return value


def _number(value: jsontext.Json) -> int | float | str:
    """Return a number; one that came as text stays text, so that no digit is lost."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unfit
    if isinstance(value, float) and not isfinite(value):
        raise _Unfit("that is not finite")
    return value


def _is_in_float_range(number: ColumnValue) -> bool:
    try:
        return isfinite(float(number))  # type: ignore[arg-type] # no time
    except OverflowError:
        return False


def _boolean(value: jsontext.Json) -> bool:
    boolean = _BOOLEANS.get(value.strip().lower()) if isinstance(value, str) else value
    if not isinstance(boolean, bool):
        raise _Unfit
    return boolean


def _date(value: jsontext.Json) -> str:
    """Return the date in a text that is a date, or that begins with a date as RFC 3339 times do. The day is that of the
    time's own offset, not of UTC."""
    if not isinstance(value, str):
        raise _Unfit
    text = value.strip().upper()  # an RFC 3339 time may have `t` and `z`
    day = text if _DATE.fullmatch(text) else times.read_time(text).date().isoformat()
    return date.fromisoformat(day).isoformat()


def _time(value: jsontext.Json) -> datetime:
    """Return the time of an RFC 3339 text, in which `t` and `z` may be small letters, or of Unix seconds."""
    if isinstance(value, str):
        return times.read_time(value.strip().upper()).astimezone(UTC)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unfit
    return datetime.fromtimestamp(value, UTC)


def _json(value: jsontext.Json) -> str:
    """Raises ValueError for NaN and infinity, which JSON does not have."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


_CONVERTERS: Final[Mapping[ColumnType, Callable[[jsontext.Json], ColumnValue]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
    "time": _time,
    "json": _json,
}
