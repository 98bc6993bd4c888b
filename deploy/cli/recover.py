"""`hookchain recover SOURCE`: list what a provider could not deliver, and hand it to receive after a question."""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Final

from deploy.cli.command import DONE, EXIT_CODES, NOT_DONE, add_since, parser, run_command
from deploy.cli.hooks import Call, token_of
from deploy.config.configured import add_configuration, configured
from deploy.platforms.choice import add_platform, add_state, open_platform
from deploy.terminal.command_line import CommandError, CommandParser, UsageError, is_confirmed
from deploy.terminal.output import count_of, printable
from functions.notify.recovery.kind import Missed
from functions.notify.recovery.recovery import (
    HasEvent,
    ProviderFault,
    RecoverySettings,
    Walk,
    begin_walk,
    publish,
    read_recovery_settings,
    unknown,
)
from shared.cloud import platform as cloud_platform
from shared.did_you_mean import did_you_mean
from shared.fetch import Fetch
from shared.jsontext import Json, JsonObject, mappings_at
from shared.ports import Bus
from shared.times import rfc3339

SHOWN: Final = 20
DETAILS: Final = """\
A source needs `recover: {secret: NAME}` in the configuration. The sweep of a deployment recovers what fails from then
on. This command finds what failed before, as long as the provider keeps it: GitHub for 3 days, Square for 28 days and
Stripe for 30 days.

It prints what it found, and asks before it hands the events to `receive`. An event that had arrived before is not
delivered again."""
EXAMPLES: Final = """\
  hookchain recover github --since 3d --dry-run
  hookchain recover github --since 3d --platform gcp --yes"""


def main(arguments: list[str]) -> int:
    command = _command()
    command.reject_ignored(arguments, {"--dry-run": ("--yes",)})
    options = command.parse_args(arguments)
    return run_command("recover", lambda: _run(options))


def _command() -> CommandParser:
    command = parser("recover", EXAMPLES, details=DETAILS, exit_codes=EXIT_CODES)
    command.add_argument("source", metavar="SOURCE", help="the source to recover events of")
    add_since(command, "3d")
    command.add_argument("--dry-run", action="store_true", help="print what would be recovered, and do nothing")
    command.add_argument("--yes", action="store_true", help="recover the events without asking")
    command.add_argument(
        "--include-rejected", action="store_true", help="also recover events that the source had rejected with a 4xx"
    )
    add_configuration(command)
    add_platform(command)
    add_state(command)
    return command


def _run(options: argparse.Namespace) -> int:
    configuration = configured(options)
    settings = _settings(configuration.document, configuration.slices["notify"], options.source)
    call = Call(options, configuration, open_platform(options, configuration.environ))
    return asyncio.run(_recover(call, settings, token_of(call, settings.secret)))


def _settings(document: Json, notify: JsonObject, name: str) -> RecoverySettings:
    """Raises UsageError and CommandError."""
    sources = mappings_at(document, "sources")
    if name not in sources:
        raise UsageError(f"there is no source {name!r}{did_you_mean(name, sources)}")
    found = {each.source: each for each in read_recovery_settings(notify)}
    if name not in found:
        missing = "no route takes its events" if sources[name].get("recover") else "it has no `recover`"
        raise CommandError(f"{name}: {missing}, so nothing of it can be recovered")
    return found[name]


async def _recover(call: Call, settings: RecoverySettings, token: str) -> int:
    fetch = cloud_platform.fetch(keeps=False)
    with call.platform.state() as state:

        async def has_event(event_id: str) -> bool:
            return state.reader.event(event_id) is not None

        listing = _walk(call, settings, fetch, token, reads_each=False)
        missed = [each async for found in _steps(listing) for each in await unknown(found, settings, has_event)]
        _print(settings, missed, listing.rejected)
        if call.options.dry_run or not missed:
            return DONE
        if not _is_confirmed(call, len(missed)):
            return NOT_DONE
        async with state.bus() as bus:
            return await _publish(_walk(call, settings, fetch, token, reads_each=True), has_event, bus)


def _walk(call: Call, settings: RecoverySettings, fetch: Fetch, token: str, *, reads_each: bool) -> Walk:
    walk = begin_walk(settings, fetch, token, call.options.since, time.time())
    walk.includes_rejected = call.options.include_rejected
    walk.reads_each = reads_each
    return walk


async def _steps(walk: Walk) -> AsyncIterator[Sequence[Missed]]:
    """Yield what each request finds, until none is left. Raises CommandError."""
    while walk.asks:
        try:
            step = await walk.step(time.time())
        except ProviderFault as fault:
            again = f". Run the command again in {fault.pause_seconds:.0f} s" if fault.pause_seconds else ""
            raise CommandError(f"{walk.settings.source}: {fault}{again}") from fault
        yield step.missed
        walk.finish(step)


def _print(settings: RecoverySettings, missed: Sequence[Missed], rejected: int) -> None:
    kind = settings.kind
    which = f"of {kind.title} that have not arrived" if kind.lists_others else f"that {kind.title} could not deliver"
    print(f"{settings.source}: {count_of(len(missed), 'event')} {which}")
    for each in sorted(missed, key=lambda each: -each.at)[:SHOWN]:  # the newest first
        answered = f"  rejected with {each.rejected_status}" if each.rejected_status else ""
        print(printable(f"  {rfc3339(each.at)[:19]}Z  {each.type}  {each.id}{answered}"))
    if len(missed) > SHOWN:
        print(f"  and {len(missed) - SHOWN:,} older ones")
    if rejected:
        print(f"  {count_of(rejected, 'event')} that the source rejected: not recovered without --include-rejected")


def _is_confirmed(call: Call, count: int) -> bool:
    question = f"Recover {count_of(count, 'event')}? [y/N]"
    return call.options.yes or is_confirmed(question, "Nothing was recovered.", "To do it, add --yes.")


async def _publish(walk: Walk, has_event: HasEvent, bus: Bus) -> int:
    recovered = 0
    too_large: list[Missed] = []
    async for missed in _steps(walk):
        publication = await publish(missed, walk.settings, has_event, bus)
        recovered += len(publication.recovered)
        too_large += publication.too_large
    note = "Those that had arrived are not delivered again"
    print(f"{walk.settings.source}: {count_of(recovered, 'event')} recovered. {note}.")
    for each in too_large:
        print(f"  {printable(each.id)} is too large for the bus: deliver it again in the settings of the provider")
    return NOT_DONE if too_large else DONE
