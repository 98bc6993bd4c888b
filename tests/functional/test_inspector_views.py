"""The views of the page, in a browser over a state folder: digests, waiting routes, endpoints, sheets, a glance."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.dev.caught import Sheet
from deploy.dev.inspector.api import LocalBackend
from deploy.dev.inspector.app import make_app, open_local_backend
from deploy.history.local_requests import RequestEntry, request_from, write_requests
from shared.cloud.local.database import transaction
from shared.cloud.local.journal import FILE_NAME, open_journal
from shared.delivery import ROUTE_ITSELF, Delivery
from shared.event import Event
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.jsontext import Json, JsonObject, to_json
from shared.ledger import Settlement
from shared.outcomes import DeliveryState
from shared.store_ports import Documents
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from shared.subscribers.names import EndpointName
from shared.times import rfc3339
from tests.fakes.bus import FakeBus
from tests.fakes.deliveries import message_of, settled
from tests.running.chromium import Page, chromium_or_skip, chromium_page
from tests.unit.dev.inspected import TOKEN

pytestmark = pytest.mark.slow


@asynccontextmanager
async def inspected(folder: Path, **slices: str) -> AsyncIterator[tuple[LocalBackend, Page, str]]:
    """Yield the parts of the page's server, a browser and the page's URL. The slices are JSON."""
    chromium = chromium_or_skip()
    (folder / "slices").mkdir()
    for name, content in slices.items():
        (folder / "slices" / f"{name}.json").write_text(content, encoding="utf-8")
    async with open_local_backend(folder, {"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"}) as opened:
        parts = replace(opened, bus=FakeBus())
        async with TestServer(make_app(parts, TOKEN)) as server, chromium_page(chromium, folder / "profile") as page:
            yield parts, page, f"http://127.0.0.1:{server.port}/"
            assert page.faults == []


async def look_in_windows(
    page: Page, url: str, look_at: Callable[[Page, str], Awaitable[None]], *sizes: tuple[int, int]
) -> None:
    """Look at the view in windows of these sizes. It must not be wider than the window."""
    await page.open(f"{url}?token={TOKEN}")
    for width, height in sizes:
        await page.look(width, height)
        await look_at(page, url)
        assert await page.run("document.documentElement.scrollWidth") == width


def slices_of(config: str) -> dict[str, str]:
    compiled = compile_config(parse_config(config, "x", Path()))
    return {name: to_json(slice_) for name, slice_ in compiled.items() if name != "receive"}


# Digests

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
    digest = Delivery(replace(delivery(0).event, id=DIGEST_ID), "tell", "pusher", merged=2)
    async with inspected(tmp_path, notify=NOTIFY) as (parts, page, url):
        for number in range(3):
            each = delivery(number)
            await parts.journal.record([EventEntry(each.event, (TELL,), NOW)])
            await parts.ledger.gather(each, message_of(each, NOW), "g1", "it waits for the next digest", NOW, NOW + 60)
        moves = [(row.key, row.fence) for row in await parts.ledger.due(NOW + 60, 2)]
        await parts.ledger.merge_all(moves, NOW + 61, DIGEST_ID)
        attempt = AttemptEntry(digest.id, DIGEST_ID, "tell", "pusher", 1, NOW + 62, NOW + 63, "delivered", "", "202")
        await settled(parts.ledger, digest, Settlement("delivered", NOW + 63, attempt=attempt))
        await page.open(f"{url}?token={TOKEN}")
        await look_at_digests(page, url)


async def look_at_digests(page: Page, url: str) -> None:
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


# A route that waits

WAITING_EVENT = Event("e1", "/sources/shop", "order.paid", "2026-09-21T14:13:20Z", "0" * 64, {"n": 1})
REASON = "route 'look <b>up</b>': step 1 'fetch': api.example answered 503"
WAITING = RouteDecision("look <b>up</b>", True, "it takes every event; waiting: 503", ("crm",), is_waiting=True)


async def test_a_person_sees_why_a_route_waits_its_tries_and_the_time_of_the_next(tmp_path: Path) -> None:
    async with inspected(tmp_path) as (parts, page, url):
        route = Delivery(WAITING_EVENT, WAITING.route, ROUTE_ITSELF)
        tried = AttemptEntry(route.id, "e1", route.route, ROUTE_ITSELF, 4, NOW, NOW + 1, "retry_scheduled", REASON)
        await settled(parts.ledger, route, Settlement("retry_scheduled", NOW, REASON, tried, NOW + 300))
        await parts.journal.record([EventEntry(WAITING_EVENT, (WAITING,), NOW), tried])
        await page.open(f"{url}?token={TOKEN}")
        await look_at_waiting_route(page, url)


async def look_at_waiting_route(page: Page, url: str) -> None:
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
    for text in ("the route itself", "Waiting"):
        await page.until_shown(text, ".rows.deliveries")
    await page.look(360, 800)
    assert await page.run("document.documentElement.scrollWidth") == 360


# The time line of an event

SPAN_ROWS: tuple[tuple[str, str, str, str, float, float, str], ...] = (
    ("POST /shop", "receive", "a", "", 0, 4.2, ""),
    ("publish events", "receive", "b", "a", 1.9, 2.3, ""),
    ("process events", "transform", "c", "b", 9.5, 12.1, ""),
    ("tell: step 1 'drop'", "transform", "d", "c", 10.1, 0.08, ""),
    ("tell: step 2 'fetch' <b>", "transform", "e", "c", 10.2, 7.4, ""),
    ("tell: step 3 'add'", "transform", "f", "c", 17.7, 0.15, "step_failed"),
)
SPANS: tuple[JsonObject, ...] = tuple(
    {"name": name, "service": service, "id": own, "parent": parent, "at": NOW + after / 1000, "ms": ms, "code": code}
    for name, service, own, parent, after, ms, code in SPAN_ROWS
)


async def test_a_person_sees_where_the_time_of_an_event_went(tmp_path: Path) -> None:
    async with inspected(tmp_path) as (parts, page, url):
        tell = RouteDecision("tell", True, "its type matches", ("crm", "audit"))
        await parts.journal.record([EventEntry(WAITING_EVENT, (tell,), NOW + 0.0216, spans=SPANS)])
        tries = ((0.03, 0.12, "retry_scheduled"), (5.2, 0.2, "retry_scheduled"), (305.4, 0.09, "delivered"))
        crm, audit = Delivery(WAITING_EVENT, "tell", "crm"), Delivery(WAITING_EVENT, "tell", "audit")
        attempts = [
            AttemptEntry(crm.id, "e1", "tell", "crm", number, NOW + after, NOW + after + took, outcome, "503", "")
            for number, (after, took, outcome) in enumerate(tries, 1)
        ]
        attempts.append(AttemptEntry(audit.id, "e1", "tell", "audit", 1, NOW + 0.032, NOW + 0.05, "delivered"))
        await parts.journal.record(attempts)
        await look_in_windows(page, url, look_at_time_line, (1280, 900), (390, 844))


async def look_at_time_line(page: Page, url: str) -> None:
    await page.open(f"{url}#/events/e1")
    await page.until_count(10, ".waterfall .bar-row")
    await page.until_count(2, ".waterfall .bar-row:first-child .pause")
    assert "step 2 'fetch' <b>" in await page.text(".waterfall")
    await page.run("document.querySelector('.waterfall details').open = true")
    [*_, last] = (await page.text(".waterfall tbody")).splitlines()
    assert last.split("\t") == ["deliver crm: attempt 3", "notify", "5 min", "90 ms", "–"]
    widths = "[...document.querySelectorAll('.track rect')].map((each) => each.getBoundingClientRect().width)"
    assert float(str(await page.run(f"Math.min(...{widths})"))) > 1


# The map

MANY_ROUTES = """\
sources: {app: {auth: none}}
routes: [ROUTES]
destinations: {crm: {webhook: {url: "https://crm.example.com/in"}}}
""".replace("ROUTES", ", ".join(f"{{name: r{number}, from: app, to: crm}}" for number in range(24)))


async def test_a_person_opens_a_group_of_the_map_by_keyboard_while_events_arrive(tmp_path: Path) -> None:
    async with inspected(tmp_path, **slices_of(MANY_ROUTES)) as (parts, page, url):
        await page.look(1280, 800)
        await page.open(f"{url}?token={TOKEN}#/map")
        await page.until("document.querySelector('.map a.group')")
        await parts.journal.record([EventEntry(PAID, (TOLD,), NOW)])
        await page.until("document.querySelector('[data-name=events] .count').textContent === '1'")
        assert await page.run("document.querySelector('[data-name=subscribers]').hidden") is True
        await page.run("document.querySelector('.map a.group').focus()")
        await page.press("Enter")
        await page.until("document.activeElement.matches('.map a.route')")
        await page.click("summary", "The same as a table")
        await page.until_shown("nothing delivered yet", ".routes-table")


# Subscribers

PAID = Event(f"{1:032x}", "/sources/app", "order.paid", "2026-09-21T14:13:20Z", "0" * 64, {"accountId": "acme"})
TOLD = RouteDecision("tell customers", True, "its type matches", ("customers",))
SUBSCRIBERS = """\
sources: {app: {auth: none}}
routes: [{name: tell customers, to: customers}]
destinations: {customers: {subscribers: {tenant: data.accountId}}}
subscribers: {}
"""
ENDPOINTS = [f"ep_{number:020d}" for number in range(7)]


async def keep_subscribers(documents: Documents) -> None:
    await documents.write(TENANTS, "acme", Tenant(id="acme", name="<b>Acme</b>", created_at=NOW).text())
    endpoint = Endpoint(id=ENDPOINTS[0], tenant="acme", url="https://acme.example/in", created_at=NOW)
    disabled = endpoint.model_copy(
        update={"id": ENDPOINTS[1], "disabled_by": "failures", "disabled_reason": "it answered 500 for 5 days"}
    )
    for each in (endpoint, disabled):
        await documents.write(endpoints_of("acme"), each.id, each.text())


async def test_a_person_sees_who_got_an_event_and_why_an_endpoint_gets_none(tmp_path: Path) -> None:
    async with inspected(tmp_path, **slices_of(SUBSCRIBERS)) as (parts, page, url):
        await keep_subscribers(parts.documents)
        await parts.journal.record([EventEntry(PAID, (TOLD,), NOW)])
        names = ["customers", *(str(EndpointName("customers", "acme", each)) for each in ENDPOINTS)]
        for number, name in enumerate(names):
            delivery = Delivery(PAID, "tell customers", name)
            attempt = AttemptEntry(
                delivery.id, PAID.id, "tell customers", name, 1, NOW, NOW + 1, "delivered", "", "204"
            )
            state: DeliveryState = "dead_lettered" if name == names[-1] else "delivered"
            await settled(parts.ledger, delivery, Settlement(state, NOW + number, attempt=attempt))
        await page.open(f"{url}?token={TOKEN}")
        await look_at_endpoints(page, url)


async def look_at_endpoints(page: Page, url: str) -> None:
    await page.look(1200, 900)
    await page.open(f"{url}#/events/{PAID.id}")
    await page.until_shown("customers: 7 endpoints, 6 delivered, 1 failed")
    assert f"acme · {ENDPOINTS[0][:11]}…" not in await page.text(".path"), "more than a few are folded"
    await page.click(".endpoints summary")
    await page.until_shown(f"acme · {ENDPOINTS[0][:11]}…", ".path")
    await page.click("summary", "Step by step")
    await page.until_shown("Tenant 'acme': 1 of 2 endpoints would get it.", ".steps")
    await page.until_shown("no, it is disabled by failures: it answered 500 for 5 days", ".steps")
    await page.open(f"{url}#/deliveries")
    await page.until_shown(f"acme · {ENDPOINTS[6][:11]}…", ".rows.deliveries")
    await page.click("nav a", "Subscribers")
    for text in ("2 endpoints", "<b>Acme</b>", "https://acme.example/in", "it answered 500 for 5 days"):
        await page.until_shown(text, ".cards")
    await page.look(360, 800)
    assert await page.run("document.documentElement.scrollWidth") == 360


# Caught rows of Google Sheets

SHEETS = """\
sources: {site: {auth: none}}
routes: [{name: signups, to: rows}]
destinations: {rows: {sheet: {spreadsheet: 1ExampleOfASpreadsheet, sheet: Signups, columns: {Name: data.name}}}}
"""
HOSTILE = "<img src=x onerror='window.attacked=1'>"


async def test_a_person_sees_caught_rows_come_and_empties_the_sheet(tmp_path: Path) -> None:
    async with inspected(tmp_path, **slices_of(SHEETS)) as (parts, page, url):
        store, sheet = parts.caught.sheets, Sheet("1ExampleOfASpreadsheet", "Signups")
        await page.look(360, 800)
        await page.open(f"{url}?token={TOKEN}#/sheets")
        await page.until_shown("No row yet", ".sheet")
        store.write_first(sheet, ["Name", "Delivery"], 1.0)
        store.append(sheet, [[HOSTILE, "d1"]], 1.0)
        await page.until_shown("onerror", ".sheet tbody")
        await look_at_sheet(page)
        assert store.row_count(sheet) == 0


async def look_at_sheet(page: Page) -> None:
    assert (await page.text(".sheet thead")).strip() == "1\tName\tDelivery"
    assert await page.run("window.attacked === undefined && document.documentElement.scrollWidth === 360") is True
    await page.click(".sheet button", "Empty this sheet")
    await page.until_shown("No row yet", ".sheet")


# What somebody who has never seen the page has to understand at a glance

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
    async with inspected(tmp_path, notify=NOTIFY, receive=RECEIVE) as (parts, page, url):
        waiting, held = delivery(0), delivery(1)
        for each in (waiting, held):
            await parts.journal.record([EventEntry(each.event, (TELL, RouteDecision("b", False, "no")), NOW)])
        await parts.ledger.gather(
            waiting, message_of(waiting, NOW), "g1", "it waits for the next digest", NOW, NOW + 60
        )
        note = AttemptEntry(waiting.id, waiting.event.id, "tell", "pusher", 0, NOW, NOW, "retry_scheduled", "", "")
        await settled(parts.ledger, held, Settlement("held", NOW, "verify the address"))
        await parts.journal.record([note])
        found = [request_from({**REJECTED, "source": name}) for name in ("shop", "till")]
        journal = open_journal(tmp_path / FILE_NAME)
        with transaction(journal):
            write_requests(journal, [each for each in found if each])
        journal.close()
        await look_in_windows(page, url, look_around, (1280, 900), (1000, 800), (390, 844))


async def look_around(page: Page, url: str) -> None:
    await page.open(f"{url}#/events")
    await page.until_shown("Waiting", ".rows")
    await page.until_shown("The first one since", "#banners")
    banners = "document.getElementById('banners')"
    await page.run(f"for (let n = 0; n < 50; n++) {banners}.append({banners}.lastChild.cloneNode(true))")
    assert await page.run(f"{banners}.clientHeight < innerHeight / 2 && {banners}.scrollHeight > innerHeight")
    await page.until_shown("5 min", ".plots")
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
    await page.until_count(1, ".rejection")
    await page.run("document.activeElement.blur()")
    await page.press("6")
    await page.until("location.hash === '#/destinations'")
    await page.press("7")
    await page.until("location.hash === '#/sources'")
    await page.until_shown("a request was rejected", ".destination .why")
    await page.until_shown("hookchain sources shop", ".destination .command")
    await page.until_shown("it has no event yet", ".destination:last-child")
    assert await page.run("document.documentElement.scrollWidth") == await page.run("innerWidth")
    await page.press("?")
    await page.until_shown("Documentation", "dialog")
    documentation = "functions/notify/docs/own-kind.md"
    shown = await page.run(f"fetch('/docs/{documentation}').then((answer) => answer.text())")
    assert shown == Path(documentation).read_text(encoding="utf-8")
    await page.press("Escape")


# The map

MAPPED = """
sources: {shop: {auth: none}, till: {auth: none}}
routes:
  - {name: "<img src=x onerror='window.attacked=1'>", from: shop, to: [crm, mail], steps: [{drop: [data.card]}]}
  - {name: the rest, else: true, to: mail}
