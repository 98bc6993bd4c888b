"""The emulated Google Sheets: the destination's own calls, each held to Google's description of the API."""

import json
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from deploy.dev.caught import Sheet, SheetStore
from deploy.dev.sheets import EmulatedSheets
from functions.notify.destination import Destination
from functions.notify.destinations import sheet
from shared.delivery import Delivered, Disabled
from shared.fetch import Fetched, Outgoing
from shared.jsontext import Json, JsonObject, to_json
from shared.settings import read_settings
from tests.fakes.configurations import compile_text
from tests.fakes.destinations import a_context
from tests.google_workspace import description
from tests.unit.notify.google_kinds import attempted, delivery_with

SETTINGS: JsonObject = {
    "spreadsheet": "1ExampleOfASpreadsheet",
    "sheet": "Ada's / signups",
    "columns": {"Name": "data.name", "Number": "data.number"},
}
SHEET = Sheet("1ExampleOfASpreadsheet", "Ada's / signups")
URL_OF_APIS = "http://127.0.0.1:8085"
ADA: Json = {"name": "=1+1", "number": 7}
ID = delivery_with(ADA).id


class Emulation:
    def __init__(self, client: "TestClient[web.Request, web.Application]", store: SheetStore) -> None:
        self._client = client
        self.store = store
        self.is_answer_lost = False

    async def fetch(self, request: Outgoing) -> Fetched:
        assert request.allow_private
        assert not any(name == "authorization" for name, _ in request.headers)
        path = request.url.removeprefix(URL_OF_APIS)
        url = URL(path, encoded=True)
        body: Json = json.loads(request.body) if request.body else None
        api = description("sheets", "v4")
        method = api.method(request.method, path.partition("?")[0], dict(url.query), body)
        async with self._client.request(request.method, url, data=request.body, headers=request.headers) as answer:
            content = await answer.read()
        if answer.status == 200:
            api.check_answer(method, json.loads(content))
        return Fetched(500 if self.is_answer_lost and request.method == "POST" else answer.status, (), content)

    def connected(self, **changes: Json) -> Destination:
        context = replace(a_context(), fetch=lambda: self, settings=read_settings({"SHEETS_API_URL": URL_OF_APIS}))
        return sheet.connect("rows", sheet.Settings.model_validate({**SETTINGS, **changes}), context)

    @property
    def rows(self) -> list[list[Json]]:
        return self.store.rows(SHEET, 1, 100)


@pytest.fixture
async def emulation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Emulation]:
    monkeypatch.setattr(sheet, "INTERVAL_SECONDS", 0.0)
    (tmp_path / "slices").mkdir()
    destination: Json = {"sheet": SETTINGS}
    text = to_json(
        {
            "sources": {"a": {"auth": "none"}},
            "routes": [{"name": "r", "to": "rows"}],
            "destinations": {"rows": destination},
        }
    )
    compiled = compile_text(text)
    (tmp_path / "slices" / "notify.json").write_text(to_json(compiled["notify"]))
    with closing(SheetStore(tmp_path)) as store:
        app = web.Application()
        app.add_subapp("/v4", EmulatedSheets(store, tmp_path).app())
        async with TestClient(TestServer(app)) as client:
            yield Emulation(client, store)


async def test_a_row_is_caught_below_its_header(emulation: Emulation) -> None:
    rows = emulation.connected()

    assert await attempted(rows, ADA) == Delivered("row 2")
    assert await attempted(rows, delivery_with({"name": "Grace"}, number=2)) == Delivered("row 3")
    assert emulation.rows[:2] == [["Name", "Number", "Delivery"], ["=1+1", 7, ID]]


@pytest.mark.parametrize("header", ["make", "none"])
async def test_a_retry_of_a_row_that_is_there_adds_none(emulation: Emulation, header: str) -> None:
    rows = emulation.connected(header=header)
    emulation.is_answer_lost = True
    await attempted(rows, ADA)
    emulation.is_answer_lost = False
    before = emulation.rows

    assert await attempted(rows, ADA, number=2) == Delivered("the row was there already")
    assert emulation.rows == before


async def test_a_column_that_is_added_later_holds_the_deliveries_until_the_sheet_is_emptied(
    emulation: Emulation,
) -> None:
    await attempted(emulation.connected(), ADA)
    later = emulation.connected(columns={"Name": "data.name", "Number": "data.number", "Plan": "data.plan"})

    outcome = await attempted(later, ADA)
    assert isinstance(outcome, Disabled)
    assert "cell C1 must be the column's name 'Plan'" in outcome.reason
    assert outcome.answer == "cell C1 is 'Delivery'"
    emulation.store.empty(SHEET)
    assert await attempted(later, ADA) == Delivered("row 2")
