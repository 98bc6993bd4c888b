"""The portal's page, used as a tenant uses it: in a browser, with an API that answers as the real one documents."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import web

from functions.subscribe.models.endpoints import DisabledView
from shared.jsontext import JsonObject
from tests.chromium import Page, chromium_or_skip, chromium_page
from tests.portal.stand_in import LATER, NOW, PREFIX, SECRET, Api, StandIn, endpoint_of, type_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTACK: Final = "<img src=x onerror=window.attacked=1><script>window.attacked=1</script>"
CONTROL: Final = """(label) => [...document.querySelectorAll('input, select, textarea')].find((control) =>
    control.getAttribute('aria-label') === label || [...control.labels ?? []].some((each) => each.innerText.trim() === label))"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    async with chromium_page(chromium_or_skip(), tmp_path_factory.mktemp("profile")) as made:
        yield made


@dataclass
class Portal:
    """The page in a browser, and the API that it calls."""

    page: Page
    api: StandIn
    url: str
    expected_faults: list[str] = field(default_factory=list)

    async def open(self, token: str = "all", place: str = "") -> None:
        await self.page.open("about:blank")
        await self.page.open(f"{self.url}#token={token}")
        await self.page.until("!document.querySelector('#tabs').hidden || document.querySelector('.empty, .banner')")
        if place:
            await self.go(place)

    async def go(self, place: str) -> None:
        await self.page.run(f"location.hash = {json.dumps(place)}")

    async def enter(self, label: str, value: str) -> None:
        find = f"({CONTROL})({json.dumps(label)})"
        await self.page.until(find)
        await self.page.run(
            f"(() => {{ const control = {find}; control.focus(); control.value = {json.dumps(value)};"
            "for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind, {bubbles: true})); })()"
        )

    async def shows(self, text: str, within: str = "main") -> None:
        await self.page.until_shown(text, within)

    async def click(self, text: str, selector: str = "button, a, summary, label") -> None:
        await self.page.click(selector, text)

    async def confirm(self, text: str) -> None:
        await self.page.click("dialog button", text)

    async def has(self, text: str) -> bool:
        return text in await self.page.text("main")

    def sent(self, method: str, path: str) -> list[JsonObject]:
        """The bodies of the requests of a method whose path ends so."""
        return [
            json.loads(body or b"{}") for verb, each, body in self.api.calls if verb == method and each.endswith(path)
        ]


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest_asyncio.fixture(loop_scope="module")
async def portal(browser: Page) -> AsyncIterator[Portal]:
    api = StandIn()
    api.types = [type_of("order.paid", "Orders"), type_of("order.shipped", "Orders"), type_of("user.created")]
    async with serving(Api(api).app()) as address:
        await browser.look(1200, 900)
        await browser.open("about:blank")
        browser.faults.clear()
        made = Portal(browser, api, f"{address}{PREFIX}/portal")
        yield made
        # The browser logs each answer that is an error: those that a test provokes are its own.
        faults = [fault for fault in browser.faults if not any(each in fault for each in made.expected_faults)]
        await browser.open("about:blank")
    assert faults == []


async def test_a_tenant_adds_an_endpoint_and_sees_its_secret_once(portal: Portal) -> None:
    await portal.open("usual")
    await portal.shows("No endpoints yet")
    await portal.click("Add an endpoint")
    await portal.enter("URL", "https://example.com/hooks")
    await portal.enter("Description", "for the warehouse")
    await portal.click("Only these")
    await portal.click("order.paid")
    await portal.enter("Pattern", "user.*")
    await portal.click("Add pattern")
    await portal.click("Filter, headers, extra fields and rate")
    await portal.enter("Filter", "data.amount > `100`")
    await portal.click("Add a header")
    await portal.enter("Header", "X-Key")
    await portal.click("Add a field")
    await portal.enter("Field", "region")
    await portal.enter("Kind of value", "json")
    await portal.page.run(f"{PAIR_VALUE}('/fields').value = '7'")
    await portal.page.run(f"{PAIR_VALUE}('/headers').value = 'k'")
    await portal.enter("At most so many requests", "10")
    await portal.click("Add endpoint")
    await portal.shows("Copy the secret now.")
    await portal.shows(SECRET)
    assert portal.sent("POST", "/tenants/acme/endpoints") == [
        {
            "url": "https://example.com/hooks",
            "description": "for the warehouse",
            "types": ["order.paid", "user.*"],
            "filter": "data.amount > `100`",
            "headers": {"X-Key": "k"},
            "fields": {"region": 7},
            "rate": "10/s",
            "auth": {"kind": "standard"},
            "enabled": True,
        }
    ]
    await portal.click("How to verify requests")
    await portal.shows("from standardwebhooks import Webhook")
    await portal.page.click("[role=tab]", "JavaScript")
    await portal.shows('import { Webhook } from "standardwebhooks"')
    await portal.click("All endpoints")
    await portal.click("https://example.com/hooks", ".rows a")
    await portal.shows("The secret is shown only when it is made. If you lost it, rotate it.")
    assert not await portal.has(SECRET)
    assert not await portal.has("Reveal the secret")


