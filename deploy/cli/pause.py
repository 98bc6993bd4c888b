"""`hookchain pause`, `resume` and `release`: stop the deliveries to a destination, and let them continue.

A destination is stopped in two ways. The ledger pauses it until a time, by `pause --for` or by its circuit breaker, and
then its deliveries wait. Or the ledger disables it, by `pause` without a time or by notify after an outcome that
needs an operator, and then they are held until `resume`.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from deploy.cli.command import DONE, duration_option, parser, run_command
from deploy.config import configured, running_dev
from deploy.history import local, resumption, state as history_state
from deploy.platforms.choice import add_platform, add_state, audited_action, is_local, open_platform, same_state
from deploy.platforms.platform import Traits
from deploy.terminal import command_line, output
from shared import delivery, jsontext, times
from shared.did_you_mean import did_you_mean
from shared.ledger import PAUSED_BY_OPERATOR, Ledger

CACHE_TIME: Final = f"{resumption.NOTICE_SECONDS:.0f} s"
"""The time for which notify may still use an older state of a destination, as text."""


class Stop(NamedTuple):
    """The reason why a destination takes nothing, and whether an operator stopped it: then nothing is to be fixed."""

    reason: str
    is_by_operator: bool


class ActedDestination:
    """The destination of a deployment on which an action acts, by its name in the configuration.

    options  those of the action, which are its further arguments
    ledger   the open ledger of the deployment
    traits   those of the platform
    where    the options that another command needs to reach the same deployment, such as ` --platform gcp`
    noticed  the text that says when the running functions know of a change
    """

    def __init__(self, options: argparse.Namespace, ledger: Ledger, traits: Traits) -> None:
        self.options = options
        self.name: str = options.destination
        self.ledger = ledger
        self.traits = traits
        self.where = same_state(options)
        self._is_running = not traits.is_local or local.running_ports(options.state) is not None
        self.noticed = f"within {CACHE_TIME}" if self._is_running else "now"

    def outlook(self, delay_seconds: float = 0.0) -> str:
        """Return what happens to deliveries that are due after `delay_seconds`, as the end of a sentence."""
        when = (
            f"within {output.rough_duration(self.traits.sweep_seconds + delay_seconds)}"
            if self._is_running
            else f"once `{running_dev.command_of(self.options.state)}` runs"
        )
        if not self._was_removed():
            return f"will be attempted {when}"
        replay = f"`hookchain dead-letters replay --destination {self.name}{self.where}`"
        missing = f"the configuration has no destination {history_state.configured_name(self.name)!r}"
        return f"will be dead-lettered {when}, because {missing}; to deliver them, add it again, then run {replay}"

    def _was_removed(self) -> bool:
        """Return whether the configuration that this machine served last lacks the destination.

        What a cloud serves is not known here.
        """
        served = local.read_slice(self.options.state, "notify") if self.traits.is_local else None
        destinations = jsontext.mapping_at(served, "destinations")
        return bool(destinations) and history_state.configured_name(self.name) not in destinations

    async def stop(self, now: float) -> Stop | None:
        """Return why the destination takes nothing now; None if nothing stops it."""
        state = await self.ledger.destination_state(self.name)
        if state.disabled_reason is not None:
            return Stop(state.disabled_reason, PAUSED_BY_OPERATOR in state.disabled_reason)
        if state.paused_until is not None and state.paused_until > now:
            reason = f": {state.pause_reason}" if state.pause_reason else ""
            text = f"paused until {times.rfc3339(state.paused_until)}{reason}"
            return Stop(text, PAUSED_BY_OPERATOR in (state.pause_reason or ""))
        return None

    def released_line(self, released: int) -> str:
        """Return what happens to the deliveries that were released, whose number this is."""
        deliveries = output.count_of(released, "held delivery", "held deliveries")
        return f"{deliveries} {self.outlook()}" if released else "no delivery was held"


class ActionResult(NamedTuple):
    """The result of an action: the line to print, and how many deliveries it made due."""

    text: str
    deliveries: int = 0


Act = Callable[[ActedDestination], Awaitable[ActionResult]]
"""A function that acts on the destination. It raises CommandError, before it has changed anything."""


def destination_parser(name: str, *, is_optional: bool = False) -> argparse.ArgumentParser:
    """Return the parser of an action on a destination. `is_optional`: the destination may be left out."""
    command = parser(name)
    name_help = "name the destination, as in the configuration"
    command.add_argument("destination", metavar="DESTINATION", nargs="?" if is_optional else None, help=name_help)
    configured.add_configuration(command)
    add_state(command)
    add_platform(command)
    return command


def run_on_destination(name: str, options: argparse.Namespace, act: Act) -> int:
    """Act on the destination, print the result after its name, and return the exit code."""
    return run_command(name, lambda: _run(name, options, act))


def _run(name: str, options: argparse.Namespace, act: Act) -> int:
    print(f"{options.destination}: {act_on_destination(name, options, act, f'hookchain {name}').text}")
    return DONE


def act_on_destination(name: str, options: argparse.Namespace, act: Act, tool: str) -> ActionResult:
    """Act on a destination, and leave audit records. `name` is the action's name, and `tool` the operator's tool.

    A destination that the configuration has lost can be acted on as long as the ledger has deliveries for it. Raises
    HookchainError, and CommandError, also for a destination that does not exist.
    """
    seconds = getattr(options, "seconds", None)
    what = f"{name} {options.destination}" + (f" for {seconds:g} s" if seconds is not None else "")
    environ = configured.environ_of(options)
    platform = open_platform(options, environ)

    async def run_action() -> ActionResult:
        async with platform.ledger() as ledger:
            with audited_action(options, tool, what) as action:
                # Rows with this name belong to routes that wait, so they prove nothing about a destination.
                is_name_of_routes = options.destination == delivery.ROUTE_ITSELF
                if is_name_of_routes or not await ledger.rows(1, destination=options.destination):
                    _require_configured(options, environ)
                action.count = None  # if it fails midway, a part of the deliveries may be due
                try:
                    result = await act(ActedDestination(options, ledger, platform.traits))
                except command_line.CommandError:
                    action.count = 0  # it was rejected before it changed anything
                    raise
                action.count = result.deliveries
                return result

    return asyncio.run(run_action())


def _require_configured(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    """Raise CommandError unless the configuration has the destination, and ConfigFaults for a faulty configuration."""
    # Imported here, because it is slow to import and seldom needed.
    from deploy.config.compiler import read_config

    file = read_config(configured.config_path(options, environ), environ)
    known = jsontext.mapping_at(file.document, "destinations")
    if (name := options.destination) not in known:
        raise command_line.CommandError(
            f"{file.file} has no destination {name!r}, and no delivery is held for it{did_you_mean(name, known)}"
        )


# Pause


PAUSE_TIME: Final = duration_option("1s", "365d")
"""The type of --for."""


def pause(arguments: list[str]) -> int:
    command = destination_parser("pause")
    command.add_argument(
        "--for", metavar="TIME", dest="seconds", type=PAUSE_TIME, help="pause for a time such as 30m, 2h or 1d"
    )
    return run_on_destination("pause", command.parse_args(arguments), pause_destination)


async def pause_destination(destination: ActedDestination) -> ActionResult:
    """Pause the destination: for `seconds` of the options, or until it is resumed if they are None.

    Raises CommandError if it is disabled or paused by an operator already.
    """
    now = time.time()
    resume_advice = f"to resume it: `hookchain resume {destination.name}{destination.where}`"
    state = await destination.ledger.destination_state(destination.name)
    if state.disabled_reason is not None:
        raise command_line.CommandError(
            f"{destination.name} is already paused or disabled: {state.disabled_reason}; {resume_advice}"
        )
    if (seconds := destination.options.seconds) is None:
        await destination.ledger.disable(destination.name, PAUSED_BY_OPERATOR, now)
        return ActionResult(f"paused {destination.noticed}; {resume_advice}")
    await destination.ledger.pause(destination.name, now + seconds, now, PAUSED_BY_OPERATOR)
    return ActionResult(f"paused {destination.noticed}, until {times.rfc3339(now + seconds)}; {resume_advice}")


# Resume


def resume(arguments: list[str]) -> int:
    command = destination_parser("resume", is_optional=True)
    command.add_argument("--all", action="store_true", help="start all deliveries after `hookchain restore`")
    options = command.parse_args(arguments)
    has_name = options.destination is not None
    if (has_name and options.all) or not (has_name or options.all):
        command.error("name a destination, or give --all")
    if options.all and not is_local(options):
        command.error("--all: needs this machine; a cloud has no `hookchain restore`")
    if options.all:
        return run_command("resume", lambda: _resume_all(options))
    return run_on_destination("resume", options, resume_destination)


def _resume_all(options: argparse.Namespace) -> int:
    """Let `hookchain serve` start the deliveries that a restore has paused. Raises CommandError and OSError."""
    state: Path = options.state
    if not running_dev.is_paused(state):
        raise command_line.CommandError(f"{state} is not paused by a restore. To resume a destination, name it")
    with audited_action(options, "hookchain resume", "resume all destinations"):
        (state / running_dev.PAUSE_FILE).unlink()
    is_running = local.running_ports(state) is not None
    when = "within a few seconds" if is_running else "once `hookchain serve` runs"
    print(f"All deliveries start {when}, except those to destinations that are paused themselves")
    return DONE


async def resume_destination(destination: ActedDestination) -> ActionResult:
    """Resume the destination, and make due what waits for it. Raises CommandError if only held deliveries are left.

    Deliveries that the destination may have accepted stay held: only `release` sends them.
    """
    now = time.time()
    is_stopped = await destination.stop(now) is not None
    if not is_stopped and await destination.ledger.rows(1, destination=destination.name, state="held"):
        release_command = f"`hookchain release {destination.name}{destination.where}`"
        raise command_line.CommandError(
            f"{destination.name} is not paused. To send what is held for it, run {release_command}"
        )
    resumed = await resumption.resume_destination(destination.ledger, destination.name, now)
    if not is_stopped and not resumed.hastened and not resumed.keep_waiting:
        return ActionResult("not paused: nothing to do")
    texts = ["resumed" if is_stopped else "it was not paused"]
    count = resumed.released + resumed.hastened
    if count or not (resumed.stays_held or resumed.keep_waiting):
        texts.append(_deliveries(resumed, destination.outlook(resumed.delay_seconds)))
    if resumed.keep_waiting:
        waiting = output.count_of(resumed.keep_waiting, "delivery keeps its own wait", "deliveries keep their own wait")
        reasons = "such as for a digest or after an unknown result"
        texts.append(f"{waiting}, {reasons}: `hookchain status{destination.where}`")
    if resumed.stays_held:
        release_command = f"`hookchain release {destination.name}{destination.where}`"
        texts.append(f"deliveries that may have been accepted stay held; to send them: {release_command}")
    return ActionResult("; ".join(texts), count)


def _deliveries(resumed: resumption.Resumed, outlook: str) -> str:
    counts = (
        (resumed.released, "held delivery", "held deliveries"),
        (resumed.hastened, "waiting delivery", "waiting deliveries"),
    )
    found = " and ".join(output.count_of(count, one, many) for count, one, many in counts if count)
    return f"{found} {outlook}" if found else "no delivery was held or waiting"


# Release


def release(arguments: list[str]) -> int:
    command = destination_parser("release")
    return run_on_destination("release", command.parse_args(arguments), release_destination)


async def release_destination(destination: ActedDestination) -> ActionResult:
    """Make due what is held for the destination, also what it may have accepted already.

    Raises CommandError if the destination is paused or disabled, because its deliveries would be held again.
    """
    now = time.time()
    if stop := await destination.stop(now):
        resume_advice = f"run `hookchain resume {destination.name}{destination.where}`"
        advice = resume_advice if stop.is_by_operator else f"fix that first, then {resume_advice}"
        raise command_line.CommandError(f"{destination.name} is paused or disabled: {stop.reason}; {advice}")
    released = await destination.ledger.release(destination.name, now, releases_unknown=True)
    return ActionResult(destination.released_line(released), released)
