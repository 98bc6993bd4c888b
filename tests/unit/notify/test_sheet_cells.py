import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.notify.destinations import sheet
from shared.delivery import Delivered
from shared.errors import Permanent
from shared.jsontext import Json, JsonObject
from tests.google_workspace import Workspace
from tests.unit.notify.google_kinds import attempted, connected
from tests.unit.notify.http_kinds import HOSTILE, json_of, request_of

SETTINGS: JsonObject = {
    "spreadsheet": "1ExampleOfASpreadsheet",
    "sheet": "Signups",
    "columns": {"Name": "data.name", "Tags": "data.tags"},
}


def cell_of(value: Json) -> Json:
    body = json_of(request_of(sheet, SETTINGS, {"name": value}))
    values = body["values"]
    assert isinstance(values, list)
    assert isinstance(values[0], list)
    return values[0][0]


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1+2", "@SUM(A1)", "'x", "2026-03-01", "007"])
def test_a_text_stays_the_text_that_it_is(text: str) -> None:
    assert cell_of(text) == text


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, True),
        (1.5, 1.5),
        (999_999_999_999_999, 999_999_999_999_999),
        (1_234_567_890_123_456, "1234567890123456"),
        (-(10**40), str(-(10**40))),
        ([], "[]"),
        ({"a": [None, "ü"]}, '{"a":[null,"ü"]}'),
    ],
)
def test_a_value_becomes_a_cell_without_a_loss(value: Json, cell: Json) -> None:
    assert cell_of(value) == cell


def test_a_number_that_is_not_finite_fails() -> None:
    with pytest.raises(Permanent, match="not finite"):
        cell_of(float("inf"))


@pytest.mark.parametrize("text", [*HOSTILE, ["x" * 60_000], "x" * 49_999 + "👩"])
async def test_no_event_makes_a_cell_that_is_too_large(text: Json) -> None:
    workspace = Workspace()
    outcome = await attempted(connected(sheet, workspace, SETTINGS), {"name": text})

    assert isinstance(outcome, Delivered)
    cell = workspace.sheets["Signups"][1][0]
    assert isinstance(cell, str)
    assert len(cell.encode("utf-16-le")) // 2 <= 50_000


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(), st.lists))
def test_any_value_is_text_a_number_or_a_boolean_in_its_cell(value: Json) -> None:
    assert isinstance(cell_of(value), bool | int | float | str)


@pytest.mark.parametrize(
    "written",
    [
        "1ExampleOfASpreadsheet",
        "https://docs.google.com/spreadsheets/d/1ExampleOfASpreadsheet/edit?gid=0#gid=0",
        "https://docs.google.com/spreadsheets/u/1/d/1ExampleOfASpreadsheet",
    ],
)
def test_a_spreadsheet_is_named_by_its_id_or_url(written: str) -> None:
    settings = sheet.Settings.model_validate({**SETTINGS, "spreadsheet": written})

    assert settings.spreadsheet == "1ExampleOfASpreadsheet"
