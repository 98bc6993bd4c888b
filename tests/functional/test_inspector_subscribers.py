"""The page about subscribers, in a browser, over a state folder: an event's endpoints, and tenants with theirs."""

from dataclasses import replace
from pathlib import Path

from aiohttp.test_utils import TestServer

from deploy.config.compiler import compile_config
from deploy.config.config_file import parse_config
from deploy.dev.inspector.app import make_app, open_backend
from shared.delivery import Delivery
from shared.event import Event
from shared.journal import AttemptEntry, EventEntry, RouteDecision
from shared.jsontext import to_json
from shared.ledger import Claimed, Settlement
from shared.outcomes import DeliveryState
from shared.settings import read_settings
from shared.store_ports import Documents
from shared.subscribers.directory import TENANTS, endpoints_of
from shared.subscribers.model import Endpoint, Tenant
from shared.subscribers.names import EndpointName
from tests.chromium import Page, chromium_or_skip, chromium_page
from tests.fakes.bus import FakeBus
from tests.unit.dev.inspected import TOKEN

NOW = 1_790_000_000.0
PAID = Event(f"{1:032x}", "/sources/app", "order.paid", "2026-09-21T14:13:20Z", "0" * 64, {"accountId": "acme"})
TOLD = RouteDecision("tell customers", True, "its type matches", ("customers",))
CONFIG = """\
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
    chromium = chromium_or_skip()
    (tmp_path / "slices").mkdir()
    compiled = compile_config(parse_config(CONFIG, "x", tmp_path))
    for name in ("transform", "notify", "subscribe"):
        (tmp_path / "slices" / f"{name}.json").write_text(to_json(compiled[name]), encoding="utf-8")
    async with open_backend(tmp_path, "127.0.0.1:9", read_settings({"PUBSUB_EMULATOR_HOST": "127.0.0.1:9"})) as opened:
        parts = replace(opened, bus=FakeBus())
        await keep_subscribers(parts.documents)
        await parts.journal.record([EventEntry(PAID, (TOLD,), NOW)])
        names = ["customers", *(str(EndpointName("customers", "acme", each)) for each in ENDPOINTS)]
        for number, name in enumerate(names):
            delivery = Delivery(PAID, "tell customers", name)
            claim = await parts.ledger.claim(delivery, b"{}", NOW + number, 60)
            assert isinstance(claim, Claimed)
            attempt = AttemptEntry(
                delivery.id, PAID.id, "tell customers", name, 1, NOW, NOW + 1, "delivered", "", "204"
            )
            state: DeliveryState = "dead_lettered" if name == names[-1] else "delivered"
            assert await parts.ledger.settle(claim, Settlement(state, NOW + number, attempt=attempt))
        async with TestServer(make_app(parts, TOKEN)) as server, chromium_page(chromium, tmp_path / "profile") as page:
            url = f"http://127.0.0.1:{server.port}/"
            await page.open(f"{url}?token={TOKEN}")
            await look_around(page, url)
            assert page.faults == []


async def look_around(page: Page, url: str) -> None:
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
    await page.until_shown(f"acme · {ENDPOINTS[6][:11]}…")
    await page.click("nav a", "Subscribers")
    await page.until_shown("2 endpoints")
    shown = await page.text(".cards")
    assert "<b>Acme</b>" in shown
    assert "https://acme.example/in" in shown
    assert "it answered 500 for 5 days" in shown
    await page.look(360, 800)
    assert await page.run("document.documentElement.scrollWidth") == 360
