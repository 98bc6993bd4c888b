"""The receivers of a thousand endpoints, in one process: `python -m tests.bench.receivers PORT`.

The first part of the path decides on the answer: at once (`/ok/…`, `/fail/…` with 500, `/away/…` with 503), after a
second (`/slow/…`), a byte a second (`/drip/…`), never (`/mute/…`), or the connection closes (`/close/…`). `/again/…`
answers the first request of an event with 503, and notes only those after it. `/lists/…` is Stripe's list of events,
which always has more pages. `/counts` has the number of different deliveries for each of the rest. `/times` has the
times at which each event arrived, by the id in its body: seconds of the monotonic clock, which all processes of a
machine share.
"""

import asyncio
import json
import re
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

SLOW_SECONDS: Final = 1.0
DRIP_SECONDS: Final = 1.0
EVENT_ID: Final = re.compile(rb"(?:quiet|loud)-[0-9]+")
"""The ids of events whose arrivals are noted."""
LISTED_EVENTS: Final = 100
"""On a page. A tenth of them is wanted."""
WANTED_TYPE: Final = "invoice.paid"
_LISTED_AGE_SECONDS: Final = 600
_TEXT: Final = "x" * 1_500
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_REJECTIONS: Final = {"fail": b"500 Internal Server Error", "away": b"503 Service Unavailable"}


class Receivers(asyncio.Protocol):
    ids: Final[dict[str, set[bytes]]] = defaultdict(set)
    times: Final[dict[str, list[float]]] = defaultdict(list)
    refused: Final[set[str]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head, after = self._pending[:end], end + 4 + int(_header(self._pending[:end], b"content-length") or 0)
            if len(self._pending) < after:
                return
            body = self._pending[end + 4 : after]
            self._pending = self._pending[after:]
            self._take(head, body)

    def _take(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        _, kind, *rest = path.split("/")
        if kind in ("counts", "times"):
            found = {name: len(ids) for name, ids in self.ids.items()} if kind == "counts" else self.times
            text = json.dumps(found).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
            return
        self.ids["/".join(rest)].add(_header(head, b"webhook-id"))
        found_id = EVENT_ID.search(body)
        event_id = found_id[0].decode() if found_id else ""
        if kind == "again":
            kind = "ok" if event_id in self.refused else "away"
            self.refused.add(event_id)
        if event_id and kind != "away":
            self.times[event_id].append(time.monotonic())
        self._answer(kind)

    def _answer(self, kind: str) -> None:
        """Answer as this kind of receiver does. One that is `mute` does nothing."""
        if kind == "ok":
            self._transport.write(_ANSWER)
        elif kind == "slow":
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._transport.write, _ANSWER)
        elif kind in _REJECTIONS:
            self._transport.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % _REJECTIONS[kind])
        elif kind == "lists":
            self._transport.write(_page(len(self.ids)))
        elif kind == "close":
            self._transport.close()
        elif kind == "drip":
            self._drip(0)

    def _drip(self, at: int) -> None:
        if at < len(_ANSWER) and not self._transport.is_closing():
            self._transport.write(_ANSWER[at : at + 1])
            asyncio.get_running_loop().call_later(DRIP_SECONDS, self._drip, at + 1)


def _page(number: int) -> bytes:
    """Return the answer that has this page of Stripe's list."""
    created = int(time.time()) - _LISTED_AGE_SECONDS
    events = [
        {
            "id": f"evt_{number}_{index}",
            "object": "event",
            "created": created,
            "type": "charge.updated" if index % 10 else WANTED_TYPE,
            "data": {"object": {"description": _TEXT}},
        }
        for index in range(LISTED_EVENTS)
    ]
    body = json.dumps({"object": "list", "data": events, "has_more": True}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def counts(port: int) -> dict[str, int]:
    """Return how many different deliveries the receivers got, by the end of their paths."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=10) as response:
        found: dict[str, int] = json.load(response)
    return found


def arrival_times(port: int) -> Mapping[str, list[float]]:
    """Return when each event arrived, by its id: once for each copy."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/times", timeout=10) as response:
        found: dict[str, list[float]] = json.load(response)
    return found


def _header(head: bytes, name: bytes) -> bytes:
    lines = (line for line in head.split(b"\r\n") if line.lower().startswith(name + b":"))
    return next(lines, b":").partition(b":")[2].strip()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Receivers, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
