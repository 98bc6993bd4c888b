"""What somebody who has never seen the page has to understand at a glance, at three widths."""

from dataclasses import replace
from pathlib import Path

from aiohttp.test_utils import TestServer

from deploy.dev.inspector.app import make_app, open_backend
from deploy.history.local_requests import request_from, write_requests
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.jsontext import JsonObject
from shared.ledger import Claimed, Settlement
from shared.settings import read_settings
from tests.chromium import Page, chromium_or_skip, chromium_page
from tests.fakes.bus import FakeBus
from tests.fakes.deliveries import message_of
from tests.functional.test_inspector_digests import NOTIFY, NOW, TELL, delivery
from tests.unit.dev.inspected import TOKEN

REJECTED: JsonObject = {
    **{"function": "receive", "time": "2026-09-21T14:13:20Z", "method": "POST", "status": 401, "source": "shop"},
    **{"code": "signature_mismatch", "detail": "the signature does not match", "bytes": 2048},
    "headers": "content-type, x-shop-signature",
}
RECEIVE = '{"sources": {"shop": {"auth": "none"}, "nobody-calls-it": {"auth": "none"}}}'
CONTRAST = """(() => {
  const lightness = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((each) => each / 255)
    .map((each) => each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
    .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => { const own = getComputedStyle(element).backgroundColor;
    return own.endsWith(", 0)") ? behind(element.parentElement) : own; };
  return Math.min(...[...document.querySelectorAll("small")].map((element) => {
    let opacity = 1;
    for (let each = element; each; each = each.parentElement) opacity *= getComputedStyle(each).opacity;
    const both = [lightness(getComputedStyle(element).color), lightness(behind(element))];
    return opacity * (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05); }));
})()"""


async def test_the_page_says_what_it_knows_and_fits_a_telephone(tmp_path: Path) -> None:
    chromium = chromium_or_skip()
    (tmp_path / "slices").mkdir()
    (tmp_path / "slices" / "notify.json").write_text(NOTIFY, encoding="utf-8")
    (tmp_path / "slices" / "receive.json").write_text(RECEIVE, encoding="utf-8")
    async with open_backend(tmp_path, "127.0.0.1:9", read_settings({"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"})) as opened:
        parts = replace(opened, bus=FakeBus())
        waiting, held = delivery(0), delivery(1)
        for each in (waiting, held):
            await parts.journal.record([EventEntry(each.event, (TELL, RouteDecision("b", False, "no")), NOW)])
        await parts.ledger.gather(
            waiting, message_of(waiting, NOW), "g1", "it waits for the next digest", NOW, NOW + 60
        )
        note = AttemptEntry(waiting.id, waiting.event.id, "tell", "pusher", 0, NOW, NOW, "retry_scheduled", "", "")
        claim = await parts.ledger.claim(held, message_of(held, NOW), NOW, 60)
        assert isinstance(claim, Claimed)
        assert await parts.ledger.settle(claim, Settlement("held", NOW, "verify the address"))
        await parts.journal.record([note])
        found = [request_from({**REJECTED, "source": name}) for name in ("shop", "till")]
        journal = open_journal(tmp_path / FILE_NAME)
        with transaction(journal):
            write_requests(journal, [each for each in found if each])
        journal.close()
        async with TestServer(make_app(parts, TOKEN)) as server, chromium_page(chromium, tmp_path / "profile") as page:
            url = f"http://127.0.0.1:{server.port}/"
            await page.open(f"{url}?token={TOKEN}")
            for width, height in ((1280, 900), (1000, 800), (390, 844)):
                await page.look(width, height)
                await look_around(page, url)
                assert await page.run("document.documentElement.scrollWidth") == width
            assert page.faults == []


async def look_around(page: Page, url: str) -> None:
    await page.open(f"{url}#/events")
    await page.until_shown("Waiting", ".rows")
    await page.until_shown("The first one since", "#banners")
    rights = "[...document.querySelectorAll('#tabs a:not([hidden])')].map((tab) => tab.getBoundingClientRect().right)"
    tools = "document.querySelector('.tools').getBoundingClientRect()"
    assert await page.run(f"Math.max(...{rights}) <= (innerWidth > 900 ? {tools}.left : innerWidth)")
    assert float(str(await page.run(CONTRAST))) >= 4.5
    heights = (
        "[...document.querySelectorAll('.card-head')].map((each) => Math.round(each.getBoundingClientRect().height))"
    )
    assert await page.run(f"new Set({heights}).size") == 1
    await page.open(f"{url}#/rejected")
    await page.until_shown("2.0 KB · headers: content-type, x-shop-signature")
    await page.run("document.querySelector('main input[type=search]').focus()")
    await page.type("till")
    await page.until_shown("1 request of the newest 2")
    assert await page.run("document.querySelectorAll('.rejection').length") == 1
    await page.run("document.activeElement.blur()")
    await page.press("6")
    await page.until("location.hash === '#/destinations'")
    await page.press("7")
    await page.until("location.hash === '#/sources'")
    await page.until_shown("its last request was rejected", ".destination .why")
    await page.until_shown("hookchain sources shop", ".destination .command")
    await page.until_shown("it has no event yet", ".destination:last-child")
    assert await page.run("document.documentElement.scrollWidth") == await page.run("innerWidth")
    await page.press("?")
    await page.until_shown("Documentation", "dialog")
    assert await page.run("fetch('/docs/deploy/codes.md').then((answer) => answer.text())") == Path(
        "deploy/codes.md"
    ).read_text(encoding="utf-8")
    await page.press("Escape")
