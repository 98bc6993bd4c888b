"""A mail service of the test's own, which notes when each mail was there and when its answer was written.

`python -m tests.mail_receiver PORT FILE` speaks SendGrid's /v3/mail/send. Each line of FILE is an arrival: its id is
the mail's subject, its times are those of the monotonic clock, which all processes of a machine share.
"""

import asyncio
import contextlib
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from aiohttp import web

from tests.checker import Arrival
from tests.ports import free_bases
from tests.processes import ROOT, is_open, wait_for

SLOWEST_SECONDS: Final = 0.1
"""Some answers take this long, so that a disturbance has something to strike."""
STARTS_WITHIN_SECONDS: Final = 20.0


class MailReceiver:
    """The process, as its starter sees it."""

    def __init__(self, port: int, file: Path) -> None:
        self.port = port
        self._file = file

    def arrivals(self) -> list[Arrival]:
        return [Arrival(*json.loads(line)) for line in self._file.read_text(encoding="utf-8").splitlines()]


@contextlib.contextmanager
def receiving_mail(file: Path) -> Iterator[MailReceiver]:
    port = next(free_bases((0,)))
    file.touch()
    process = subprocess.Popen([sys.executable, "-m", "tests.mail_receiver", str(port), str(file)], cwd=ROOT)
    try:
        wait_for(lambda: is_open(port), STARTS_WITHIN_SECONDS)
        yield MailReceiver(port, file)
    finally:
        process.terminate()
        process.wait(10)


async def serve(port: int, file: Path) -> None:
    chance = random.Random(port)

    with file.open("a", encoding="utf-8", buffering=1) as lines:

        async def take(request: web.Request) -> web.StreamResponse:
            document = await request.json()
            arrived_at = time.monotonic()
            await asyncio.sleep(chance.uniform(0, SLOWEST_SECONDS))
            answer = web.StreamResponse(status=202, headers={"Content-Length": "0", "X-Message-Id": "taken"})
            # The sender may be gone by now: the mail has arrived all the same.
            with contextlib.suppress(ConnectionError):
                await answer.prepare(request)
                await answer.write_eof()
            lines.write(json.dumps([document["subject"], arrived_at, time.monotonic()]) + "\n")
            return answer

        app = web.Application()
        app.router.add_post("/v3/mail/send", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
