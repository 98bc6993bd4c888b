"""`hookchain release DESTINATION`: deliver what is held for it, once its fault is fixed."""

import argparse
import asyncio
import time
from contextlib import AbstractAsyncContextManager

from deploy.cli.command import DONE, parser, run_command
from deploy.config.checkout import ROOT, environ_with
from deploy.config.configured import config_path
from deploy.platforms.choice import add_platform, add_state, open_platform
from deploy.terminal.command_error import CommandError
from deploy.terminal.printing import count_of
from shared.did_you_mean import did_you_mean
from shared.ledger import Ledger


def main(arguments: list[str]) -> int:
    codes = "0 released, 1 no such destination or failed, 2 usage error"
    details = "Fix the reason first: `hookchain status` shows it."
    command = parser("release", "hookchain release crm --platform gcp", details=details, exit_codes=codes)
    command.add_argument("destination", metavar="DESTINATION", help="name the destination, as in the configuration")
    command.add_argument("--config", metavar="FILE", help="set the configuration [HOOKCHAIN_CONFIG]")
    add_state(command)
    add_platform(command)
    options = command.parse_args(arguments)
    return run_command("release", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    destination: str = options.destination
    platform = open_platform(options, environ_with(ROOT / ".env"))
    released = asyncio.run(_release(platform.ledger(), destination, options))
    deliveries = count_of(released, "held delivery", "held deliveries")
    held = f"{deliveries} will be sent within {platform.traits.sweep_time}"
    print(f"{destination}: enabled; {held if released else 'no delivery was held'}")
    return DONE


async def _release(opened: AbstractAsyncContextManager[Ledger], destination: str, options: argparse.Namespace) -> int:
    async with opened as ledger:
        if not await ledger.rows(1, destination=destination):
            _require_configured(destination, options)
        return await ledger.release(destination, time.time())


def _require_configured(destination: str, options: argparse.Namespace) -> None:
    """Check the configuration only after the ledger, which may hold deliveries for a destination that was removed."""
    from deploy.config.compiler import read_config  # slow to import, and seldom needed

    environ = environ_with(ROOT / ".env")
    file = read_config(config_path(options, environ), environ)
    destinations = file.document.get("destinations") if isinstance(file.document, dict) else None
    known = destinations if isinstance(destinations, dict) else {}
    if destination not in known:
        hint = did_you_mean(destination, known)
        raise CommandError(f"{file.file} has no destination {destination!r}, and no delivery is held for it{hint}")
