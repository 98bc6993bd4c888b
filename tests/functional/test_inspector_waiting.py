"""The page about a route that waits, in a browser, over a state folder."""

from dataclasses import replace
from pathlib import Path

from aiohttp.test_utils import TestServer

from deploy.dev.inspector.app import make_app, open_backend
from shared.delivery import ROUTE_ITSELF, Delivery
from shared.event import Event
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.ledger import Claimed, Settlement
from shared.settings import read_settings
from tests.chromium import Page, chromium_or_skip, chromium_page
from tests.fakes.bus import FakeBus
from tests.unit.dev.inspected import TOKEN

NOW = 1_790_000_000.0
EVENT = Event("e1", "/sources/shop", "order.paid", "2026-09-21T14:13:20Z", "0" * 64, {"n": 1})
REASON = "route 'look <b>up</b>': step 1 'fetch': api.example answered 503"
WAITING = RouteDecision("look <b>up</b>", True, "it takes every event; waiting: 503", ("crm",), is_waiting=True)


async def test_a_person_sees_why_a_route_waits_its_tries_and_the_time_of_the_next(tmp_path: Path) -> None:
    chromium = chromium_or_skip()
    async with open_backend(tmp_path, "127.0.0.1:9", read_settings({"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"})) as opened:
        parts = replace(opened, bus=FakeBus())
        route = Delivery(EVENT, WAITING.route, ROUTE_ITSELF)
        claim = await parts.ledger.claim(route, b"{}", NOW, 60)
        assert isinstance(claim, Claimed)
        tried = AttemptEntry(route.id, "e1", route.route, ROUTE_ITSELF, 4, NOW, NOW + 1, "retry_scheduled", REASON)
        assert await parts.ledger.settle(claim, Settlement("retry_scheduled", NOW, REASON, tried, NOW + 300))
        await parts.journal.record([EventEntry(EVENT, (WAITING,), NOW), tried])
        async with TestServer(make_app(parts, TOKEN)) as server, chromium_page(chromium, tmp_path / "profile") as page:
            url = f"http://127.0.0.1:{server.port}/"
            await page.open(f"{url}?token={TOKEN}")
            await look_around(page, url)
            assert page.faults == []


async def look_around(page: Page, url: str) -> None:
    await page.look(1200, 900)
    await page.open(f"{url}#/events/e1")
    await page.until_shown("Try 5 comes at")
    transform = await page.text(".path .stage:nth-of-type(2)")
    assert "look <b>up</b> → crm" in transform
    assert "Waiting" in transform
    assert REASON in transform
    assert "Retry scheduled" in await page.text(".event-head")
    assert "no delivery yet" in await page.text(".path .stage:nth-of-type(3)")

    await page.open(f"{url}#/deliveries")
    await page.until_shown("the route itself")
    assert "Waiting" in await page.text(".rows.deliveries")
    await page.look(360, 800)
    assert await page.run("document.documentElement.scrollWidth") == 360
