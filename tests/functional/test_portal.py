"""The portal's page, used as a tenant uses it: in a browser, with the function behind it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio
from aiohttp import web

from shared.jsontext import JsonObject
from shared.ports import Fetched
from tests.chromium import Page, chromium_or_skip, chromium_page
from tests.fakes.portal import PREFIX, FakePortal, portal_settings, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTACK: Final = "<img src=x onerror=window.attacked=1><script>window.attacked=1</script>"
ALL: Final = ("view", "manage", "reveal_secret", "resend")
USUAL: Final = ("view", "manage", "resend")
CONTROL: Final = """(label) => [...document.querySelectorAll('input, select, textarea')].find((control) => {
    const labels = [...control.labels ?? []].map((each) => each.innerText.trim());
    return [control.getAttribute('aria-label'), ...labels].includes(label);
})"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    async with chromium_page(chromium_or_skip(), tmp_path_factory.mktemp("profile")) as made:
        yield made


@dataclass
class Portal:
    """The page in a browser, and the function that it calls."""

    page: Page
    api: FakePortal
    url: str
    expected_faults: list[str] = field(default_factory=list)

    async def open(self, *capabilities: str, place: str = "") -> None:
        await self.open_with(await self.api.token(*(capabilities or ALL)))
        if place:
            await self.go(place)

    async def open_with(self, token: str) -> None:
        await self.page.open("about:blank")
        await self.page.open(f"{self.url}#token={token}")
        await self.page.until("!document.querySelector('#tabs').hidden || document.querySelector('.empty h2, .banner')")

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


PAIR_VALUE: Final = "((path) => document.querySelector(`[data-path='${path}'] [data-part=value]`))"


async def test_a_tenant_adds_an_endpoint_and_sees_its_secret_once(portal: Portal) -> None:
    await portal.open(*USUAL)
    await portal.shows("No endpoints yet")
    await portal.click("Add an endpoint")
    await portal.enter("URL", "https://example.com/hooks")
    await portal.enter("Description", "for the warehouse")
    await portal.click("Only these")
    await portal.click("order.paid")
    await portal.enter("Pattern", "user.*")
    await portal.click("Add pattern")
    await portal.click("Filter, headers, extra fields and rate")
    await portal.enter("Filter", "data.amount\n > `100`")
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
    await portal.shows("whsec_", ".secret-text")
    secret = await portal.page.text(".secret-text")
    (given,) = portal.api.posted("POST", "/endpoints")
    assert given == {
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
    await portal.click("How to verify requests")
    await portal.shows("from standardwebhooks import Webhook")
    await portal.page.click("[role=tab]", "JavaScript")
    await portal.shows('import { Webhook } from "standardwebhooks"')
    await portal.click("All endpoints")
    await portal.click("https://example.com/hooks", ".rows a")
    await portal.shows("The secret is shown only when it is made. If you lost it, rotate it.")
    assert not await portal.has(secret)
    assert not await portal.has("Reveal the secret")


async def test_the_errors_of_the_api_stand_beside_their_fields(portal: Portal) -> None:
    portal.expected_faults = ["422"]
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "ftp://example.com")
    await portal.click("Filter, headers, extra fields and rate")
    await portal.enter("Filter", "data.amount >")
    await portal.click("Add a header")
    await portal.enter("Header", "Host")
    await portal.click("Filter, headers, extra fields and rate")
    await portal.click("Add endpoint")
    await portal.shows("The endpoint was not added: 3 fields need a correction")
    error = "document.querySelector('[data-path=\"{}\"] .error').innerText"
    assert "https" in str(await portal.page.run(error.format("/url")))
    assert str(await portal.page.run(error.format("/headers"))).startswith("Host: ")
    assert await portal.page.run(error.format("/filter"))
    assert await portal.page.run("document.activeElement.closest('[data-path]').dataset.path") == "/url"
    assert await portal.page.run("document.activeElement.getAttribute('aria-invalid')") == "true"
    await portal.enter("URL", "https://example.com")
    assert await portal.page.run(error.format("/url")) == ""


