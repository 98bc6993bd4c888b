"""The page about caught rows of Google Sheets, in a browser."""

from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.dev.caught import Sheet
from deploy.dev.inspector.app import make_app, open_backend
from shared.jsontext import to_json
from shared.settings import read_settings
from tests.chromium import Page, chromium_or_skip, chromium_page
from tests.fakes.bus import FakeBus
from tests.unit.dev.inspected import TOKEN

pytestmark = pytest.mark.slow

CONFIG = """\
sources: {site: {auth: none}}
routes: [{name: signups, to: rows}]
destinations: {rows: {sheet: {spreadsheet: 1ExampleOfASpreadsheet, sheet: Signups, columns: {Name: data.name}}}}
"""
HOSTILE = "<img src=x onerror='window.attacked=1'>"


async def test_a_person_sees_caught_rows_come_and_empties_the_sheet(tmp_path: Path) -> None:
    chromium = chromium_or_skip()
    (tmp_path / "slices").mkdir()
    compiled = compile_config(parse_config(CONFIG, "x", tmp_path))
    (tmp_path / "slices" / "notify.json").write_text(to_json(compiled["notify"]), encoding="utf-8")
    async with open_backend(tmp_path, "127.0.0.1:9", read_settings({"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"})) as opened:
        parts = replace(opened, bus=FakeBus())
        store, sheet = parts.caught.sheets, Sheet("1ExampleOfASpreadsheet", "Signups")
        async with TestServer(make_app(parts, TOKEN)) as server, chromium_page(chromium, tmp_path / "profile") as page:
            await page.look(360, 800)
            await page.open(f"http://127.0.0.1:{server.port}/?token={TOKEN}#/sheets")
            await page.until_shown("No row yet", ".sheet")
            store.write_first(sheet, ["Name", "Delivery"], 1.0)
            store.append(sheet, [[HOSTILE, "d1"]], 1.0)
            await page.until_shown("onerror", ".sheet tbody")
            await look(page)
            assert page.faults == []
        assert store.row_count(sheet) == 0


async def look(page: Page) -> None:
    assert (await page.text(".sheet thead")).strip() == "1\tName\tDelivery"
    assert await page.run("window.attacked === undefined && document.documentElement.scrollWidth === 360") is True
    await page.click(".sheet button", "Empty this sheet")
    await page.until_shown("No row yet", ".sheet")
