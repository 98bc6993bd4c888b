"""The kind `sheet`: its rows and cells, each row once whatever becomes of the answers and the people's own changes."""

import asyncio
from dataclasses import replace

import pytest

from functions.notify.destinations import sheet
from shared.delivery import Delivered, Disabled, Failed, RetryLater, Unknown
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject, value_at
from tests.fakes.destinations import a_context
from tests.stand_ins.google_documents import error
from tests.stand_ins.google_workspace import Fault, Workspace
from tests.unit.notify.google_kinds import attempted, connected, delivery_with, notifier
from tests.unit.notify.http_kinds import HOSTILE, json_of, request_of

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
    ("found", "rule", "answer"),
    [
        (["Name", "Label", "Number", "Delivery"], "B1 must be the column's name 'Tags'", "cell B1 is 'Label'"),
        (["Name", "Tags", "Number"], "D1 must be the column's name 'Delivery'", "cell D1 is ''"),
        (["Ada"], "A1 must be the column's name 'Name'", "cell A1 is 'Ada'"),
    ],
)
async def test_a_wrong_header_holds_the_destination_with_a_reason_that_quotes_no_cell(
    workspace: Workspace, found: list[Json], rule: str, answer: str
) -> None:
    workspace.sheets["Signups"] = [found]

    outcome = await attempted(connected(sheet, workspace, SETTINGS), ADA)

    assert outcome == Disabled(f"sheet 'Signups': cell {rule}; correct the first row, or `columns`", answer)
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
async def test_a_missing_right_or_sheet_is_a_hold(workspace: Workspace, fault: Fault, act: str) -> None:
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


async def test_a_row_is_there_once_though_a_person_moves_the_column_of_the_ids(workspace: Workspace) -> None:
    destination = connected(sheet, workspace, SETTINGS)
    workspace.fail(":append", "lost")
    await attempted(destination, ADA)
    moved = [["", *row] for row in workspace.sheets["Signups"]]
    workspace.sheets["Signups"] = [list(row) for row in moved]

    outcome = await attempted(destination, ADA, number=2)

    assert isinstance(outcome, Disabled)
    assert "cell A1" in outcome.reason
    assert workspace.sheets["Signups"] == moved


async def test_a_replay_of_a_row_that_may_be_there_adds_none_and_of_a_delivered_one_adds(workspace: Workspace) -> None:
    notify = notifier(workspace, "sheet", SETTINGS)
    workspace.fail(":append", "lost")
    workspace.fail("majorDimension=COLUMNS", error(400))
    await notify.take(delivery_with(ADA))
    notify.clock.advance(2_000)
    assert [result.outcome for result in await notify.sweep_and_take()] == ["dead_lettered"]

    results = []
    for _ in range(2):
        await notify.ledger.reopen(ID, notify.clock.now())
        results.append(await notify.take(delivery_with(ADA)))

    assert [result.outcome for result in results] == ["delivered", "delivered"]
    assert workspace.sheets["Signups"] == [HEADER, ROW, [*ROW[:-1], f"{ID}-r2"]]


async def test_a_retry_is_not_written_while_the_ids_cannot_be_read_but_others_are(workspace: Workspace) -> None:
    destination = connected(sheet, workspace, SETTINGS)
    await attempted(destination, ADA)
    workspace.fail("majorDimension=COLUMNS", "lost")

    retried, first = await asyncio.gather(
        attempted(destination, ADA, number=2), attempted(destination, delivery_with({"name": "Bob"}, 2))
    )

    assert isinstance(retried, RetryLater)
    assert isinstance(first, Delivered)
    assert len(workspace.sheets["Signups"]) == 3


async def test_ids_of_a_long_sheet_are_read_from_its_end(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "PAGE_ROWS", 400)
    other: list[list[Json]] = [["x", "", "", f"other-{number}"] for number in range(500)]
    workspace.sheets["Signups"] = [HEADER, ROW, *other]

    outcome = await attempted(connected(sheet, workspace, SETTINGS), ADA, number=2)

    assert outcome == Delivered("the row was there already")
    pages = [asked.partition("!")[2].partition("?")[0] for asked in workspace.asked if "COLUMNS" in asked]
    assert pages == ["D601:D1000", "D201:D600", "D1:D200"]


async def test_a_row_that_google_rejects_fails_alone(workspace: Workspace) -> None:
    workspace.rejects = lambda body: "poison" in str(body)
    destination = connected(sheet, workspace, SETTINGS)
    names = ["a", "b", "poison", "c", "d"]

    deliveries = [delivery_with({"name": name}, number) for number, name in enumerate(names)]
    outcomes = await asyncio.gather(*[attempted(destination, each) for each in deliveries])

    assert [type(outcome) for outcome in outcomes] == [Delivered, Delivered, Failed, Delivered, Delivered]
    assert [row[0] for row in workspace.sheets["Signups"][1:]] == ["a", "b", "c", "d"]


async def test_a_row_in_flight_at_its_deadline_is_unknown_and_one_that_waits_was_not_sent(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "MAX_ROWS", 1)
    destination = connected(sheet, workspace, SETTINGS)
    reached, answer = asyncio.Event(), asyncio.Event()
    fetch = workspace.fetch

    async def slow(request: Outgoing) -> Fetched:
        if ":append" in request.url:
            reached.set()
            await answer.wait()
        return await fetch(request)

    monkeypatch.setattr(workspace, "fetch", slow)
    first = asyncio.create_task(attempted(destination, ADA, timeout_seconds=0.2))
    await reached.wait()
    waiting = await attempted(destination, delivery_with(ADA, 2), timeout_seconds=0.01)

    assert isinstance(waiting, RetryLater)
    assert isinstance(await first, Unknown)
    answer.set()


def cell_of(value: Json) -> Json:
    return value_at(json_of(request_of(sheet, SETTINGS, {"name": value})), "values", 0, 0)


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1+2", "@SUM(A1)", "'x", "2026-03-01", "007"])
def test_a_text_stays_the_text_that_it_is(text: str) -> None:
    assert cell_of(text) == text


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, True),
        (1.5, 1.5),
        (1_234_567_890_123_456, "1234567890123456"),
        ({"a": [None, "ü"]}, '{"a":[null,"ü"]}'),
    ],
)
def test_a_value_becomes_a_cell_without_a_loss(value: Json, cell: Json) -> None:
    assert cell_of(value) == cell


@pytest.mark.parametrize("text", [*HOSTILE, ["x" * 60_000], "x" * 49_999 + "👩"])
async def test_no_event_makes_a_cell_that_is_too_large(text: Json) -> None:
    workspace = Workspace()
    outcome = await attempted(connected(sheet, workspace, SETTINGS), {"name": text})

    assert isinstance(outcome, Delivered)
    cell = workspace.sheets["Signups"][1][0]
    assert isinstance(cell, str)
    assert len(cell.encode("utf-16-le")) // 2 <= 50_000


def test_a_spreadsheet_is_named_by_its_id_or_url() -> None:
    url = "https://docs.google.com/spreadsheets/u/1/d/1ExampleOfASpreadsheet/edit?gid=0#gid=0"
    settings = sheet.Settings.model_validate({**SETTINGS, "spreadsheet": url})

    assert settings.spreadsheet == SETTINGS["spreadsheet"]
