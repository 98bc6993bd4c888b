"""Links to the page: what a token allows, its end, other sites, and what strangers wrote."""

import asyncio
import json
import re
from typing import Final

import pytest
from aiohttp import web

from shared.jsontext import JsonObject
from tests.fakes.portal import portal_settings, serving
from tests.functional.portal.portal import USUAL, Portal
from tests.running.chromium import Page
from tests.running.processes import PATIENCE_SECONDS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

ATTACK: Final = "<img src=x onerror=window.attacked=1><script>window.attacked=1</script>"


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
    await portal.page.reload()
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
    async with asyncio.timeout(PATIENCE_SECONDS):
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