async def test_a_form_says_itself_what_cannot_be_sent(portal: Portal) -> None:
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "https://example.com")
    await portal.click("Only these")
    await portal.click("Add endpoint")
    await portal.shows("Choose at least one event type, or all.", "[data-path='/types'] .error")
    assert portal.api.posted("POST", "/endpoints") == []


LOSE_ONE_ANSWER: Final = """(() => {
    const real = window.fetch;
    let isLost = false;
    window.fetch = async (url, options) => {
        const answer = await real(url, options);
        if (options.method !== 'POST' || isLost) return answer;
        isLost = true;
        throw new TypeError('lost');
    };
})()"""


async def test_an_endpoint_is_added_once_though_the_answer_was_lost(portal: Portal) -> None:
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "https://example.com")
    await portal.page.run(LOSE_ONE_ANSWER)
    await portal.click("Add endpoint")
    await portal.shows("The server cannot be reached.")
    await portal.click("Add endpoint")
    await portal.shows("Latest deliveries")
    await portal.click("All endpoints")
    await portal.shows("https://example.com", ".rows.endpoints")
    assert len(portal.api.posted("POST", "/endpoints")) == 2
    assert await portal.page.run("document.querySelectorAll('.rows a').length") == 1


async def test_each_kind_of_authentication_has_its_fields(portal: Portal) -> None:
    await portal.open(place="#/endpoints/new")
    await portal.enter("URL", "https://example.com")
    await portal.enter("Authentication", "hmac")
    await portal.enter("Header", "X-Signature")
    await portal.enter("Prefix", "sha256=")
    await portal.enter("Encoding", "base64")
    await portal.enter("Own secret", "a-secret-of-their-own")
    await portal.click("Add endpoint")
    await portal.shows("HMAC in a header of your choice, X-Signature")
    await portal.click("Edit")
    await portal.enter("Authentication", "basic")
    await portal.enter("User name", "ann")
    await portal.enter("Own secret", "another-secret")
    await portal.click("Save")
    await portal.shows("User name and password, ann")
    changes: JsonObject = {"auth": {"kind": "basic", "username": "ann"}, "secret": "another-secret"}
    assert portal.api.posted("PATCH", str(await portal.page.run("location.hash.split('/')[2]"))) == [changes]