PAIR_VALUE: Final = "((path) => document.querySelector(`[data-path='${path}'] [data-part=value]`))"


async def test_the_errors_of_the_api_stand_beside_their_fields(portal: Portal) -> None:
    portal.expected_faults = ["422"]
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "ftp://example.com")
    await portal.click("Filter, headers, extra fields and rate")
    await portal.click("Add a header")
    await portal.enter("Header", "Host")
    await portal.click("Filter, headers, extra fields and rate")
    await portal.click("Add endpoint")
    await portal.shows("The endpoint was not added: 2 fields need a correction")
    assert await portal.page.text("[data-path='/url'] .error") == "must begin with https://"
    assert await portal.page.text("[data-path='/headers'] .error") == "Host: is set by Hookchain"
    assert (
        await portal.page.run("document.activeElement === document.querySelector('[data-path=\"/url\"] input')") is True
    )
    assert await portal.page.run("document.activeElement.getAttribute('aria-invalid')") == "true"
    await portal.enter("URL", "https://example.com")
    assert await portal.page.run("document.querySelector('[data-path=\"/url\"] .error').hidden") is True


async def test_a_form_says_itself_what_cannot_be_sent(portal: Portal) -> None:
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "https://example.com")
    await portal.click("Only these")
    await portal.click("Add endpoint")
    await portal.shows("Choose at least one event type, or all.", "[data-path='/types'] .error")
    assert portal.sent("POST", "/endpoints") == []


async def test_a_new_endpoint_is_sent_once_when_the_answer_was_lost(portal: Portal) -> None:
    """The page sends the same key again, and another one for another endpoint."""
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "https://example.com")
    await portal.page.run("""(() => {
        const real = window.fetch; window.keys = []; let isLost = true;
        window.fetch = async (url, options) => {
            if (options.method !== 'POST') return real(url, options);
            window.keys.push(options.headers['Idempotency-Key']);
            if (isLost) { isLost = false; throw new TypeError('lost'); }
            return real(url, options);
        };
    })()""")
    await portal.click("Add endpoint")
    await portal.shows("The server cannot be reached.")
    await portal.click("Add endpoint")
    await portal.shows("Latest deliveries")
    assert await portal.page.run("window.keys.length === 2 && window.keys[0] === window.keys[1]") is True


async def test_the_secret_is_revealed_and_rotated_by_whoever_may(portal: Portal) -> None:
    endpoint = portal.api.add(endpoint_of(1))
    portal.api.secrets[endpoint.id] = SECRET
    await portal.open(place=f"#/endpoints/{endpoint.id}")
    await portal.click("Reveal the secret")
    await portal.shows(SECRET)
    await portal.click("Rotate the secret")
    await portal.shows("For 24 hours each request is signed with both secrets", "dialog")
    await portal.confirm("Rotate")
    await portal.shows("whsec_AAAA")
    await portal.shows("The secret before is used beside it until")
    await portal.click("Hide")
    assert not await portal.has("whsec_")


async def test_a_test_event_appears_and_a_failing_delivery_says_why(portal: Portal) -> None:
    endpoint = portal.api.add(endpoint_of(1, "https://broken.example.com"))
    await portal.open(place=f"#/endpoints/{endpoint.id}")
    await portal.enter("Event type", "user.created")
    await portal.click("Send a test event")
    await portal.shows("the endpoint answered 500")
    assert portal.sent("POST", "/test") == [{"type": "user.created"}]
    await portal.page.until("document.querySelector('.rows.deliveries a')?.innerText.includes('user.created')")
    await portal.click("See the request and the answer")
    for text in ("Attempt 1", "The endpoint answered 500", "Traceback: no database", "POST https://broken.example.com"):
        await portal.shows(text, ".beside")
    await portal.shows("Test", ".beside .chip:nth-of-type(2)")


