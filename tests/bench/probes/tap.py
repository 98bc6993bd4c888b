"""Print the CPU that `develop` adds to an event in transform while nobody listens, in microseconds: `tap.py DATA`.

The network is left out.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from functions.receive.events import build_events
from functions.receive.source import read_sources
from functions.transform.program import read_program
from functions.transform.tap import Tap
from functions.transform.transform import Transformer
from shared.cloud.platform import SystemClock
from shared.event import event_json
from shared.http import Request
from shared.jsontext import Json, from_json
from shared.ports import BusMessage
from shared.push import Push
from shared.store_ports import Document, Documents

ROUNDS: Final = 7
EVENTS: Final = 10_000
"""A turn takes so many: some machines count CPU in steps of 4 ms."""
NAME: Final = "github"
HEADERS: Final = (
    ("host", "hooks.example.com"),
    ("user-agent", "GitHub-Hookshot/044aadd"),
    ("content-type", "application/json"),
    ("x-github-event", "push"),
    ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
    ("x-hub-signature-256", f"sha256={'0' * 64}"),
)


class Bus:
    max_delay_seconds = 0.0

    async def publish(self, topic: str, messages: Sequence[BusMessage]) -> None: ...


class NoLeases(Documents):
    async def page(self, *_: object) -> Sequence[Document]:
        return ()


def message(body: bytes, keep_raw: str) -> bytes:
    auth: Json = {"scheme": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256=", "secret": "key"}
    settings: Json = {"auth": [auth], "methods": ["POST"], "max_body_bytes": 2**20, "keep_raw": keep_raw}
    [source] = read_sources({"sources": {NAME: settings}}).values()
    request = Request("POST", f"/{NAME}", headers=HEADERS, body=body)
    [event] = build_events(source, request, from_json(body), time.time(), lambda: "0" * 32)
    return event_json(event, body)


def transformer(tap: Tap | None) -> Transformer:
    steps: Json = [{"drop": ["data.password"]}, {"set": {"data.team": "north"}}]
    routes = read_program({"routes": [{"name": "all", "steps": steps, "to": ["crm"]}]}).routes
    return Transformer(routes, Bus(), None, None, SystemClock(), tap=tap, kept_parts={})


def taking(data: bytes, tap: Tap | None, runner: asyncio.Runner) -> Callable[[], None]:
    own, attributes = transformer(tap), {"ce-source": f"/sources/{NAME}"}

    async def take_all() -> None:
        for _ in range(EVENTS):
            await own.take(Push(data, attributes, "m1"))  # a new one, because it keeps what was decoded

    return lambda: runner.run(take_all())


def difference(work: Callable[[], None], other: Callable[[], None]) -> float:
    """Return the median by which an event costs more in `work`, in microseconds. Both take turns."""
    return statistics.median(spent(work) - spent(other) for _ in range(ROUNDS)) * 1_000_000 / EVENTS


def spent(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main(body: bytes) -> float:
    with asyncio.Runner() as runner:
        tap = Tap({NAME}, None, NoLeases, Bus(), str, None, SystemClock())
        with_tap, without = taking(message(body, "all"), tap, runner), taking(message(body, "no"), None, runner)
        return difference(with_tap, without)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]).read_bytes()))
