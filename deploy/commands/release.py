"""`hookchain release DESTINATION`: what was held for it goes out, now that its fault is mended."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

from deploy.cli import parser
from deploy.faults import ConfigFaults, did_you_mean
from deploy.local.supervisor.dotenv import DotenvFault, read_dotenv
from shared.cloud.local.ledger import LocalLedger
from shared.errors import HookchainError
from shared.settings import read_settings

ROOT: Final = Path(__file__).resolve().parents[2]


class NoSuchDestination(Exception):
    """Neither the configuration nor the ledger knows it."""


def main(arguments: list[str]) -> int:
    words = parser(
        "release", "exit code: 0 released, 1 where there is no such destination or the ledger cannot be read"
    )
    words.add_argument("destination", help="its name in the configuration")
    words.add_argument("--config", metavar="FILE", help="the configuration (HOOKCHAIN_CONFIG)")
    options = words.parse_args(arguments)
    destination: str = options.destination
    try:
        released = asyncio.run(_release(destination, options.config))
    except (NoSuchDestination, ConfigFaults, DotenvFault, HookchainError) as fault:
        print(f"hookchain release: {fault}", file=sys.stderr)
        return 1
    plural = "delivery" if released == 1 else "deliveries"
    print(f"{destination}: enabled; {released} {plural} held for it will go out within seconds")
    return 0


async def _release(destination: str, config: str | None) -> int:
    ledger = LocalLedger(read_settings(os.environ).state_folder / "ledger.db")
    try:
        if not await ledger.rows(1, destination=destination):
            _require_configured(destination, config)
        return await ledger.release(destination, time.time())
    finally:
        await ledger.close()


def _require_configured(destination: str, config: str | None) -> None:
    """The ledger comes first: it may hold deliveries for what the configuration has no more."""
    from deploy.compiler import choose_config, read_config  # slow to import, and seldom needed

    environ = {**read_dotenv(ROOT / ".env"), **os.environ}
    chosen = {**environ, "HOOKCHAIN_CONFIG": config} if config else environ
    file = read_config(choose_config(chosen, ROOT), environ)
    destinations = file.document.get("destinations") if isinstance(file.document, dict) else None
    known = destinations if isinstance(destinations, dict) else {}
    if destination not in known:
        hint = did_you_mean(destination, known)
        raise NoSuchDestination(f"{file.file} has no destination {destination!r}, and nothing is held for one{hint}")
