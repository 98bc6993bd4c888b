"""The page, used as a person uses it: in a browser, while the whole pipe runs."""

import asyncio
import base64
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from shared.jsontext import JsonObject
from tests.running.chromium import Page, chromium_or_skip, chromium_page
from tests.running.processes import PATIENCE_SECONDS
from tests.running.stack import Stack, running

PASSWORD = "a-password-of-this-test"
CONFIG = """
sources:
  form:
    auth: {scheme: basic, username: web, secret: form-password}
    actor: data.mail
routes:
  - name: tell the list
    from: form
    types: [signup.*]
    to: list
  - name: only once
    from: form
    types: [once]
    to: impatient
  - name: step by step
    from: form
    types: [stepped]
    steps: [{drop: [data.password]}, {filter: {keep: data.paid, reason: not paid yet}}]
    to: list
  - name: tell nobody
    from: form
    types: [never]
    to: list
destinations:
  list:
    email: {to: [ann@example.com], subject: "New: {{ data.name }}"}
    retry: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
  impatient:
    email: {to: [bob@example.com], subject: "Once: {{ data.name }}"}
    retry: []
"""


def send(stack: Stack, document: JsonObject, password: str = PASSWORD) -> int:
    proof = base64.b64encode(f"web:{password}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {proof}"}
    request = urllib.request.Request(f"{stack.url}/form", json.dumps(document).encode(), headers)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while (status := status_of(request)) == 503 and time.monotonic() < give_up_at:  # as senders do
        pass
    return status