async def test_a_delivery_is_sent_again(portal: Portal) -> None:
    endpoint = portal.api.add(endpoint_of(1))
    failed = portal.api.deliver(endpoint, "order.paid", "failed", reason="410 gone")
    await portal.open("usual", f"#/deliveries/{failed.id}")
    await portal.shows("410 gone", ".beside")
    await portal.click("Send again")
    await portal.shows("Delivered", ".beside")
    await portal.shows("Attempt 2", ".beside")
    assert len(portal.sent("POST", f"{failed.id}/resend")) == 1
    await portal.click("Send again")
    await portal.shows("Your server accepted it before.", "dialog")
    await portal.confirm("Cancel")
    await portal.page.press("Escape")
    assert len(portal.sent("POST", f"{failed.id}/resend")) == 1


async def test_recover_counts_before_it_sends_page_by_page(portal: Portal) -> None:
    endpoint = portal.api.add(endpoint_of(1, failing_since=NOW))
    portal.api.recoverable, portal.api.page_of_recovery = 250, 100
    await portal.open(place=f"#/endpoints/{endpoint.id}")
    await portal.click("Count")
    await portal.shows("250 events would be sent again.")
    counts = portal.sent("POST", "/recover")
    assert [each["dry_run"] for each in counts] == [True, True, True]
    assert counts[0]["since"] == "2026-03-01T12:00:00.000Z"
    await portal.click("Send 250 events again")
    await portal.shows("250 events are on the way to your server.")
    sent = portal.sent("POST", "/recover")[3:]
    assert [each.get("cursor") for each in sent] == [None, "100", "200"]
    assert {(each["since"], each["until"]) for each in sent} == {(counts[0]["since"], counts[0]["until"])}
    assert "dry_run" not in sent[0]


async def test_replay_has_a_filter_and_says_when_there_is_nothing(portal: Portal) -> None:
    endpoint = portal.api.add(endpoint_of(1))
    await portal.open(place=f"#/endpoints/{endpoint.id}")
    await portal.page.click("[role=tab]", "Replay")
    await portal.enter("Event types", "order.*, user.created")
    await portal.enter("State", "delivered")
    await portal.click("Count")
    await portal.shows("Nothing is to be sent again.")
    (asked,) = portal.sent("POST", "/replay")
    assert (asked["types"], asked["state"], asked["dry_run"]) == (["order.*", "user.created"], "delivered", True)


async def test_a_disabled_endpoint_says_why_and_is_enabled_again(portal: Portal) -> None:
    why = DisabledView(by="failures", reason="the endpoint answered 503", at=NOW)
    endpoint = portal.api.add(endpoint_of(1, enabled=False, disabled=why))
    await portal.open()
    await portal.shows("Disabled", ".rows")
    await portal.click(endpoint.url, ".rows a")
    await portal.shows("It was disabled because deliveries to it kept failing.")
    await portal.shows("the endpoint answered 503")
    await portal.page.click("button", "Enable")
    await portal.shows("Enabled", ".chip")
    await portal.page.click("button", "Disable")
    await portal.confirm("Disable")
    await portal.shows("It was disabled here.")
    await portal.page.click("button", "Delete")
    await portal.shows("This cannot be undone.", "dialog")
    await portal.confirm("Delete")
    await portal.shows("No endpoints yet")


async def test_an_endpoint_is_verified_where_the_operator_asks_for_it(portal: Portal) -> None:
    portal.expected_faults = ["422"]
    portal.api.verify = "challenge"
    endpoint = portal.api.add(endpoint_of(1, "https://broken.example.com", verified=False))
    await portal.open(place=f"#/endpoints/{endpoint.id}")
    await portal.shows("Not verified")
    await portal.page.click("button", "Verify")
    await portal.shows("the endpoint answered 500 to the challenge")
    portal.api.add(endpoint.model_copy(update={"url": "https://example.com"}))
    await portal.page.click("button", "Verify")
    await portal.shows("Enabled", ".chip")


