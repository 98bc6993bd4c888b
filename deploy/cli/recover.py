"""`hookchain recover SOURCE`: list the events that a provider could not deliver, and publish them for receive."""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from heapq import nlargest
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, add_since, parser, run_command
from deploy.cli.registrar import provider_token
from deploy.config.configured import add_configuration, configured
from deploy.platforms.choice import add_platform, add_state, open_platform
from deploy.platforms.platform import Platform
from deploy.terminal import command_line, progress
from deploy.terminal.output import clock, count_of, printable
from functions.notify.recovery import listing as listings, recovery
from functions.notify.recovery.kind import MissedEvent, RecoverySettings
from shared import jsontext, ports
from shared.cloud import platform as cloud_platform
from shared.did_you_mean import did_you_mean
from shared.fetch import Fetch

MAX_PRINTED: Final = 20
"""The events that are printed before the question, the newest ones."""
MAX_ANSWERS: Final = 200_000
"""A listing ends after so many answers: a provider that never ends its list would keep the command busy for ever.
GitHub has one answer for each event."""


def main(arguments: list[str]) -> int:
    command = _command()
    command.reject_ignored(arguments, {"--dry-run": ("--yes",)})
    options = command.parse_args(arguments)
    return run_command("recover", lambda: _run(options))


def _command() -> command_line.CommandParser:
    command = parser("recover")
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
    """Return the exit code of `_recover`. Raises UsageError, CommandError and HookchainError."""
    configuration = configured(options)
    settings = _settings(configuration.document, configuration.slices["notify"], options.source)
    platform = open_platform(options, configuration.environ)
    token = provider_token(settings.secret, configuration.environ, platform)
    return asyncio.run(_recover(options, platform, settings, token))


def _settings(document: jsontext.Json, notify: jsontext.JsonObject, name: str) -> RecoverySettings:
    """Return the source's settings. Raises UsageError if the source is unknown, and CommandError."""
    sources = jsontext.mappings_at(document, "sources")
    if name not in sources:
        raise command_line.UsageError(f"there is no source {name!r}{did_you_mean(name, sources)}")
    settings_by_source = {each.source: each for each in listings.read_recovery_settings(notify)}
    if name not in settings_by_source:
        missing = "no route takes its events" if sources[name].get("recover") else "it has no `recover`"
        raise command_line.CommandError(f"{name}: {missing}, so nothing of it can be recovered")
    return settings_by_source[name]


async def _recover(options: argparse.Namespace, platform: Platform, settings: RecoverySettings, token: str) -> int:
    """List the events, print them and ask, then list them again and publish them. Return the exit code.

    The second listing reads each event, which the first one leaves out, because a provider may need a request for each.

    A dry run returns NOT_DONE only if a request failed. Any other run also does so if it left something else out, or
    if the question is answered with no.
    """
    fetch = cloud_platform.fetch(keeps=False)
    with platform.state() as state:

        async def has_event(event_id: str) -> bool:
            return state.reader.event(event_id) is not None

        listing = _listing(options, settings, fetch, token, reads_each_event=False)
        count = 0
        newest: list[MissedEvent] = []
        async for answer in _answers(listing):
            missed_events = await recovery.without_arrived(answer.missed_events, settings, has_event)
            count += len(missed_events)
            newest = nlargest(MAX_PRINTED, [*newest, *missed_events], key=lambda event: event.happened_at)
        _print(listing, count, newest)
        if options.dry_run:
            has_failed_request = listing.is_partial or bool(listing.failures.in_this_run)
            return NOT_DONE if has_failed_request else DONE
        if not count:
            return NOT_DONE if _is_incomplete(listing) else DONE
        if not _is_confirmed(options, count):
            return NOT_DONE
        async with state.bus() as bus:
            listing = _listing(options, settings, fetch, token, reads_each_event=True)
            return await _publish(listing, has_event, bus)


def _listing(
    options: argparse.Namespace,
    settings: RecoverySettings,
    fetch: Fetch,
    token: str,
    *,
    reads_each_event: bool,
) -> listings.Listing:
    return listings.begin_listing(
        settings,
        fetch,
        token,
        options.since,
        time.time(),
        includes_rejected=options.include_rejected,
        reads_each_event=reads_each_event,
    )


