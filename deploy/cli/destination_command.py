"""The frame of the commands that act on one destination: pause, resume and release."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from deploy.cli.command import DONE, parser, run_command
from deploy.config.configured import add_configuration, config_path, environ_of
from deploy.history.destinations import NOTICE_SECONDS
from deploy.history.local import running_ports
from deploy.platforms.choice import add_platform, add_state, open_platform, same_platform
from deploy.platforms.platform import Traits
from deploy.terminal.command_error import CommandError
from deploy.terminal.printing import count_of, duration_text
from shared.did_you_mean import did_you_mean
from shared.ledger import Ledger
from shared.times import rfc3339

CACHE_TIME: Final = f"{NOTICE_SECONDS:.0f} s"
"""How long notify may still use what it read about a destination before."""


class Subject:
    """A destination of a deployment. `where` is the options by which another command means the same deployment."""

    def __init__(self, options: argparse.Namespace, ledger: Ledger, traits: Traits) -> None:
        self.options = options
        self.name: str = options.destination
        self.ledger = ledger
        self.traits = traits
        self.where = same_platform(options)
        self._is_running = not traits.is_local or running_ports(options.state) is not None
        self.noticed = f"within {CACHE_TIME}" if self._is_running else "now"

    def attempt_time(self, delay_seconds: float = 0.0) -> str:
        """Return when deliveries are attempted that are due after `delay_seconds`."""
        if not self._is_running:
            return "once `hookchain dev` runs"
        return f"within {duration_text(self.traits.sweep_seconds + delay_seconds)}"

    async def stopped_by(self, now: float) -> str | None:
        """Return why the destination takes nothing now; None if nothing stops it."""
        state = await self.ledger.destination_state(self.name)
        if state.disabled_reason is not None:
            return state.disabled_reason
        if state.paused_until is not None and state.paused_until > now:
            reason = f": {state.pause_reason}" if state.pause_reason else ""
            return f"paused until {rfc3339(state.paused_until)}{reason}"
        return None

    def released_line(self, released: int) -> str:
        deliveries = count_of(released, "held delivery", "held deliveries")
        return f"{deliveries} will be attempted {self.attempt_time()}" if released else "no delivery was held"


Act = Callable[[Subject], Awaitable[str]]
"""Acts on the destination, and returns the line to print. Raises CommandError."""


def destination_parser(name: str, example: str, details: str, done: str) -> argparse.ArgumentParser:
    codes = f"0 {done}, 1 no such destination or failed, 2 usage error"
    command = parser(name, example, details=details, exit_codes=codes)
    command.add_argument("destination", metavar="DESTINATION", help="name the destination, as in the configuration")
    add_configuration(command)
    add_state(command)
    add_platform(command)
    return command


def run_on_destination(name: str, options: argparse.Namespace, act: Act) -> int:
    return run_command(name, lambda: _run(options, act))


def _run(options: argparse.Namespace, act: Act) -> int:
    environ = environ_of(options)
    platform = open_platform(options, environ)

    async def acted() -> str:
        async with platform.ledger() as ledger:
            if not await ledger.rows(1, destination=options.destination):
                _require_configured(options, environ)
            return await act(Subject(options, ledger, platform.traits))

    print(f"{options.destination}: {asyncio.run(acted())}")
    return DONE


def _require_configured(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    """Check the configuration only after the ledger, which may hold deliveries for a destination that was removed."""
    from deploy.config.compiler import read_config  # slow to import, and seldom needed

    file = read_config(config_path(options, environ), environ)
    destinations = file.document.get("destinations") if isinstance(file.document, dict) else None
    known = destinations if isinstance(destinations, dict) else {}
    if (name := options.destination) not in known:
        raise CommandError(
            f"{file.file} has no destination {name!r}, and no delivery is held for it{did_you_mean(name, known)}"
        )
