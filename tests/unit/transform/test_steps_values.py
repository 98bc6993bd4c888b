"""Steps that give values, or make them another kind; times; and what they do with hostile data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.transform.program import read_chain
from shared.casting import CASTS
from shared.jsontext import Json
from tests.unit.shared.json_values import json_values
from tests.unit.transform.written_steps import data_after, run


def reason(step: Json, data: Json) -> str:
    [fault] = run(step, data).faults
    return f"{fault.code}: {fault.detail.partition(': ')[2].partition(': ')[2]}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": {"b": 1}}),
        ({"a": None}, {"a": {"b": 1}}),
        ({"a": {"b": None}}, {"a": {"b": 1}}),
        ({"a": {"b": 0}}, {"a": {"b": 0}}),
        ({"a": {"b": ""}}, {"a": {"b": ""}}),
        ({"a": {"b": False, "c": 2}}, {"a": {"b": False, "c": 2}}),
    ],
)
def test_a_default_counts_where_nothing_is_there_or_null(before: Json, after: Json) -> None:
    assert data_after({"default": {"data.a.b": 1}}, before) == after


def test_a_default_for_each_item_makes_no_list() -> None:
    assert data_after({"default": {"data.items[*].n": 1}}, {"items": [{}, {"n": 2}, None]}) == {
        "items": [{"n": 1}, {"n": 2}, {"n": 1}]
    }
    assert data_after({"default": {"data.items[*].n": 1}}, {}) == {}
    assert data_after({"default": {"data.items[3].n": 1}}, {"items": []}) == {"items": []}


def test_a_default_in_the_way_of_something_else_names_the_place_and_the_kind() -> None:
    assert reason({"default": {"data.a.b": 1}}, {"a": "hunter2"}) == "path_conflict: data.a is text, not an object"


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("integer", "12", 12),
        ("integer", " -7 ", -7),
        ("integer", 12.0, 12),
        ("integer", True, 1),
        ("integer", "9" * 4_300, int("9" * 4_300)),
        ("number", "1.50", 1.5),
        ("number", "1e3", 1000.0),
        ("number", "012", 12),
        ("number", 7, 7),
        ("boolean", "Yes", True),
        ("boolean", "off", False),
        ("boolean", 0, False),
        ("text", 1.5, "1.5"),
        ("text", True, "true"),
        ("text", {"a": 1}, '{"a":1}'),
        ("list", "x", ["x"]),
        ("list", ["x"], ["x"]),
        ("integer", None, None),
    ],
)
def test_a_cast_keeps_what_the_value_says(kind: str, before: Json, after: Json) -> None:
    found = data_after({"cast": {"data.x": kind}}, {"x": before})

    assert found == {"x": after}
    assert isinstance(found, dict)
    assert type(found["x"]) is type(after)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("integer", "hunter2", "text that cannot be cast to integer"),
        ("integer", "1.5", "text that cannot be cast to integer"),
        ("integer", 1.5, "a number that cannot be cast to integer"),
        ("integer", "9" * 4_301, "text that cannot be cast to integer"),
        ("integer", "١٢", "text that cannot be cast to integer"),
        ("number", "1e400", "text that cannot be cast to number"),
        ("number", "nan", "text that cannot be cast to number"),
        ("number", "1_000", "text that cannot be cast to number"),
        ("number", {}, "an object that cannot be cast to number"),
        ("boolean", 2, "a number that cannot be cast to boolean"),
        ("boolean", "maybe", "text that cannot be cast to boolean"),
    ],
)
def test_a_cast_that_would_change_the_value_names_the_place_and_the_kinds(kind: str, value: Json, message: str) -> None:
    assert (
        reason({"cast": {"data.list[*].x": kind}}, {"list": [{}, {"x": value}]})
        == f"cast_failed: data.list[1].x is {message}"
    )


@given(json_values, st.sampled_from(sorted(CASTS)))
def test_a_cast_answers_or_rejects_whatever_it_is_given(value: Json, kind: str) -> None:
    course = run({"cast": {"data": kind}}, value)

    assert [fault.code for fault in course.faults] in ([], ["cast_failed"])


@pytest.mark.parametrize(
    ("settings", "before", "after"),
    [
        ("data.at", "2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00.000Z"),
        ("data.at", "Sun, 01 Mar 2026 12:00:00 +0200", "2026-03-01T10:00:00.000Z"),
        ("data.at", 1_772_366_400, "2026-03-01T12:00:00.000Z"),
        ("data.at", "1772366400.250", "2026-03-01T12:00:00.250Z"),
        ("data.at", 1_772_366_400_250, "2026-03-01T12:00:00.250Z"),
        ("data.at", None, None),
        ({"path": "data.at", "zone": "+02:00"}, "2026-03-01 12:00", "2026-03-01T10:00:00.000Z"),
        ({"path": "data.at", "zone": "Europe/Berlin"}, "2026-07-01T12:00", "2026-07-01T10:00:00.000Z"),
        ({"path": "data.at", "to": "unix"}, "2026-03-01T12:00:00Z", 1_772_366_400),
        ({"path": "data.at", "to": "unix_ms"}, "2026-03-01T12:00:00.250Z", 1_772_366_400_250),
        (
            {"path": "data.at", "to": "%d %B %Y, %H:%M", "to_zone": "Europe/Berlin"},
            "2026-03-01T12:00:00Z",
            "01 March 2026, 13:00",
        ),
        (
            {"path": "data.at", "formats": ["%m/%d/%Y", "%d.%m.%Y"], "zone": "UTC"},
            "24.12.2026",
            "2026-12-24T00:00:00.000Z",
        ),
    ],
)
def test_a_time_is_read_as_it_is_written(settings: Json, before: Json, after: Json) -> None:
    assert data_after({"parse_time": settings}, {"at": before}) == {"at": after}


@pytest.mark.parametrize(
    ("settings", "value", "message"),
    [
        ("data.at", "yesterday", "data.at is not a time in a known format; set `formats`"),
        ("data.at", "2026-03-01T12:00:00", "data.at has no zone; set `zone`"),
        ("data.at", "9" * 16, "data.at is a time that is not in the calendar"),
        ("data.at", [1], "data.at is a list, not a time"),
        ("data.at", True, "data.at is a boolean, not a time"),
        ({"path": "data.at", "zone": "+14:00"}, "0001-01-01T00:00:00", "data.at is a time that is not in the calendar"),
        (
            {"path": "data.at", "to": "%Y", "to_zone": "-05:00"},
            "0001-01-01T00:00:00Z",
            "data.at is a time that cannot be written in this format",
        ),
        ({"path": "data.at", "formats": "%Y", "zone": "UTC"}, "hunter2", "data.at is in none of the formats"),
    ],
)
def test_what_is_no_time_is_rejected_without_its_text(settings: Json, value: Json, message: str) -> None:
    assert reason({"parse_time": settings}, {"at": value}) == f"invalid_time: {message}"


@given(json_values)
def test_parse_time_answers_or_rejects_whatever_it_is_given(value: Json) -> None:
    course = run({"parse_time": {"path": "data", "zone": "UTC"}}, value)

    assert [fault.code for fault in course.faults] in ([], ["invalid_time"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"path": "data.at", "zone": "Europe/Nowhere"}, "there is no time zone 'Europe/Nowhere'"),
        ({"path": "data.at", "zone": "../../etc/passwd"}, "there is no time zone"),
        ({"path": "data.at", "to": "iso"}, "to"),
        ({"path": "subject"}, "not a path in 'data'"),
    ],
)
def test_a_fault_in_the_settings_of_a_time_is_told_when_they_are_read(settings: Json, message: str) -> None:
    _, faults = read_chain([{"parse_time": settings}])

    assert message in str(faults[0])