async def test_the_secret_is_revealed_and_rotated_by_whoever_may(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.click("Reveal the secret")
    await portal.shows("whsec_", ".secret-text")
    before = await portal.page.text(".secret-text")
    await portal.click("Rotate the secret")
    await portal.shows("For 24 hours each request is signed with both secrets", "dialog")
    await portal.confirm("Rotate")
    await portal.shows("The secret before is used beside it until")
    assert await portal.page.text(".secret-text") != before
    await portal.click("Hide")
    assert not await portal.has("whsec_")


async def test_a_test_event_appears_and_a_failing_delivery_says_why(portal: Portal) -> None:
    portal.expected_faults = ["404"]  # before the attempt there is no such delivery
    id_ = await portal.api.endpoint("https://broken.example.com")
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.enter("Event type", "user.created")
    await portal.click("Send a test event")
    await portal.shows("the endpoint answered 500")
    assert portal.api.posted("POST", "/test") == [{"type": "user.created"}]
    await portal.page.until("document.querySelector('.rows.deliveries a')?.innerText.includes('user.created')")
    await portal.click("See the request and the answer")
    for text in ("Attempt 1", "The endpoint answered 500", "Traceback: no database", "POST https://broken.example.com"):
        await portal.shows(text, ".beside")
    await portal.shows("Test", ".beside .chip:nth-of-type(2)")


async def test_a_delivery_is_sent_again(portal: Portal) -> None:
    failed = await portal.api.delivery(await portal.api.endpoint(), "order.paid", "dead_lettered", "410 gone")
    await portal.open(*USUAL, place=f"#/deliveries/{failed}")
    await portal.shows("410 gone", ".beside")
    await portal.click("Send again")
    await portal.shows("Delivered", ".beside .chip")
    await portal.page.until("document.querySelectorAll('.attempts li').length === 2")
    await portal.click("Send again")
    await portal.shows("Your server accepted it before.", "dialog")
    await portal.confirm("Cancel")
    assert len(portal.api.posted("POST", f"{failed}/resend")) == 1


async def test_recover_counts_before_it_sends_page_by_page(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    await portal.api.change(id_, failing_since=portal.api.clock.now() - 2_000)
    await portal.api.missed(250)
    portal.api.take_a_while()
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.click("Count")
    await portal.shows("250 events would be sent again.")
    counts = portal.api.posted("POST", "/recover")
    assert len(counts) > 2
    assert all(each["dry_run"] for each in counts)
    assert portal.api.subscribers.published() == []
    await portal.click("Send 250 events again")
    await portal.shows("250 events are on the way to your server.")
    assert len(portal.api.subscribers.published()) == 250
    sent = portal.api.posted("POST", "/recover")[len(counts) :]
    assert ["cursor" in each for each in sent[:3]] == [False, True, True]
    assert {each["since"] for each in sent} == {counts[0]["since"]}


async def test_replay_has_a_filter_and_says_when_there_is_nothing(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    await portal.api.delivery(id_, "order.paid")
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.page.click("[role=tab]", "Replay")
    await portal.enter("Event types", "order.*, user.created")
    await portal.enter("State", "failed")
    await portal.click("Count")
    await portal.shows("Nothing is to be sent again.")
    await portal.enter("State", "delivered")
    await portal.click("Count")
    await portal.shows("1 event would be sent again.")
    asked = portal.api.posted("POST", "/replay")[-1]
    assert (asked["types"], asked["state"], asked["dry_run"]) == (["order.*", "user.created"], "delivered", True)


async def test_a_disabled_endpoint_says_why_and_is_enabled_again(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    why = {"disabled_by": "failures", "disabled_reason": "it answered 503", "disabled_at": portal.api.clock.now()}
    await portal.api.change(id_, **why)
    await portal.open()
    await portal.shows("Disabled", ".rows")
    await portal.click("https://example.com/in", ".rows a")
    await portal.shows("It was disabled because deliveries to it kept failing.")
    await portal.shows("it answered 503")
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
    portal.api.set_up(portal_settings(verify="cloudevents"))
    id_ = await portal.api.endpoint()
    await portal.open(place=f"#/endpoints/{id_}")
    await portal.shows("Not verified")
    await portal.page.click("button", "Verify")
    await portal.shows("the endpoint was not asked")
    allowed = Fetched(200, (("webhook-allowed-origin", "*"),), b"", False)
    portal.api.subscribers.fetch.answers["https://example.com/in"] = allowed
    await portal.page.click("button", "Verify")
    await portal.shows("Enabled", ".chip")


async def test_a_change_that_somebody_else_made_meanwhile_is_explained_and_kept(portal: Portal) -> None:
    portal.expected_faults = ["412"]
    id_ = await portal.api.endpoint(description="first")
    await portal.open(place=f"#/endpoints/{id_}/edit")
    await portal.enter("Description", "mine")
    await portal.api.change(id_, description="theirs", types=("order.*",))
    await portal.click("Save")
    await portal.shows("Somebody else changed this endpoint while you edited it.")
    await portal.shows("Changed there: description, event types.")
    await portal.shows("theirs")
    await portal.click("Save my changes")
    await portal.shows("Latest deliveries")
    kept = await portal.api.stored(id_)
    assert (kept.description, kept.types) == ("mine", ("order.*",))
    assert portal.api.posted("PATCH", id_)[-1] == {"description": "mine"}


async def test_a_form_that_was_not_touched_changes_nothing(portal: Portal) -> None:
    """Also where the endpoint has everything that one can have."""
    auth: JsonObject = {"kind": "hmac", "header": "X-Sig", "prefix": "v1=", "encoding": "base64"}
    fields: JsonObject = {"__proto__": {"b": [1], "a": "x"}, "text": "12", "number": 12}
    id_ = await portal.api.endpoint(
        auth=auth, fields=fields, rate="20/h", types=["order.paid", "x.*"], filter="data.a", headers={"X-A": "1"}
    )
    await portal.open(place=f"#/endpoints/{id_}/edit")
    await portal.shows("Edit the endpoint")
    await portal.click("Save")
    await portal.shows("Latest deliveries")
    assert portal.api.posted("PATCH", id_) == []


async def test_what_the_token_does_not_allow_is_not_there(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    delivery = await portal.api.delivery(id_, "order.paid", "dead_lettered")
    await portal.open("view")
    await portal.click("https://example.com/in", ".rows a")
    await portal.shows("order.paid")
    buttons = await portal.page.run("[...document.querySelectorAll('button, a')].map((each) => each.innerText).join()")
    assert not re.search("Reveal|Rotate|test|Enable|Disable|Delete|Count|Edit|Add", str(buttons))
    await portal.go(f"#/deliveries/{delivery}")
    await portal.shows("order.paid", ".beside h2")
    assert not await portal.has("Send again")


async def test_the_log_is_filtered_searched_and_paged(portal: Portal) -> None:
    one, other = await portal.api.endpoint("https://one.example.com"), await portal.api.endpoint()
    for number in range(120):
        await portal.api.delivery(one, "order.paid" if number % 2 else "order.shipped")
    await portal.api.delivery(other, "user.created", "dead_lettered", "no route to host")
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
    await portal.enter("Endpoint", other)
    await portal.page.until(f"{rows} === 1")
    assert "endpoint=" in str(await portal.page.run("location.hash"))
    await portal.enter("Endpoint", "")
    await portal.enter("Search", "user")
    await portal.page.until(f"{rows} === 1")
    await portal.enter("Search", "order.sh")
    await portal.enter("Time", "86400")
    await portal.page.until(f"{rows} === 50")
    assert "since=" in portal.api.requests[-1][2]
    await portal.enter("Search", "no such thing")
    await portal.shows("No delivery matches")


async def test_a_search_goes_on_where_an_answer_has_nothing_although_there_is_more(portal: Portal) -> None:
    id_ = await portal.api.endpoint()
    await portal.api.delivery(id_, "user.created")
    for _ in range(520):
        await portal.api.delivery(id_, "order.paid")
    await portal.open(place="#/deliveries?type=user.created")
    await portal.page.until("document.querySelectorAll('.rows a').length === 1")


async def test_the_catalogue_shows_schemas_and_examples(portal: Portal) -> None:
    await portal.open("view", place="#/event-types")
    await portal.shows("An order is paid.")
    await portal.enter("Search event types", "shipped")
    await portal.page.until("document.querySelectorAll('.rows a').length === 1")
    await portal.click("order.shipped", ".rows a")
    await portal.shows('"title": "A parcel"', ".beside")
    await portal.go("#/event-types/order.paid")
    await portal.shows('"amount": 12', ".beside")


async def test_an_expired_link_says_so_and_a_renewed_one_goes_on(portal: Portal) -> None:
    portal.expected_faults = ["401"]
    old = await portal.api.token()
    await portal.api.revoke()
    await portal.open_with(old)
    await portal.shows("This link has expired or was revoked")
    await portal.shows("Open this page again from the application that led you here.")
    portal.api.clock.advance(1)
    await portal.go(f"#token={await portal.api.token()}")
    await portal.shows("No endpoints yet")
    assert "hpt_" not in str(await portal.page.run("location.href"))
    await portal.go("#/event-types")
    await portal.page.ask("Page.reload")
    await portal.shows("user.created")
    await portal.api.revoke()
    await portal.go("#/endpoints")
    await portal.shows("This link has expired or was revoked")
    assert await portal.page.run("document.querySelector('#tabs').hidden") is True


async def test_a_page_without_a_token_says_what_is_missing(portal: Portal) -> None:
    await portal.page.open(portal.url)
    await portal.shows("This page needs a link with a token")
    assert portal.api.requests == []


async def test_a_link_that_is_about_to_expire_warns(portal: Portal) -> None:
    token = await portal.api.subscribers.send(
        "POST", "/v1/tenants/acme/portal-tokens", {"expires_in": 90}, by=await portal.api.key()
    )
    await portal.open_with(token.text("token"))
    await portal.page.until_shown("This link expires in less than 2 minutes.", ".notice")


async def test_what_a_stranger_writes_stays_text(portal: Portal) -> None:
    api = portal.api
    example: JsonObject = {
        "description": ATTACK,
        "group": ATTACK,
        "examples": [{"a": ATTACK}],
        "schema": {"title": ATTACK},
    }
    api.set_up(portal_settings({"evil.type": example}, portal={"name": ATTACK, "logo": f"javascript:{ATTACK}"}))
    id_ = await api.endpoint(description=ATTACK, headers={"X-A": ATTACK}, fields={"a": ATTACK, "b": "\u202eexe"})
    await api.change(
        id_, filter_fault=ATTACK, url=f"https://example.com/{ATTACK}", disabled_by="receiver", disabled_reason=ATTACK
    )
    delivery = await api.delivery(id_, "evil.type", "dead_lettered", ATTACK, ATTACK)
    await portal.open()
    own = f"#/endpoints/{id_}"
    shown = "document.querySelector('main').innerText.includes('onerror')"
    entered = "[...document.querySelectorAll('input')].some((each) => each.value.includes('onerror'))"
    for place in ("#/endpoints", own, f"{own}/edit", f"#/deliveries/{delivery}", "#/event-types/evil.type"):
        await portal.go(place)
        await portal.page.until(f"{shown} || {entered}")
        assert await portal.page.run("document.querySelector('main img, main script')") is None, place
        assert await portal.page.run("window.attacked === undefined") is True, place
    await portal.go(own)
    await portal.shows("\\u202eexe")
    assert await portal.page.run("document.querySelector('#logo').hidden") is True


async def test_an_application_embeds_the_page_and_no_other_site_does(portal: Portal) -> None:
    token = await portal.api.token(*USUAL)
    document = (
        "<!doctype html><title>host</title><link rel=icon href=data:,>"
        f"<iframe src='{portal.url}#token={token}' width=600 height=600></iframe>"
    )

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=document, content_type="text/html")

    host = web.Application()
    host.router.add_get("/", answer)
    async with serving(host) as address:
        portal.api.set_up(portal_settings(portal={"origins": [address]}))
        await portal.page.open(address)
        await until_in_frame(portal.page, "document.querySelector('main').innerText.includes('No endpoints yet')")
        portal.api.set_up(portal_settings(portal={"origins": ["https://app.example.com"]}))
        portal.expected_faults = ["frame-ancestors", "ERR_BLOCKED_BY_RESPONSE"]
        before = len(portal.api.requests)
        await portal.page.open(f"{address}/?again")
        assert len(portal.api.requests) == before


async def until_in_frame(page: Page, condition: str) -> None:
    """Wait until it is true in the first frame of the page."""
    async with asyncio.timeout(10):
        while True:
            tree = await page.ask("Page.getFrameTree")
            frame = re.findall(r'"id": "(\w+)"', json.dumps(tree))[1]
            world = await page.ask("Page.createIsolatedWorld", frameId=frame)
            answer = await page.ask(
                "Runtime.evaluate", expression=condition, contextId=world["executionContextId"], returnByValue=True
            )
            if '"value": true' in json.dumps(answer):
                return
            await asyncio.sleep(0.05)


async def test_the_keyboard_is_enough_to_add_an_endpoint(portal: Portal) -> None:
    await portal.open(*USUAL)
    await portal.shows("No endpoints yet")
    await tab_to(portal, "Add an endpoint")
    await portal.page.press("Enter")
    await portal.shows("Where events are sent")
    assert await portal.page.run("document.activeElement.innerText") == "Add an endpoint"
    await tab_to(portal, "URL")
    await portal.page.type("https://example.com/keys")
    await tab_to(portal, "Add endpoint")
    await portal.page.press("Enter")
    await portal.shows("Copy the secret now.")
    assert await portal.page.run("document.activeElement.innerText") == "https://example.com/keys"
    await tab_to(portal, "Delete")
    await portal.page.press("Enter")
    await portal.shows("This cannot be undone.", "dialog")
    await portal.page.press("Escape")
    await portal.page.until("!document.querySelector('dialog')")
    assert await portal.page.run("document.activeElement.innerText") == "Delete"


FOCUSED: Final = """(() => {
    const at = document.activeElement;
    const name = at.labels?.[0]?.innerText ?? at.getAttribute('aria-label') ?? at.innerText;
    return [name, getComputedStyle(at).outlineStyle];
})()"""


async def tab_to(portal: Portal, name: str) -> None:
    """Press Tab until the focus is on what has this name, where it is visible."""
    for _ in range(60):
        await portal.page.press("Tab")
        focused = await portal.page.run(FOCUSED)
        assert isinstance(focused, list)
        if str(focused[0]).strip() == name:
            assert focused[1] != "none"
            return
    raise AssertionError(f"no Tab leads to {name}")


FAULTS_OF_AXE: Final = """axe.run(document).then(({violations}) =>
    violations.map((each) => `${each.id}: ${each.nodes[0].html} ${each.nodes[0].failureSummary}`))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_accessible_and_fits_a_phone(
    portal: Portal, node_package: Callable[[str], Path], scheme: str
) -> None:
    """By axe-core: names, roles, labels, order of headings, contrast of at least 4.5."""
    axe = (node_package("axe-core") / "axe.min.js").read_text(encoding="utf-8")
    api = portal.api
    id_ = await api.endpoint(f"https://{'a' * 50}.example.com/{'x' * 80}", types=["order.*"], headers={"X-A": "b" * 90})
    await api.change(id_, failing_since=api.clock.now(), filter_fault="x" * 90)
    await api.change(await api.endpoint(), disabled_by="receiver", disabled_reason="410")
    await api.delivery(id_, "order.paid", "retry_scheduled", "z" * 90)
    failed = await api.delivery(id_, "order.paid", "dead_lettered", "z" * 90, "y" * 90)
    await portal.page.look(360, 760, scheme)
    await portal.open()
    await portal.page.run(axe)
    own = f"#/endpoints/{id_}"
    for place, view, loaded in (
        ("#/endpoints", "endpoints", ".rows a"),
        ("#/endpoints/new", "new", "form"),
        (own, f"endpoint {id_}", ".rows a"),
        (f"{own}/edit", f"edit {id_}", "form"),
        ("#/deliveries", "deliveries", ".rows a"),
        (f"#/deliveries/{failed}", "deliveries", ".attempts"),
        ("#/event-types/order.paid", "event-types", ".beside h2"),
    ):
        await portal.go(place)
        await portal.page.until(
            f"document.querySelector('main[data-view=\"{view}\"] {loaded}') && !document.querySelector('[aria-busy]')"
        )
        await portal.page.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert await portal.page.run(FAULTS_OF_AXE) == [], place
        assert await portal.page.run("document.documentElement.scrollWidth <= window.innerWidth") is True, place
        assert await portal.page.run("document.querySelector('[style], style, script:not([src])')") is None
        assert not re.search(r"undefined|NaN|\bnull\b|\[object", await portal.page.text("body"))
