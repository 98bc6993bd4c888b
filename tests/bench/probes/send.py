"""Print the microseconds of CPU to send a signed webhook, first as the engine does, then by requests: `send.py URL`."""

import json
import statistics
import sys
import time
from typing import Final

import requests
import uvloop

from shared.fetch import Outgoing
from shared.outgoing.guarded_fetch import GuardedFetch

ROUNDS: Final = 5
REQUESTS: Final = 200
BODY: Final = json.dumps({"event": "order.created", "id": "1", "note": "x" * 100}).encode()


def main(url: str) -> list[float]:
    own = statistics.median(uvloop.run(_guarded(url)) for _ in range(ROUNDS))
    return [own, statistics.median(_by_requests(url) for _ in range(ROUNDS))]


def _headers(number: int) -> dict[str, str]:
    return {
        "content-type": "application/json",
        "webhook-id": f"{number:032x}",
        "webhook-timestamp": "1790000000",
        "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    }


async def _guarded(url: str) -> float:
    fetch = GuardedFetch()
    began = time.process_time()
    for number in range(REQUESTS):
        request = Outgoing("POST", url, tuple(_headers(number).items()), BODY, allow_private=True)
        assert (await fetch.fetch(request)).status == 200
    spent = time.process_time() - began
    fetch.close()
    return spent * 1_000_000 / REQUESTS


def _by_requests(url: str) -> float:
    began = time.process_time()
    for number in range(REQUESTS):
        assert requests.post(url, data=BODY, headers=_headers(number), timeout=10).status_code == 200
    return (time.process_time() - began) * 1_000_000 / REQUESTS


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
