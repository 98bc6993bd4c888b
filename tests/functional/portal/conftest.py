"""One browser for each module, and a portal for each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.fakes.portal import PREFIX, FakePortal, serving
from tests.functional.portal.portal import Portal
from tests.running.chromium import Page, chromium_or_skip, chromium_page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    async with chromium_page(chromium_or_skip(), tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def portal(browser: Page) -> AsyncIterator[Portal]:
    api = FakePortal()
    async with serving(api.app()) as address:
        await browser.look(1200, 900)
        await browser.open("about:blank")
        browser.faults.clear()
        made = Portal(browser, api, f"{address}{PREFIX}/portal")
        yield made
        # The browser logs each answer that is an error: those that a test provokes are its own.
        faults = [fault for fault in browser.faults if not any(each in fault for each in made.expected_faults)]
        await browser.open("about:blank")
    assert faults == []
