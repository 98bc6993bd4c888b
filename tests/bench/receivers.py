"""The receivers of a thousand endpoints, in one process: `python -m tests.bench.receivers PORT`.

By the first part of its path, a request is answered at once (`/ok/…`), after a second (`/slow/…`) or never (`/mute/…`).
`/counts` says how many different deliveries came for each of the rest.
"""

import asyncio
import json
import sys
import urllib.request
from collections import defaultdict
from typing import Final

SLOW_SECONDS: Final = 1.0
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Receivers(asyncio.Protocol):
    ids: Final[dict[str, set[bytes]]] = defaultdict(set)

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
            self._pending = self._pending[after:]
            self._take(head)

    def _take(self, head: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        _, kind, *rest = path.split("/")
        if kind == "counts":
            text = json.dumps({name: len(ids) for name, ids in self.ids.items()}).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
            return
        self.ids["/".join(rest)].add(_header(head, b"webhook-id"))
        if kind == "ok":
            self._transport.write(_ANSWER)
        elif kind == "slow":
            asyncio.get_running_loop().call_later(SLOW_SECONDS, self._transport.write, _ANSWER)


def counts(port: int) -> dict[str, int]:
    """Return how many different deliveries the receivers got, by the end of their paths."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/counts", timeout=10) as response:
        found: dict[str, int] = json.load(response)
    return found


def _header(head: bytes, name: bytes) -> bytes:
    lines = (line for line in head.split(b"\r\n") if line.lower().startswith(name + b":"))
    return next(lines, b":").partition(b":")[2].strip()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Receivers, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
