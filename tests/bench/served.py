"""Measure what `hookchain serve` carries on this machine: `python -m tests.bench.served [EVENTS]`.

Each event has a body of about 1 KiB, is verified by its token, routed, and delivered to one webhook. The
sender and the receiver run on the same machine and share its processors.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.bench.cpu import resident_mib
from tests.bench.load import drive, http_post
from tests.running.processes import Request
from tests.running.stack import running
from tests.stand_ins.outside_receiver import receiving

KEY: Final = "a-long-key-of-the-shop"
CONFIG: Final = """\
sources:
  shop: {auth: {scheme: bearer, secret: shop-key}, id: data.id}
routes:
  - {name: all, from: shop, to: crm}
destinations:
  crm: {webhook: {url: "URL", allow_private: true}}
"""
FILL: Final = "x" * 950
MILLION: Final = 1_000_000


def main(events: int) -> None:
    with tempfile.TemporaryDirectory() as name, receiving("webhook", Path(name, "arrivals")) as crm:
        with running(Path(name), CONFIG.replace("URL", crm.url), {"SHOP_KEY": KEY}, serves=True) as stack:
            idle_mib = resident_mib(stack.pid)
            headers = {"Authorization": f"Bearer {KEY}"}
            bodies = (f'{{"event": "order.paid", "id": {number}, "fill": "{FILL}"}}' for number in range(events))
            requests = [http_post(Request("/shop", body.encode(), headers)) for body in bodies]
            began = time.monotonic()
            load = drive(stack.base, requests)
            while len(crm.arrivals()) < events:
                time.sleep(0.2)
            seconds = time.monotonic() - began
            busy_mib = resident_mib(stack.pid)
        # After the stop, each database is one file.
        size = sum(path.stat().st_size for path in stack.state.rglob("*") if path.is_file() and path.suffix == ".db")
    print(f"accepted: {load.per_second:,.0f} events/s, p50 {load.p50_ms:.0f} ms, p99 {load.p99_ms:.0f} ms")
    print(f"rejected or failed: {load.failed}")
    print(f"accepted and delivered: {events / seconds:,.0f} events/s")
    print(f"disk: {size / events * MILLION / 1e9:.2f} GB for a million events")
    print(f"memory: {idle_mib:.0f} MiB idle, {busy_mib:.0f} MiB after {events:,} events")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
