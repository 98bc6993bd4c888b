"""A row of a sheet is there once, whatever becomes of the answers, the attempts' time and the people's own changes."""

import asyncio

import pytest

from functions.notify.destinations import sheet
from shared.delivery import Delivered, Disabled, Failed, RetryLater, Unknown
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json
from tests.google_documents import error
from tests.google_workspace import Fault, Workspace
from tests.unit.notify.google_kinds import attempted, connected, delivery_with, notifier
from tests.unit.notify.test_sheet import ADA, HEADER, ID, ROW, SETTINGS


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "INTERVAL_SECONDS", 0.0)


@pytest.fixture
def workspace() -> Workspace:
    return Workspace()


@pytest.mark.parametrize("fault", ["lost", "cut"])
async def test_a_row_whose_answer_was_lost_is_there_once(workspace: Workspace, fault: Fault) -> None:
    destination = connected(sheet, workspace, SETTINGS)
    workspace.fail(":append", fault)

    assert isinstance(await attempted(destination, ADA), Unknown)
    assert await attempted(destination, ADA, number=2) == Delivered("the row was there already")
    assert workspace.sheets["Signups"] == [HEADER, ROW]


async def test_each_row_of_a_lost_answer_is_read_back_and_the_others_are_written(workspace: Workspace) -> None:
    destination = connected(sheet, workspace, SETTINGS)
    deliveries = [delivery_with({"name": f"n{number}"}, number) for number in range(6)]
    workspace.fail(":append", "lost")
    await asyncio.gather(*[attempted(destination, each) for each in deliveries[:4]])

    outcomes = await asyncio.gather(*[attempted(destination, each, number=2) for each in deliveries])

    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert sorted(str(row[0]) for row in workspace.sheets["Signups"][1:]) == [f"n{number}" for number in range(6)]


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


async def test_no_row_is_sent_after_the_time_of_its_attempt(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.rejects = lambda body: "Ada" in str(body)
    destination = connected(sheet, workspace, SETTINGS)
    fetch = workspace.fetch

    async def slow(request: Outgoing) -> Fetched:
        await asyncio.sleep(0.05)
        return await fetch(request)

    monkeypatch.setattr(workspace, "fetch", slow)
    deliveries = [delivery_with({"name": "Ada"}, number) for number in range(64)]
    await asyncio.gather(*[attempted(destination, each, timeout_seconds=0.3) for each in deliveries])
    last = await attempted(destination, delivery_with({"name": "Bob"}, 64))  # its turn comes after those
    assert isinstance(last, Delivered)
    assert sum(":append" in asked for asked in workspace.asked) < 64


async def test_a_replay_of_a_row_that_may_be_there_adds_none_and_that_of_a_delivered_one_adds_another(
    workspace: Workspace,
) -> None:
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


async def test_the_ids_of_a_long_sheet_are_read_in_pages_from_its_end(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet, "PAGE_ROWS", 400)
    other: list[list[Json]] = [["x", "", "", f"other-{number}"] for number in range(1_500)]
    workspace.sheets["Signups"] = [HEADER, ROW, *other]

    outcome = await attempted(connected(sheet, workspace, SETTINGS), ADA, number=2)

    assert outcome == Delivered("the row was there already")
    pages = [asked.partition("!")[2].partition("?")[0] for asked in workspace.asked if "COLUMNS" in asked]
    assert pages == ["D1103:D1502", "D703:D1102", "D303:D702", "D1:D302"]


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
