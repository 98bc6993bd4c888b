"""The page about digests, in a browser, over a state folder: what waits, and the ways between digests and events."""

from dataclasses import replace
from pathlib import Path

from aiohttp.test_utils import TestServer

from deploy.dev.inspector.app import make_app, open_backend
from shared.delivery import Delivery
from shared.event import Event
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.jsontext import Json
from shared.ledger import Claimed, Settlement
from shared.settings import read_settings
from tests.chromium import Page, chromium_or_skip, chromium_page
from tests.fakes.bus import FakeBus
from tests.fakes.deliveries import message_of
from tests.unit.dev.inspected import TOKEN

NOW = 1_790_000_000.0
DIGEST_ID = "d1" * 24
TELL = RouteDecision("tell", True, "its type matches", ("pusher",))
NOTIFY = """{"destinations": {"pusher": {"kind": "email", "settings": {}, "retry_seconds": [], "timeout_seconds": 15,
"on_unknown": "resend", "gather": {"digest": {"every_seconds": 900, "by": "data.key"}}}}}"""


def delivery(number: int) -> Delivery:
    data: Json = {"key": "<b>orchard</b>"}
    return Delivery(
        Event(f"{number:032x}", "/sources/git", "failed", "2026-09-21T14:13:20Z", "0" * 64, data), "tell", "pusher"
    )


async def test_a_person_finds_what_waits_and_goes_from_an_event_to_its_digest_and_back(tmp_path: Path) -> None:
    chromium = chromium_or_skip()
    (tmp_path / "slices").mkdir()
    (tmp_path / "slices" / "notify.json").write_text(NOTIFY, encoding="utf-8")
    digest = Delivery(replace(delivery(0).event, id=DIGEST_ID), "tell", "pusher", merged=2)
    async with open_backend(tmp_path, "127.0.0.1:9", read_settings({"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"})) as opened:
        parts = replace(opened, bus=FakeBus())
        for number in range(3):
            each = delivery(number)
            await parts.journal.record([EventEntry(each.event, (TELL,), NOW)])
            await parts.ledger.gather(each, message_of(each, NOW), "g1", "it waits for the next digest", NOW, NOW + 60)
        moves = [(row.key, row.fence) for row in await parts.ledger.due(NOW + 60, 2)]
        await parts.ledger.merge_all(moves, NOW + 61, DIGEST_ID)
        claim = await parts.ledger.claim(digest, message_of(digest, NOW), NOW + 62, 60)
        assert isinstance(claim, Claimed)
        attempt = AttemptEntry(digest.id, DIGEST_ID, "tell", "pusher", 1, NOW + 62, NOW + 63, "delivered", "", "202")
        assert await parts.ledger.settle(claim, Settlement("delivered", NOW + 63, attempt=attempt))
        async with TestServer(make_app(parts, TOKEN)) as server, chromium_page(chromium, tmp_path / "profile") as page:
            url = f"http://127.0.0.1:{server.port}/"
            await page.open(f"{url}?token={TOKEN}")
            await look_around(page, url)
            assert page.faults == []


async def look_around(page: Page, url: str) -> None:
    await page.look(1200, 900)
    await page.open(f"{url}#/destinations")
    await page.until_shown("Waiting in digests")
    [waiting, last] = [await page.text(f".gathered:nth-of-type({number}) tbody") for number in (1, 2)]
    assert waiting.split("\t")[:2] == ["<b>orchard</b>", "1 event"]
    assert "2 events" in last

    await page.click(".gathered a")
    await page.until_shown("Digest of 2 events")
    assert "Replay" not in await page.text(".event-head")
    assert "delivered" in await page.text(".path")
    await page.click(".members a")
    await page.until_shown("It is in the digest")
    await page.click(".delivery p a")
    await page.until_shown("Digest of 2 events")

    await page.open(f"{url}#/events/{2:032x}")
    await page.until_shown("It waits until")
    await page.look(360, 800)
    await page.open(f"{url}#/destinations")
    await page.until_shown("Waiting in digests")
    assert await page.run("document.documentElement.scrollWidth") == 360