async def test_a_change_that_somebody_else_made_meanwhile_is_explained_and_kept(portal: Portal) -> None:
    portal.expected_faults = ["412"]
    endpoint = portal.api.add(endpoint_of(1, description="first"))
    await portal.open(place=f"#/endpoints/{endpoint.id}/edit")
    await portal.enter("Description", "mine")
    portal.api.add(endpoint.model_copy(update={"description": "theirs", "types": ["order.*"]}))
    await portal.click("Save")
    await portal.shows("Somebody else changed this endpoint while you edited it.")
    await portal.shows("Changed there: description, event types.")
    await portal.shows("theirs")
    await portal.click("Save my changes")
    await portal.shows("Latest deliveries")
    kept = portal.api.endpoints[endpoint.id]
    assert (kept.description, kept.types) == ("mine", ["order.*"])
    assert portal.sent("PATCH", endpoint.id)[-1] == {"description": "mine"}


async def test_a_form_that_was_not_touched_changes_nothing(portal: Portal) -> None:
    """Also where the endpoint has everything that one can have."""
    auth: JsonObject = {"kind": "hmac", "username": "", "header": "X-Sig", "prefix": "v1=", "encoding": "base64"}
    fields: JsonObject = {"__proto__": {"b": [1], "a": "x"}, "text": "12", "number": 12}
    settings: dict[str, object] = {"types": ["order.paid", "x.*"], "filter": "data.a", "headers": {"X-A": "1"}}
    endpoint = portal.api.add(endpoint_of(1, auth=auth, fields=fields, rate="20/h", description="d", **settings))
    await portal.open(place=f"#/endpoints/{endpoint.id}/edit")
    await portal.shows("Edit the endpoint")
    await portal.click("Save")
    await portal.shows("Latest deliveries")
    assert portal.sent("PATCH", endpoint.id) == []


async def test_what_the_token_does_not_allow_is_not_there(portal: Portal) -> None:
    endpoint = portal.api.add(endpoint_of(1))
    delivery = portal.api.deliver(endpoint, "order.paid", "failed")
    await portal.open("view")
    await portal.shows(endpoint.url)
    assert await portal.page.run("document.querySelector('main a[href=\"#/endpoints/new\"]')") is None
    await portal.click(endpoint.url, ".rows a")
    await portal.shows("order.paid")
    buttons = await portal.page.run(
        "[...document.querySelectorAll('main button')].map((each) => each.innerText).join()"
    )
    assert not re.search("Reveal|Rotate|test|Enable|Disable|Delete|Count", str(buttons))
    assert not await portal.has("Edit")
    await portal.go(f"#/deliveries/{delivery.id}")
    await portal.shows("order.paid", ".beside h2")
    assert not await portal.has("Send again")


async def test_the_log_is_filtered_searched_and_paged(portal: Portal) -> None:
    one, other = portal.api.add(endpoint_of(1, "https://one.example.com")), portal.api.add(endpoint_of(2))
    for number in range(120):
        portal.api.deliver(one, "order.paid" if number % 2 else "order.shipped")
    failed = portal.api.deliver(other, "user.created", "failed", reason="no route to host")
    await portal.open(place="#/deliveries")
    rows = "document.querySelectorAll('.rows a').length"
    await portal.page.until(f"{rows} === 50")
    await portal.shows("no route to host")
    await portal.page.click("button", "Next page")
    await portal.shows("Page 2")
    await portal.page.click("button", "Next page")
    await portal.page.until(f"{rows} === 21")
    await portal.page.click("button", "Previous page")
    await portal.page.until(f"{rows} === 50")
    await portal.enter("State", "failed")
    await portal.page.until(f"{rows} === 1")
    await portal.enter("State", "")
    await portal.enter("Endpoint", other.id)
    await portal.page.until(f"{rows} === 1")
    assert "endpoint=" in str(await portal.page.run("location.hash"))
    await portal.enter("Endpoint", "")
    await portal.enter("Search", failed.event_id)
    await portal.page.until(f"{rows} === 1")
    await portal.enter("Search", "order.sh")
    await portal.enter("Time", "86400")
    await portal.page.until(f"{rows} === 50")
    assert "since=" in portal.api.queries[-1]


