"""An event as a row: any value that an event may hold is converted, or fails with a text that names the column."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.columns import MAX_INTEGER
from functions.notify.destinations.sql.rows import RowMaker, Value
from functions.notify.destinations.sql.settings import Driver, Settings
from shared.errors import Permanent
from shared.jsontext import Json

TYPES: Final = (None, "text", "integer", "number", "boolean", "date", "time", "json")
NUMBER: Final = "must be of the type number; got text: write a point and no separators of thousands, as in 1204.50"
TIME: Final = (
    "must be of the type time; got text: write it as in 2026-03-01T12:00:00Z; without a time of day, its type is date"
)
DRIVERS: Final[tuple[Driver, ...]] = ("postgresql", "mysql", "sqlite")
SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES: Final = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def value_of(value: Json, type_: str | None = None, driver: Driver = "postgresql") -> Value:
    settings = Settings.model_validate(
        {"url_secret": "u", "table": "t", "columns": {"a": {"value": "data", "type": type_}}}
    )
    return RowMaker(settings, driver).row({"data": value}, "d1").values[0]


@given(value=VALUES, type_=st.sampled_from(TYPES), driver=st.sampled_from(DRIVERS))
def test_any_value_becomes_one_that_drivers_take_or_fails_by_its_column(
    value: Json, type_: str | None, driver: Driver
) -> None:
    try:
        found = value_of(value, type_, driver)
    except Permanent as error:
        assert error.code == "conversion_failed"
        assert "'a'" in error.detail
        return
    assert isinstance(found, str | int | float | None)
    if isinstance(found, str):
        assert found.encode().decode() == found  # no half of a surrogate pair is left
        assert driver != "postgresql" or "\0" not in found
    if isinstance(found, int):
        assert abs(found) <= MAX_INTEGER


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        (None, {"a": [1, True]}, '{"a":[1,true]}'),
        (None, 1.5, "1.5"),
        (None, False, "false"),
        ("text", "a", "a"),
        ("text", 12, "12"),
        ("text", True, "true"),
        ("text", {"a": None}, '{"a":null}'),
        ("text", None, None),
        ("integer", 3.0, "3"),
        ("integer", " -42 ", "-42"),
        ("integer", -(2**63), str(-(2**63))),
        ("number", "0012.50", "0012.50"),
        ("number", 1e300, "1e+300"),
        ("boolean", "TRUE", "true"),
        ("date", "2026-03-01", "2026-03-01"),
        ("date", "2026-03-01T00:30:00+02:00", "2026-03-01"),
        ("time", 0, "1970-01-01T00:00:00.000000Z"),
        ("time", "2026-03-01T01:00:00.5+02:00", "2026-02-28T23:00:00.500000Z"),
        ("json", "a", '"a"'),
        ("json", None, None),
    ],
)
def test_a_value_is_converted_to_its_type(type_: str | None, value: Json, expected: Value) -> None:
    assert value_of(value, type_) == expected


@pytest.mark.parametrize(
    ("type_", "value", "rule"),
    [
        ("integer", 1.5, "must be of the type integer; got a number"),
        ("integer", True, "must be of the type integer; got a boolean"),
        ("integer", 2**63, "must be of the type integer; got a number beyond 64 bits"),
        ("integer", "1; DROP TABLE t", "must be of the type integer; got text: write digits only, as in 1204"),
        ("number", float("nan"), "must be of the type number; got a number that is not finite"),
        ("number", "NaN", NUMBER),
        ("number", "19,90", NUMBER),
        ("number", "1e5e5", NUMBER),
        ("boolean", 1, "must be of the type boolean; got a number"),
        ("boolean", "yes", "must be of the type boolean; got text: write true or false"),
        ("date", "01.03.2026", "must be of the type date; got text: write it as in 2026-03-01"),
        ("date", "2026-02-30", "must be of the type date; got text: write it as in 2026-03-01"),
        ("date", 0, "must be of the type date; got a number"),
        ("time", "2026-03-01", TIME),
        ("time", 1e300, "must be of the type time; got a number"),
        ("json", [float("inf")], "must be of the type json; got a list"),
        (None, float("inf"), "must be a value that a database has; got a number that is not finite"),
        ("text", "a\0b", "has the character NUL, which PostgreSQL does not store"),
    ],
)
def test_a_value_that_its_type_does_not_have_fails_and_is_not_quoted(type_: str | None, value: Json, rule: str) -> None:
    with pytest.raises(Permanent) as raised:
        value_of(value, type_)
    assert raised.value.detail == f"column 'a' {rule}"


def test_each_driver_gets_times_and_booleans_as_its_database_reads_them() -> None:
    assert value_of(0, "time", "mysql") == "1970-01-01 00:00:00.000000"
    assert value_of(True, "boolean", "mysql") == 1
    assert value_of(True, "boolean", "sqlite") == 1


def test_an_event_without_a_value_for_the_key_fails() -> None:
    settings = Settings.model_validate(
        {"url_secret": "u", "table": "t", "columns": {"a": "data.a", "b": "type"}, "key": "a"}
    )
    with pytest.raises(Permanent) as raised:
        RowMaker(settings, "postgresql").row({"data": {}, "type": "x"}, "d1")
    assert raised.value.detail == "column 'a' is part of the key, and the event has no value for it"
