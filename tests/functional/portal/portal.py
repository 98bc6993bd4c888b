"""The portal's page in a browser, with the function behind it, as the tests of the page use it."""

import json
from dataclasses import dataclass, field
from typing import Final

from tests.fakes.portal import FakePortal
from tests.running.chromium import Page

ALL: Final = ("view", "manage", "reveal_secret", "resend")
USUAL: Final = ("view", "manage", "resend")
CONTROL: Final = """(label) => [...document.querySelectorAll('input, select, textarea')].find((control) => {
    const labels = [...control.labels ?? []].map((each) => each.innerText.trim());
    return [control.getAttribute('aria-label'), ...labels].includes(label);
})"""


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
        await self.page.until(
            f"(() => {{ const control = {find}; if (!control) return false;"
            f"control.focus(); control.value = {json.dumps(value)};"
            "for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind, {bubbles: true}));"
            "return true; })()"
        )

    async def shows(self, text: str, within: str = "main") -> None:
        await self.page.until_shown(text, within)

    async def click(self, text: str, selector: str = "button, a, summary, label") -> None:
        await self.page.click(selector, text)

    async def confirm(self, text: str) -> None:
        await self.page.click("dialog button", text)

    async def has(self, text: str) -> bool:
        return text in await self.page.text("main")