async def test_the_catalogue_shows_schemas_and_examples(portal: Portal) -> None:
    portal.api.types.append(type_of("invoice.sent", "Billing", schema={"title": "An invoice"}, deprecated=True))
    await portal.open("view", "#/event-types")
    await portal.shows("Billing")
    await portal.enter("Search event types", "invoice")
    await portal.page.until("document.querySelectorAll('.rows a').length === 1")
    await portal.click("invoice.sent", ".rows a")
    await portal.shows('"title": "An invoice"', ".beside")
    await portal.shows('"amount": 12', ".beside")
    await portal.shows("Deprecated", ".beside")


async def test_an_expired_link_says_so_and_a_renewed_one_goes_on(portal: Portal) -> None:
    portal.expected_faults = ["401"]
    await portal.open("old")
    await portal.shows("This link has expired or was revoked")
    await portal.shows("Open this page again from the application that led you here.")
    await portal.go("#token=usual")
    await portal.shows("No endpoints yet")
    assert "usual" not in str(await portal.page.run("location.href"))
    await portal.page.open(f"{portal.url}#/event-types")
    await portal.page.ask("Page.reload")
    await portal.shows("user.created")
    portal.api.revoked.add("usual")
    await portal.go("#/endpoints")
    await portal.shows("This link has expired or was revoked")
    assert await portal.page.run("document.querySelector('#tabs').hidden") is True


async def test_a_page_without_a_token_says_what_is_missing(portal: Portal) -> None:
    await portal.page.open(portal.url)
    await portal.shows("This page needs a link with a token")
    assert portal.api.calls == []


async def test_a_link_that_is_about_to_expire_warns(portal: Portal) -> None:
    portal.api.expires_at = NOW
    await portal.open()
    await portal.page.until_shown("This link expires in less than 2 minutes.", ".notice")


async def test_what_a_stranger_writes_stays_text(portal: Portal) -> None:
    api = portal.api
    api.name = ATTACK
    api.types = [type_of("evil.type", ATTACK, description=ATTACK, examples=[{"a": ATTACK}], schema={"title": ATTACK})]
    endpoint = api.add(
        endpoint_of(
            1,
            f"https://example.com/{ATTACK}",
            description=ATTACK,
            headers={"X-A": ATTACK},
            filter_fault=ATTACK,
            fields={ATTACK: "\u202eexe"},
        )
    )
    attempt: JsonObject = {
        "number": 1,
        "started_at": ATTACK,
        "duration_ms": 1,
        "outcome": ATTACK,
        "reason": ATTACK,
        "answer": ATTACK,
    }
    delivery = api.deliver(endpoint, "evil.type", "failed", reason=ATTACK, attempts=[attempt], event_id=ATTACK)
    await portal.open()
    for place in (
        "#/endpoints",
        f"#/endpoints/{endpoint.id}",
        f"#/endpoints/{endpoint.id}/edit",
        f"#/deliveries/{delivery.id}",
        "#/event-types/evil.type",
    ):
        await portal.go(place)
        await portal.page.until(
            "document.querySelector('main').innerText.includes('onerror') || [...document.querySelectorAll('input')].some((each) => each.value.includes('onerror'))"
        )
        assert await portal.page.run("document.querySelector('main img, main script')") is None
        assert await portal.page.run("window.attacked === undefined") is True
    await portal.go(f"#/endpoints/{endpoint.id}")
    await portal.shows("\\u202eexe")


async def test_the_page_keeps_its_policy(portal: Portal) -> None:
    """No inline script or style runs, and no module of the page needs one: the browser would log it as a fault."""
    endpoint = portal.api.add(endpoint_of(1))
    await portal.open(place=f"#/endpoints/{endpoint.id}")
    await portal.shows("Latest deliveries")
    assert await portal.page.run("document.querySelector('[style], style, script:not([src])')") is None


async def test_an_application_embeds_the_page_and_no_other_site_does(portal: Portal) -> None:
    host = web.Application()
    document = (
        f"<!doctype html><title>host</title><link rel=icon href=data:,><iframe src='{portal.url}#token=usual' width=600 height=600></iframe>"
    )

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=document, content_type="text/html")

    host.router.add_get("/", answer)
    async with serving(host) as address:
        portal.api.origins = address
        await portal.page.open(address)
        await in_frame(portal.page, "document.querySelector('main').innerText.includes('No endpoints yet')")
        portal.api.origins = "https://app.example.com"
        portal.expected_faults = ["frame", "Framing"]
        before = len(portal.api.calls)
        await portal.page.open(f"{address}/?again")
        await portal.page.open("about:blank")
        assert len(portal.api.calls) == before


