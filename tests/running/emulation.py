"""The emulated cloud APIs as a process of their own, and an endpoint that they push to."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from aiohttp import web

from deploy.dev.pubsub.topology import Resource
from shared.jsontext import Json, JsonObject, mapping_at
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, ROOT

JSON_TYPE: Final = {"Content-Type": "application/json"}


class Emulation:
    """Started, killed and started again on one port and one state folder."""

    def __init__(self, state_folder: Path) -> None:
        self.state_folder = state_folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Its first line on standard output."""
        command = [sys.executable, "-m", "deploy.dev.cloud_apis"]
        command += ["--port", str(self.port), "--state", str(self.state_folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the emulation ended with {self._process.wait(PATIENCE_SECONDS)}"
        return line

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self, number: int = signal.SIGTERM) -> int:
        return self._end(number)

    def ask(self, method: str, path: str, body: Json = None, **headers: str) -> tuple[int, Json]:
        """Status and JSON; None where the body is none."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {**JSON_TYPE, **headers}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                return answer.status, _json(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json(error.read())

    def lay(self, resources: Iterable[Resource]) -> None:
        """Create topics and subscriptions."""
        for each in resources:
            assert self.ask("PUT", f"/v1/{each.name}", each.settings)[0] == 200

    def _end(self, number: int) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.send_signal(number)
        code = self._process.wait(PATIENCE_SECONDS)
        self._process.stdout.close()
        self._process = None
        return code

    @contextlib.contextmanager
    def running(self) -> Iterator["Emulation"]:
        self.start()
        try:
            yield self
        finally:
            if self._process:
                self.stop()


class Endpoint:
    """Keeps what is pushed to it, and answers as `answer` says: the status for each push."""

    def __init__(self) -> None:
        self.pushes: list[JsonObject] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.at: list[float] = []
        self.answer: Callable[[JsonObject], int] = lambda _: 204
        self.url = ""
        self._arrived = asyncio.Event()

    @contextlib.asynccontextmanager
    async def open(self, port: int = 0) -> AsyncIterator["Endpoint"]:
        app = web.Application()
        app.router.add_post("/{tail:.*}", self._take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def wait_for(self, count: int) -> list[JsonObject]:
        return await self.wait_until(lambda: len(self.pushes) >= count)

    async def wait_until(self, holds: Callable[[], bool]) -> list[JsonObject]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not holds():
                await self._arrived.wait()
                self._arrived.clear()
        return self.pushes

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        self.at.append(asyncio.get_running_loop().time())
        push = _json(body)
        self.pushes.append(push if isinstance(push, dict) else {})
        self._arrived.set()
        return web.Response(status=self.answer(self.pushes[-1]))


def message_of(push: JsonObject) -> JsonObject:
    return mapping_at(push, "message")


def attributes_of(push: JsonObject) -> JsonObject:
    return mapping_at(push, "message", "attributes")


def _json(body: bytes) -> Json:
    try:
        document: Json = json.loads(body)
    except ValueError:
        return None
    return document
