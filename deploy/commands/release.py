"""`hookchain release DESTINATION`: what was held for it goes out, now that its fault is mended."""

import asyncio
import os
import time

from deploy.cli import parser
from shared.cloud.local.ledger import LocalLedger
from shared.settings import read_settings


def main(arguments: list[str]) -> int:
    words = parser("release")
    words.add_argument("destination", help="its name in the configuration")
    destination: str = words.parse_args(arguments).destination
    released = asyncio.run(_release(destination))
    plural = "delivery" if released == 1 else "deliveries"
    print(f"{destination}: enabled; {released} {plural} held for it will go out within seconds")
    return 0


async def _release(destination: str) -> int:
    ledger = LocalLedger(read_settings(os.environ).state_folder / "ledger.db")
    try:
        return await ledger.release(destination, time.time())
    finally:
        await ledger.close()