async def in_frame(page: Page, condition: str) -> None:
    """Wait until it is true in the first frame of the page."""
    async with asyncio.timeout(10):
        while True:
            tree = await page.ask("Page.getFrameTree")
            frame = tree["frameTree"]["childFrames"][0]["frame"]["id"]  # type: ignore[index,call-overload]
            world = await page.ask("Page.createIsolatedWorld", frameId=frame)
            answer = await page.ask(
                "Runtime.evaluate", expression=condition, contextId=world["executionContextId"], returnByValue=True
            )
            if answer["result"].get("value") is True:  # type: ignore[union-attr]
                return
            await asyncio.sleep(0.05)


async def test_the_keyboard_is_enough_to_add_an_endpoint(portal: Portal) -> None:
    await portal.open("usual")
    await portal.shows("No endpoints yet")
    await tab_to(portal, "Add an endpoint")
    await portal.page.press("Enter")
    await portal.shows("Where events are sent")
    assert await portal.page.run("document.activeElement.innerText") == "Add an endpoint"
    await tab_to(portal, "URL")
    await portal.page.type("https://example.com/keys")
    await tab_to(portal, "Add endpoint")
    await portal.page.press("Enter")
    await portal.shows(SECRET)
    assert await portal.page.run("document.activeElement.innerText") == "https://example.com/keys"
    await tab_to(portal, "Delete")
    await portal.page.press("Enter")
    await portal.shows("This cannot be undone.", "dialog")
    await portal.page.press("Escape")
    await portal.page.until("!document.querySelector('dialog')")
    assert await portal.page.run("document.activeElement.innerText") == "Delete"


async def tab_to(portal: Portal, name: str) -> None:
    """Press Tab until the focus is on what has this name, which is visibly focused."""
    for _ in range(60):
        await portal.page.press("Tab")
        focused = await portal.page.run(
            "(() => { const at = document.activeElement; return [at.labels?.[0]?.innerText ?? at.getAttribute('aria-label') ?? at.innerText, getComputedStyle(at).outlineStyle]; })()"
        )
        assert isinstance(focused, list)
        if str(focused[0]).strip() == name:
            assert focused[1] != "none"
            return
    raise AssertionError(f"no Tab leads to {name}")


PLACES: Final = (
    "#/endpoints",
    "#/endpoints/new",
    "#/endpoints/ep_00000000000000000001",
    "#/deliveries",
    "#/event-types/order.paid",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_accessible_and_fits_a_phone(
    portal: Portal, node_package: Callable[[str], Path], scheme: str
) -> None:
    """By axe-core: names, roles, labels, order of headings, contrast of at least 4.5."""
    axe = (node_package("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    api = portal.api
    long = "https://a-very-long-name-of-a-server-that-has-no-spaces.example.com/and/a/long/path/" + "x" * 80
    endpoint = api.add(
        endpoint_of(1, long, failing_since=NOW, filter_fault="x", types=["order.*"], headers={"X-A": "b" * 90})
    )
    api.add(endpoint_of(2, enabled=False, disabled=DisabledView(by="receiver", reason="410", at=NOW)))
    attempt: JsonObject = {
        "number": 1,
        "started_at": NOW,
        "duration_ms": 1,
        "outcome": "failed",
        "reason": "x" * 90,
        "answer": "y" * 90,
    }
    failed = api.deliver(endpoint, "order.paid", "failed", reason="z" * 90, attempts=[attempt])
    api.deliver(endpoint, "order.paid", "waiting", next_attempt_at=LATER)
    await portal.page.look(360, 760, scheme)
    await portal.open()
    await portal.page.run(axe)
    for place in (*PLACES, f"#/deliveries/{failed.id}"):
        await portal.go(place)
        await portal.page.until(
            "document.querySelector('main h1, main h2') && !document.querySelector('[aria-busy=true]')"
        )
        await portal.page.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        found = await portal.page.run(
            "axe.run(document).then(({violations}) => violations.map((each) => `${each.id}: ${each.nodes[0].html} ${each.nodes[0].failureSummary}`))"
        )
        assert found == [], place
        assert await portal.page.run("document.documentElement.scrollWidth <= window.innerWidth") is True, place
