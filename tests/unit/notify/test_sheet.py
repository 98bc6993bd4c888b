import asyncio
from dataclasses import replace

import pytest

from functions.notify.destinations import sheet
from shared.delivery import Delivered, Disabled, RetryLater
from shared.jsontext import Json, JsonObject
from tests.fakes.destinations import a_context
from tests.google_documents import error
from tests.google_workspace import Fault, Workspace
from tests.unit.notify.google_kinds import attempted, connected, delivery_with

SETTINGS: JsonObject = {
    "spreadsheet": "1ExampleOfASpreadsheet",
    "sheet": "Signups",
    "columns": {"Name": "data.name", "Tags": "data.tags", "Number": "data.number"},
}
HEADER: list[Json] = ["Name", "Tags", "Number", "Delivery"]
ADA: Json = {"name": "Ada", "tags": ["a", "b"], "number": 7}
ID = delivery_with(ADA).id
ROW: list[Json] = ["Ada", '["a","b"]', 7, ID]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "INTERVAL_SECONDS", 0.0)


@pytest.fixture
def workspace() -> Workspace:
    return Workspace()


async def test_the_first_delivery_makes_the_header_and_its_row(workspace: Workspace) -> None:
    outcome = await attempted(connected(sheet, workspace, SETTINGS), ADA)

    assert outcome == Delivered("row 2")
    assert workspace.sheets["Signups"] == [HEADER, ROW]


async def test_deliveries_that_wait_at_once_go_into_one_append(workspace: Workspace) -> None:
    destination = connected(sheet, workspace, SETTINGS)
    deliveries = [delivery_with({"name": f"n{number}"}, number) for number in range(40)]

    outcomes = await asyncio.gather(*[attempted(destination, each) for each in deliveries])

    assert outcomes == [Delivered(f"row {number}") for number in range(2, 42)]
    assert [row[0] for row in workspace.sheets["Signups"][1:]] == [f"n{number}" for number in range(40)]
    assert sum(":append" in asked for asked in workspace.asked) <= 2


@pytest.mark.parametrize(
    ("found", "cell"),
    [
        (["Name", "Label", "Number", "Delivery"], "B1 must be the column's name 'Tags'; got 'Label'"),
        (["Name", "Tags", "Number"], "D1 must be the column's name 'Delivery'; got ''"),
        (["Ada"], "A1 must be the column's name 'Name'; got 'Ada'"),
    ],
)
async def test_a_wrong_header_holds_the_destination_and_names_the_cell(
    workspace: Workspace, found: list[Json], cell: str
) -> None:
    workspace.sheets["Signups"] = [found]

    outcome = await attempted(connected(sheet, workspace, SETTINGS), ADA)

    assert isinstance(outcome, Disabled)
    assert cell in outcome.reason
    assert workspace.sheets["Signups"] == [found]


async def test_a_header_is_only_made_where_the_settings_say_so(workspace: Workspace) -> None:
    outcome = await attempted(connected(sheet, workspace, {**SETTINGS, "header": "check"}), ADA)

    assert isinstance(outcome, Disabled)
    assert workspace.sheets["Signups"] == []


async def test_without_a_header_the_delivery_id_comes_first_so_that_no_row_begins_empty(workspace: Workspace) -> None:
    destination = connected(sheet, workspace, {**SETTINGS, "header": "none"})
    await attempted(destination, {"name": ""})

    assert workspace.sheets["Signups"] == [[ID, "", "", ""]]
    assert await attempted(destination, {"name": ""}, number=2) == Delivered("the row was there already")


# What Google answers


@pytest.mark.parametrize("request_", [":append", "A1:D1", "majorDimension"])
async def test_an_exhausted_quota_waits_and_pauses_the_destination(workspace: Workspace, request_: str) -> None:
    workspace.fail(request_, error(429, retry_after="90"))

    outcome = await attempted(connected(sheet, workspace, SETTINGS), ADA, number=2)

    assert isinstance(outcome, RetryLater)
    assert (outcome.after_seconds, outcome.pause_destination_seconds) == (90.0, 90.0)


@pytest.mark.parametrize(
    ("fault", "act"),
    [
        (error(403, "The caller does not have permission"), "share the spreadsheet"),
        (error(404), "share the spreadsheet"),
        (error(401), "share the spreadsheet"),
        (error(403, reason="SERVICE_DISABLED"), "enable the Google Sheets API"),
        (error(400, "Unable to parse range: 'Signups'!A1"), "has no such sheet"),
        (error(400, "increase the number of cells in the workbook above the limit of 10000000 cells"), "is full"),
        (error(400, "You are trying to edit a protected cell or object."), "cells are protected"),
        (error(400, "This operation is not supported for this document"), "is no Google Sheet"),
    ],
)
async def test_a_missing_right_or_a_wrong_sheet_holds_the_destination(
    workspace: Workspace, fault: Fault, act: str
) -> None:
    workspace.fail(":append", fault)

    outcome = await attempted(connected(sheet, workspace, SETTINGS), ADA)

    assert isinstance(outcome, Disabled)
    assert act in outcome.reason


async def test_a_sheet_that_is_not_there_holds_the_destination(workspace: Workspace) -> None:
    outcome = await attempted(connected(sheet, workspace, {**SETTINGS, "sheet": "It's gone"}), ADA)

    assert isinstance(outcome, Disabled)
    assert '"It\'s gone"' in outcome.reason


async def test_without_an_account_of_googles_the_deliveries_are_held_and_the_reason_says_what_to_set() -> None:
    destination = sheet.connect("rows", sheet.Settings.model_validate(SETTINGS), replace(a_context(), fetch=Workspace))

    outcome = await attempted(destination, ADA)
    assert isinstance(outcome, Disabled)
    assert "name the key of a service account in `secret`" in outcome.reason