destinations:
  crm: {webhook: {url: "https://crm.example.com/in"}}
  mail: {email: {to: [ann@example.com], subject: New}}
"""


async def test_a_person_finds_the_broken_destination_on_the_map_and_its_deliveries(tmp_path: Path) -> None:
    compiled = compile_config(parse_config(MAPPED, "x", Path()))
    slices = {name: to_json(slice_) for name, slice_ in compiled.items()}
    async with inspected(tmp_path, **slices) as (parts, page, url):
        for number, name in enumerate(("crm", "mail")):
            delivery = Delivery(replace(PAID, id=f"{number:032x}"), "the rest", name)
            attempt = AttemptEntry(delivery.id, delivery.event.id, "the rest", name, 1, NOW, NOW, "delivered", "", "")
            await settled(parts.ledger, delivery, Settlement("delivered", NOW, attempt=attempt))
        await parts.ledger.disable("crm", "it returned <b>410</b>", NOW)
        await look_in_windows(page, url, look_at_map, (1280, 900), (390, 844))


async def look_at_map(page: Page, url: str) -> None:
    await page.open(f"{url}#/map")
    await page.until_shown("One part needs attention", ".troubles")
    await page.until_shown("it returned <b>410</b>", ".troubles")
    await page.until("document.querySelector('.map a.destination.bad')?.getAttribute('aria-label').includes('crm')")
    assert await page.run("window.attacked === undefined && !document.querySelector('.map img')")
    frame = "document.querySelector('.map-frame')"
    assert await page.run(f"{frame}.scrollWidth <= {frame}.clientWidth")
    await page.click("summary", "The same as a table")
    await page.until_shown("disabled", ".routes-table")
    assert await page.run("document.querySelectorAll('.routes-table tbody tr').length") == 3
    chip = "document.querySelector('.routes-table .chip')"
    assert await page.run(f"{chip}.getBoundingClientRect().right <= innerWidth"), "its state needs no scrolling"

    # By keyboard: through the boxes, into the search, and out of it.
    await page.run("document.activeElement.blur()")
    await page.press("j", "j")
    assert await page.run("document.activeElement.getAttribute('href')") == "#/events"
    await page.press("/")
    await page.type("CRM")
    await page.until("location.hash === '#/map?find=CRM'")
    await page.until_count(1, ".map a.route")
    await page.press("Escape", "Escape")
    await page.until("location.hash === '#/map'")
    await page.until_count(2, ".map a.route")

    await page.run("document.querySelector('.map a.destination.bad').focus()")
    await page.press("Enter")
    await page.until_shown("Only deliveries of the destination crm")
    await page.until_count(1, ".rows.deliveries li")
    await page.click("button", "Show all")
    await page.until_count(2, ".rows.deliveries li")


SLOW_HELD = """
const quick = window.fetch;
window.fetch = async (url, ...rest) => {
  if (String(url).includes("state=held")) await new Promise((done) => setTimeout(done, 300));
  return quick(url, ...rest);
};
true
"""


async def test_the_last_state_that_a_person_chooses_is_shown_although_an_earlier_answer_is_late(tmp_path: Path) -> None:
    async with inspected(tmp_path) as (parts, page, url):
        delivery = Delivery(PAID, "the rest", "crm")
        attempt = AttemptEntry(delivery.id, delivery.event.id, "the rest", "crm", 1, NOW, NOW, "delivered", "", "")
        await settled(parts.ledger, delivery, Settlement("delivered", NOW, attempt=attempt))
        await page.open(f"{url}?token={TOKEN}")
        await page.open(f"{url}#/deliveries")
        await page.until("document.querySelectorAll('.rows.deliveries li').length === 1")
        await page.run(SLOW_HELD)
        await page.click("button", "Held")
        await page.click("button", "Delivered")
        await asyncio.sleep(0.6)
        await page.until_shown("crm", ".rows.deliveries")


# The plots of longer spans


async def test_a_person_chooses_the_span_and_the_source_or_destination_of_the_plots(tmp_path: Path) -> None:
    async with inspected(tmp_path) as (parts, page, url):
        now = time.time()
        journal = open_journal(tmp_path / FILE_NAME)
        with transaction(journal):
            write_requests(journal, [RequestEntry(now - 7_200, "POST", 200, HOSTILE)] * 3)
        journal.close()
        event = replace(PAID, receivedat=rfc3339(now - 9))
        tried = AttemptEntry("d1", event.id, "tell", "crm", 1, now - 8, now - 8, "delivered", "", "204")
        await parts.journal.record([EventEntry(event, (TOLD,), now), tried])
        await look_in_windows(page, url, look_at_plots, (1280, 900), (390, 844))


async def look_at_plots(page: Page, url: str) -> None:
    await page.open(f"{url}#/mail")
    await page.until("!document.querySelector('.plots')")  # so that the next view begins without a choice
    await page.open(f"{url}#/events")
    await page.until_shown("5 min", ".plots")
    await choose(page, "Span of the plots", "Last hour")
    await page.until_shown("1 hour", ".plots")
    assert await page.text(".plots .card:first-child .figure") == "0"
    await choose(page, "Span of the plots", "Last 30 days")
    await page.until("document.querySelector('.plots .card:first-child .figure')?.innerText === '3'")
    await page.until_shown("1.0 s", ".plots .card:last-child")
    await choose(page, "Source or destination of the plots", f"Source {HOSTILE}")
    await page.until("document.querySelector('.plots .card:nth-child(3) .figure')?.innerText === '0'")
    await choose(page, "Source or destination of the plots", "Destination crm")
    await page.until_count(2, ".plots .card")
    assert await page.text(".plots .card:first-child .figure") == "1"
    assert await page.run("window.attacked === undefined")
    await choose(page, "Span of the plots", "Last 5 minutes")
    await page.until_shown("5 min", ".plots")


async def choose(page: Page, label: str, text: str) -> None:
    """Choose the option with that text once it is there."""
    options = f"[...document.querySelectorAll('select[aria-label={json.dumps(label)}] option')]"
    option = f"{options}.find((each) => each.innerText === {json.dumps(text)})"
    await page.until(option)
    await page.run(
        f"{{ const found = {option}; found.selected = true; found.parentElement.dispatchEvent(new Event('change')); }}"
    )