async def _answers(listing: listings.Listing, *, waits: bool = False) -> AsyncIterator[listings.ReadAnswer]:
    """Yield the answer to each request until none is left, and show how many there were.

    An answer is finished when the next one is asked for. So if the caller raises, its events are not passed over.
    Print which request failed, and go on. Raises CommandError if the provider answers no request, and unless it
    `waits`, if the provider wants a pause.
    """
    line = progress.PassingLine(sys.stderr)
    for count in range(MAX_ANSWERS):
        if not listing.has_next:
            break
        line.show(f"{listing.settings.source}: {count_of(count, 'answer')} of {listing.settings.kind.title} read")
        try:
            answer = await listing.read_next(time.time())
        except listings.ProviderFault as fault:
            line.clear()
            if waits and fault.pause_seconds:  # another run would begin again at the newest event
                wait = f"Waiting {fault.pause_seconds:.0f} s. What was recovered stays if you press Ctrl-C"
                print(f"{listing.settings.source}: {fault}. {wait}", file=sys.stderr)
                await _pause(fault.pause_seconds)
                listing.failures.is_stopped = False
                continue
            again = f". Run the command again in {fault.pause_seconds:.0f} s" if fault.pause_seconds else ""
            text = f"{listing.settings.source}: {fault}{again}"
            has_no_answer = not listing.has_next and not listing.answered
            if listing.failures.is_stopped or has_no_answer:
                raise command_line.CommandError(text) from fault
            print(f"{text}. Its events are left out", file=sys.stderr)
            continue
        yield answer
        listing.finish(answer)
    line.clear()


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


def _is_incomplete(listing: listings.Listing) -> bool:
    """Return whether the listing left something out: in a form that is not known, or in answers that were not read."""
    return listing.unreadable_count > 0 or listing.is_partial or bool(listing.requests)


def _print(listing: listings.Listing, count: int, newest: Sequence[MissedEvent]) -> None:
    """Print how many events can be recovered, the newest of them, and what the listing leaves out."""
    settings = listing.settings
    kind = settings.kind
    which = f"of {kind.title} that have not arrived" if kind.lists_all else f"that {kind.title} could not deliver"
    print(f"{settings.source}: {count_of(count, 'event')} {which}")
    for event in newest:
        rejection = f"  rejected with {event.rejected_status}" if event.rejected_status else ""
        print(printable(f"  {clock(event.happened_at)}  {event.type}  {event.id}{rejection}"))
    if count > len(newest):
        print(f"  and {count - len(newest):,} older ones")
    if kind.lists_unsettled:
        minutes = listings.SETTLED_SECONDS / 60
        print(f"  Those of the last {minutes:.0f} minutes may still be on their way: they are not listed")
    _print_rest(listing)
    if listing.rejected_count:
        rejected = count_of(listing.rejected_count, "event")
        print(f"  {rejected} that the source rejected: not recovered without --include-rejected")
    if listing.unreadable_count:
        unreadable = count_of(listing.unreadable_count, "event")
        again = "deliver it again" if listing.unreadable_count == 1 else "deliver them again"
        print(f"  {unreadable} in an unknown form: {again} in the settings of the provider")


def _print_rest(listing: listings.Listing) -> None:
    """Print that the listing ended at its limit, if it did."""
    if listing.has_next:
        print(f"  {listing.settings.kind.title} lists more than {MAX_ANSWERS:,} answers; the rest was not read")


def _is_confirmed(options: argparse.Namespace, count: int) -> bool:
    question = f"Recover {count_of(count, 'event')}? [y/N]"
    return options.yes or command_line.is_confirmed(question, "Nothing was recovered.", "To do it, add --yes.")


async def _publish(listing: listings.Listing, has_event: recovery.HasEvent, bus: ports.Bus) -> int:
    """Publish the listed events, print the result and return the exit code."""
    recovered_count = 0
    too_large: list[MissedEvent] = []
    async for answer in _answers(listing, waits=True):
        publication = await recovery.publish(answer.missed_events, listing.settings, has_event, bus)
        recovered_count += len(publication.recovered)
        too_large += publication.too_large
    note = "Those that had arrived are not delivered again"
    print(f"{listing.settings.source}: {count_of(recovered_count, 'event')} recovered. {note}.")
    for event in too_large:
        print(f"  {printable(event.id)} is too large for the bus: deliver it again in the settings of the provider")
    _print_rest(listing)
    return NOT_DONE if too_large or _is_incomplete(listing) else DONE