def status_of(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


async def event_shown(page: Page, text: str, status: str) -> None:
    """In the list, with that status."""
    row = f"[...document.querySelectorAll('.rows a')].find((e) => e.innerText.includes({json.dumps(text)}))"
    await page.until(f"{row}?.innerText.includes({json.dumps(status)}) ?? false")


pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    chromium_or_skip()
    with running(tmp_path_factory.mktemp("stack"), CONFIG, {"FORM_PASSWORD": PASSWORD}) as up:
        yield up


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    async with chromium_page(chromium_or_skip(), tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def page(stack: Stack, browser: Page) -> AsyncIterator[Page]:
    await browser.look(1400, 900)
    await browser.open("about:blank")
    browser.faults.clear()
    await browser.open(stack.page)
    await browser.until_shown("Live")
    yield browser
    assert browser.faults == []


async def test_a_new_user_sees_a_command_and_the_event_that_it_sends(stack: Stack, page: Page) -> None:
    await page.until_shown("Waiting for the first event")
    shown = await page.text(".foot")
    assert "--basic web --secret form-password" in shown
    assert "curl -u" not in shown
    assert send(stack, {"event": "signup.created", "name": "Ada Lovelace", "mail": "ada@example.com"}) == 200
    await event_shown(page, "ada@example.com", "Delivered")
    await page.click(".rows a", "ada@example.com")
    for text in ("POST /form → 200", "tell the list → list", "1 of 1 delivered", "tell nobody"):
        await page.until_shown(text, ".beside")
    checks = "Path and method Size and encoding Authentication Body parsed Limits and schema Published"
    await page.until_shown("basic auth; user: web", ".beside .checks")
    names = await page.run("[...document.querySelectorAll('.beside .checks .good')].map((e) => e.childNodes[1].data)")
    assert isinstance(names, list)
    assert " ".join(map(str, names)) == checks
    await page.click(".delivery .button", "See the mail")
    await page.until_shown("New: Ada Lovelace", ".beside h2")
    await page.click("[role=tab]", "Text")
    await page.until_shown("ada@example.com", ".mail-text")


async def test_what_each_step_did_to_an_event_is_shown_where_somebody_asks(stack: Stack, page: Page) -> None:
    assert send(stack, {"event": "stepped", "mail": "steps@example.com", "password": "hunter2"}) == 200
    await event_shown(page, "steps@example.com", "Filtered")
    await page.click(".rows a", "steps@example.com")
    await page.until_shown("filtered", ".beside .path")
    await page.click("summary", "Step by step")
    for message in ("step 1 'drop'", '- data.password: "hunter2"', "not paid yet: data.paid is not true"):
        await page.until_shown(message, ".steps")


async def test_a_rejected_request_shows_the_failed_check_and_the_reason(stack: Stack, page: Page) -> None:
    assert send(stack, {"event": "signup.created"}, password="another-password-altogether") == 401
    await page.click("#tabs a", "Rejected")
    await page.until_shown("POST /form", ".rejection")
    assert "The password or token is not this source's" in await page.text(".rejection")
    assert "Why: " in await page.text(".rejection")
    assert "Authentication" in await page.text(".rejection .checks .bad")


async def test_mails_wait_while_the_sink_is_unplugged_and_go_out_once_it_is_back(stack: Stack, page: Page) -> None:
    await page.click("#sink")
    await page.until_shown("The local mail service is off", "#banners")
    assert send(stack, {"event": "signup.created", "name": "Grace", "mail": "grace@example.com"}) == 200
    await event_shown(page, "grace@example.com", "Retry scheduled")
    await page.click("#sink")
    await event_shown(page, "grace@example.com", "Delivered")
    await page.until("!document.querySelector('#banners .banner')")


async def test_a_dead_letter_is_replayed(stack: Stack, page: Page) -> None:
    await page.click("#sink")
    await page.until_shown("The local mail service is off", "#banners")
    assert send(stack, {"event": "once", "name": "Edsger", "mail": "edsger@example.com"}) == 200
    await event_shown(page, "edsger@example.com", "Dead-lettered")
    await page.click("#sink")
    await page.until("!document.querySelector('#banners .banner')")
    await page.click("#tabs a", "Dead letters")
    await page.until("document.querySelector('.letters .chip')")
    await page.click(".rows a", "impatient")
    await page.click(".beside button", "Replay")
    await page.until_shown("No dead letters")
    await page.click("#tabs a", "Events")
    await event_shown(page, "edsger@example.com", "Delivered")


async def test_a_held_destination_says_what_to_do_and_is_released(stack: Stack, page: Page) -> None:
    assert stack.trouble({"mail": {"next": [{"kind": "403"}]}})
    assert send(stack, {"event": "signup.created", "name": "Frances", "mail": "frances@example.com"}) == 200
    await page.until_shown("list is held: 1 delivery waits", "#banners")
    assert "verify that address" in await page.text("#banners")
    await page.click("#banners button", "Resume list")
    await event_shown(page, "frances@example.com", "Delivered")


async def test_a_destination_is_paused_and_resumed_on_the_page(stack: Stack, page: Page) -> None:
    await page.click("#tabs a", "Destinations")
    await page.until_shown("list", ".destination")
    await page.click(".destination button", "Pause")
    await page.until_shown("Paused", ".destination")
    assert "paused by an operator" in await page.text(".destination")
    await page.until_shown("list is held", "#banners")
    await page.click(".destination button", "Resume")
    await page.until_shown("Delivering", ".destination")
    await page.until("!document.querySelector('#banners .banner')")
    await page.click("#tabs a", "Events")


async def test_the_page_shows_the_faults_of_the_configuration_on_disk(stack: Stack, page: Page) -> None:
    dev_file = stack.state / "dev.json"
    served = dev_file.read_text(encoding="utf-8")
    fault = "hookchain.yaml:7: routes[0].to: there is no destination 'lost'"
    dev_file.write_text(json.dumps({**json.loads(served), "faults": fault}), encoding="utf-8")
    await page.until_shown("The configuration has faults. The previous configuration is still in use.", "#banners")
    assert fault in await page.text("#banners pre")
    dev_file.write_text(served, encoding="utf-8")
    await page.until("!document.querySelector('#banners .banner')")


async def test_counts_are_of_all_events_and_are_hidden_while_a_search_shows_some(stack: Stack, page: Page) -> None:
    assert send(stack, {"event": "never.taken", "mail": "counted@example.com"}) == 200
    await event_shown(page, "counted@example.com", "No route")
    await page.until(
        "document.querySelector('#tabs .count').innerText === document.querySelector('.statuses .count').innerText"
    )
    assert "events in the journal" in str(await page.run("document.querySelector('#tabs .count').title"))
    await page.press("/")
    await page.type("counted")
    await page.until_count(1, ".rows a")
    await page.until("!document.querySelector('.statuses .count')")


async def test_the_keyboard_is_enough(stack: Stack, page: Page) -> None:
    for name in ("barbara", "donald"):
        assert send(stack, {"event": "signup.created", "name": name, "mail": f"{name}@example.com"}) == 200
    await event_shown(page, "donald@example.com", "Delivered")
    await page.press("/")
    await page.type("barb")
    await page.until_count(1, ".rows a")
    await page.press("Escape", "j", "Enter")
    await page.until_shown("barbara@example.com", ".beside")
    await page.press("Escape")
    await page.until("document.querySelector('.beside').hidden")
    await page.press("4")
    await page.until("document.querySelector('#tabs [aria-current]').innerText.startsWith('Rejected')")
    await page.press("?")
    await page.until_shown("Keyboard shortcuts", "dialog")
    await page.press("Escape")
    await page.until("!document.querySelector('dialog')")


async def test_what_a_stranger_writes_stays_text(stack: Stack, page: Page) -> None:
    attack = "<img src=x onerror=window.attacked=1><script>window.attacked=1</script>"
    assert send(stack, {"event": "signup.created", "name": attack, "mail": attack}) == 200
    await event_shown(page, attack[:30], "Delivered")
    await page.click(".rows a", attack[:30])
    await page.until_shown("1 of 1 delivered", ".beside")
    post_mail(stack, f"<script>parent.attacked = 1; top.location = 'about:blank'</script><p onclick=x>{attack}</p>")
    await page.click("#tabs a", "Mail")
    await page.click(".rows a", "A hostile mail")
    await page.until("document.querySelector('iframe')")
    await asyncio.sleep(0.3)  # for a script that must not run
    assert await page.run("window.attacked === undefined && location.hash.startsWith('#/mail/')") is True
    # The browser says of the frame that it blocked the script; that it says nothing else is checked as ever.
    page.faults[:] = [fault for fault in page.faults if "sandboxed" not in fault and "/html" not in fault]


async def test_what_a_stranger_writes_is_read_in_its_own_order(stack: Stack, page: Page) -> None:
    assert send(stack, {"event": "signup.turned", "name": "\u202eexe.gnp", "mail": "مرحبا"}) == 200
    await event_shown(page, "signup.turned", "Delivered")
    await page.click(".rows a", "signup.turned")
    await page.until_shown('"name": "\\u202eexe.gnp"', ".beside .code")
    await page.until_shown('"mail": "مرحبا"', ".beside .code")


def post_mail(stack: Stack, html: str) -> None:
    document = {
        "personalizations": [{"to": [{"email": "ann@example.com"}]}],
        "from": {"email": "eve@example.com"},
        "subject": "A hostile mail",
        "content": [{"type": "text/html", "value": html}],
    }
    headers = {"Content-Type": "application/json", "Authorization": "Bearer SG.x"}
    url = f"http://127.0.0.1:{stack.base + 5}/v3/mail/send"
    assert status_of(urllib.request.Request(url, json.dumps(document).encode(), headers)) == 202


async def test_another_sites_page_reads_nothing_and_moves_nothing(stack: Stack, page: Page) -> None:
    address = f"http://127.0.0.1:{stack.base + 10}"
    await page.open("about:blank")
    for options in (
        "{}",
        "{mode: 'no-cors', method: 'POST', body: '{\"plugged\":false}'}",
        "{method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{\"plugged\":false}'}",
    ):
        script = f"fetch('{address}/api/mail-sink', {options}).then((a) => a.type, () => 'refused')"
        assert await page.run(script) in {"refused", "opaque"}
    page.faults.clear()
    await page.open(stack.page)
    await page.until_shown("Live")
    await page.until("document.getElementById('sink').getAttribute('aria-checked') === 'true'")


LOADED = {
    **{"events": ".rows a", "mail": ".rows a", "dead-letters": ".foot .empty", "rejected": ".rejection"},
    **{"deliveries": ".rows li", "destinations": ".destination", "sources": ".destination", "map": ".map a.route"},
    **{"sheets": ".sheets p", "subscribers": ".empty"},
}
"""What each section shows once its data has arrived. No dead letter is kept."""


async def test_every_section_fits_a_narrow_window(stack: Stack, page: Page) -> None:
    assert send(stack, {"event": "signup.created", "name": "Joan", "mail": "joan@example.com"}) == 200
    assert send(stack, {"event": "signup.created"}, password="another-password-altogether") == 401
    await event_shown(page, "joan@example.com", "Delivered")
    await page.look(390, 800)
    await page.until("document.querySelector('.figure')")
    for section, shown in LOADED.items():
        await page.run(f"location.hash = '#/{section}'")
        await page.until(f"document.querySelector('main.view-{section} :is({shown})')")
        assert await page.run("document.documentElement.scrollWidth <= window.innerWidth") is True
        assert not re.search(r"undefined|NaN|\bnull\b", await page.text("body"))
