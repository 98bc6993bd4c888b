"""A receiver outside the pipe, which notes when each delivery was there and when its answer was written.

`python -m tests.stand_ins.outside_receiver mail|webhook|chat PORT FILE` speaks SendGrid's /v3/mail/send, takes a
webhook whose body has an `id`, or answers as Slack's incoming webhooks do. Each line of FILE is an arrival: its id is
the mail's subject, the webhook's `id` or the message's text; its times are those of the monotonic clock, which all
processes of a machine share. While it hangs, it takes requests and never answers them; these are no arrivals. A GET is
answered with an empty object.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from tests.kill.checker import Arrival
from tests.running.ports import free_port
from tests.running.processes import PATIENCE_SECONDS, ROOT, is_open, wait_for

SLOWEST_SECONDS: Final = 0.1
"""Some answers take this long, so that a disturbance has something to strike."""


@dataclass(frozen=True, slots=True)
class Manner:
    """The path of a receiver, the member of its requests that has the id, and its answer."""

    path: str
    member: str
    status: int
    body: bytes = b""


MANNERS: Final[Mapping[str, Manner]] = {
    "mail": Manner("/v3/mail/send", "subject", 202),
    "webhook": Manner("/in", "id", 200),
    "chat": Manner("/services/T1/B1/kill", "text", 200, b"ok"),
}


class OutsideReceiver:
    """The process, as its starter sees it."""

    def __init__(self, name: str, port: int, file: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}{MANNERS[name].path}"
        self._file = file
        self._hangs = hanging_file(file)

    def hang(self) -> None:
        self._hangs.touch()

    def answer_again(self) -> None:
        self._hangs.unlink(missing_ok=True)

    def arrivals(self) -> list[Arrival]:
        return [Arrival(*json.loads(line)) for line in self._file.read_text(encoding="utf-8").splitlines()]


@contextlib.contextmanager
def receiving(name: str, file: Path) -> Iterator[OutsideReceiver]:
    port = free_port()
    file.touch()
    command = [sys.executable, "-m", "tests.stand_ins.outside_receiver", name, str(port), str(file)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(lambda: is_open(port))
        yield OutsideReceiver(name, port, file)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def hanging_file(file: Path) -> Path:
    """Return the file that is there while the receiver hangs."""
    return file.with_name(f"{file.name}.hangs")


async def serve(manner: Manner, port: int, file: Path) -> None:
    chance, hangs = random.Random(port), hanging_file(file)

    async def look_up(_: web.Request) -> web.StreamResponse:
        if hangs.exists():
            await asyncio.Event().wait()
        return web.json_response({})

    with file.open("a", encoding="utf-8", buffering=1) as lines:

        async def take(request: web.Request) -> web.StreamResponse:
            document = await request.json()
            if hangs.exists():
                await asyncio.Event().wait()
            arrived_at = time.monotonic()
            await asyncio.sleep(chance.uniform(0, SLOWEST_SECONDS))
            headers = {"Content-Length": str(len(manner.body)), "X-Message-Id": "taken"}
            answer = web.StreamResponse(status=manner.status, headers=headers)
            # The sender may be gone by now: the delivery has arrived all the same.
            with contextlib.suppress(ConnectionError):
                await answer.prepare(request)
                await answer.write_eof(manner.body)
            lines.write(json.dumps([str(document[manner.member]), arrived_at, time.monotonic()]) + "\n")
            return answer

        app = web.Application()
        app.router.add_post(manner.path, take)
        app.router.add_get(manner.path, look_up)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    name, port_text, path = sys.argv[1:]
    asyncio.run(serve(MANNERS[name], int(port_text), Path(path)))
