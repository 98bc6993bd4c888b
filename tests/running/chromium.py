"""Headless Chromium, driven over its own protocol: enough to use a page as a person does, and nothing to install.

https://chromedevtools.github.io/devtools-protocol/
"""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from shared.jsontext import Json, JsonObject, mapping_at
from tests.running.processes import PATIENCE_SECONDS

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "Chromium", "Google Chrome")
# What it answers about a script whose page was left or loaded again meanwhile.
LEFT: Final = ("Inspected target navigated or closed", "Execution context was destroyed", "Cannot find context")
# Its own services are looked up at every start, which a machine without a network waits for.
FLAGS: Final = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def chromium_or_skip() -> str:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("Chromium is not here: apt-get install chromium")
    return found


class ScriptFault(Exception):
    """A script in the page threw."""


class PageLeft(ScriptFault):
    """The page was left while the script ran."""


class Page:
    """One tab. `faults` are the errors that the page logged, so that a test can ask that there are none."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._waiting: dict[int, asyncio.Future[JsonObject]] = {}
        self.faults: list[str] = []

    async def listen(self) -> None:
        async for frame in self._socket:
            document = mapping_at(json.loads(frame.data))
            number = document.get("id")
            if isinstance(number, int) and number in self._waiting:
                future = self._waiting.pop(number)
                if not future.done():  # whoever waited may have given up
                    future.set_result(document)
            elif document.get("method") in {"Runtime.exceptionThrown", "Log.entryAdded"}:
                self._note(document)

    async def ask(self, method: str, **parameters: Json) -> JsonObject:
        self._number += 1
        future: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._waiting[self._number] = future
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        document = await asyncio.wait_for(future, PATIENCE_SECONDS)
        if "error" in document:
            left = any(text in str(document["error"]) for text in LEFT)
            raise (PageLeft if left else ScriptFault)(f"{method}: {document['error']}")
        return mapping_at(document["result"])

    async def run(self, script: str) -> Json:
        """The value of an expression; a promise is awaited."""
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise ScriptFault(f"{script}: {answer['exceptionDetails']}")
        result = mapping_at(answer["result"])
        return result.get("value")

    async def open(self, url: str) -> None:
        await self.ask("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def reload(self) -> None:
        await self.run("window.loadedBefore = true")
        await self.ask("Page.reload")
        await self.until("window.loadedBefore === undefined && document.readyState === 'complete'")

    async def until(self, condition: str) -> None:
        """Raises TimeoutError, which says what the page showed."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await self._holds(condition):
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            shown = await self.run("document.body.innerText")
            raise TimeoutError(f"never true: {condition}\nfaults: {self.faults}\nthe page shows:\n{shown}") from error

    async def _holds(self, condition: str) -> bool:
        try:
            return bool(await self.run(f"Boolean({condition})"))
        except PageLeft:
            return False

    async def until_shown(self, text: str, within: str = "body") -> None:
        await self.until(
            f"document.querySelector({json.dumps(within)})?.innerText.includes({json.dumps(text)}) ?? false"
        )

    async def until_count(self, count: int, selector: str) -> None:
        await self.until(f"document.querySelectorAll({json.dumps(selector)}).length === {count}")

    async def text(self, selector: str) -> str:
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def click(self, selector: str, text: str = "") -> None:
        """The first element of the selector, or the first that holds the text."""
        holds = f"(element) => element.innerText.includes({json.dumps(text)})"
        find = f"[...document.querySelectorAll({json.dumps(selector)})].find({holds})"
        # Found and clicked by one script: a page that is drawn anew in between has another element.
        await self.until(f"(() => {{ const found = {find}; found?.click(); return found; }})()")

    async def press(self, *keys: str) -> None:
        for key in keys:
            text = key if len(key) == 1 else "\r" if key == "Enter" else ""
            code = {"Enter": 13, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "Tab": 9}.get(key, 0)
            parameters: JsonObject = {"key": key, "windowsVirtualKeyCode": code}
            await self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **parameters)
            await self.ask("Input.dispatchKeyEvent", type="keyUp", **parameters)

    async def type(self, text: str) -> None:
        await self.ask("Input.insertText", text=text)

    async def look(self, width: int, height: int, scheme: str = "light") -> None:
        """The window's size, and the colours the person prefers."""
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def _note(self, document: JsonObject) -> None:
        parameters = mapping_at(document["params"])
        entry = parameters.get("entry")
        if not isinstance(entry, dict):
            self.faults.append(json.dumps(parameters)[:500])
        elif entry.get("level") == "error":
            self.faults.append(f"{entry.get('text')} {entry.get('url', '')}")


@asynccontextmanager
async def chromium_page(program: str, profile: Path) -> AsyncIterator[Page]:
    """`profile` is an empty folder."""
    # A browser that root starts refuses to run in its sandbox.
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--user-data-dir={profile}"]
    # Its sockets are in there: their paths may have about 100 characters. It leaves the folder behind.
    own = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
    process = await asyncio.create_subprocess_exec(
        program,
        *flags,
        "about:blank",
        env=os.environ | {"TMPDIR": own.name},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        address = await _address(profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://{address}/json") as answer:
                tabs: list[JsonObject] = await answer.json()
            url = next(str(tab["webSocketDebuggerUrl"]) for tab in tabs if tab["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as socket:
                page = Page(socket)
                listening = asyncio.create_task(page.listen())
                for domain in ("Page", "Runtime", "Log"):
                    await page.ask(f"{domain}.enable")
                try:
                    yield page
                finally:
                    listening.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await listening
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        own.cleanup()


async def _address(port_file: Path) -> str:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (port_file.is_file() and port_file.read_text().count("\n")):
            await asyncio.sleep(0.05)
    return f"127.0.0.1:{port_file.read_text().splitlines()[0]}"
