"""`hookchain status`: what is running, recent events, backlog, and problems that need an operator."""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from deploy.cli.command import DONE, error_text, parser, run_command
from deploy.cli.secrets import age_text
from deploy.config import config_file, running_dev
from deploy.config.configured import LoadedConfig, add_configuration, configured, environ_of
from deploy.history import destinations, local, source_access, source_health, status as history_status
from deploy.platforms.choice import add_platform, add_state, is_local, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.terminal import output
from deploy.terminal.command_line import CommandError
from shared import errors, jsontext
from shared.cloud import platform as cloud_platform

MAX_GROUPS: Final = 10
"""The number of groups that are shown of each destination."""
LATE_SECONDS: Final = 300.0
"""The age of a waiting message from which on it is marked, because its function is probably stuck."""
_SERVES: Final = "serving"
"""The state of a version that has no trouble."""
_VERSION_COLUMNS: Final = (
    output.Column("RUNS"),
    output.Column("VERSION"),  # never cut: the URL of a page ends with its token
    output.Column("SINCE"),
    output.Column(
        "STATE", 10, colour=lambda text: output.GREEN if text == _SERVES else output.RED, is_whole_in_pipe=True
    ),
)
_SOURCE_COLUMNS: Final[tuple[output.Column, ...]] = (
    output.Column("SOURCE", 8),
    output.Column("LAST EVENT", 11),
    output.Column("AGO"),
    output.Column("LAST DAY"),
)
_HEALTH_COLOURS: Final = {
    "healthy": output.GREEN,
    "quiet": output.YELLOW,
    "failing": output.RED,
    "unregistered": output.RED,
}
"""By `Health.word`. Other words have no colour."""
_HEALTH_COLUMNS: Final = (
    output.Column("HEALTH", colour=lambda text: _HEALTH_COLOURS.get(text, "")),
    output.Column("REGISTERED"),
    output.Column("SECRET"),
    output.Column("USUALLY"),
)
_SILENCE_COLUMN: Final = output.Column("SILENCE", colour=lambda text: output.RED if text.startswith("quiet") else "")
_BACKLOG_COLUMNS: Final = (
    output.Column("SUBSCRIPTION", 12),
    output.Column("WAITING"),
    output.Column("OLDEST", colour=lambda text: output.YELLOW if text.endswith("!") else ""),
)
_STATE_COLOURS: Final = {"delivering": output.GREEN, "paused": output.YELLOW, "disabled": output.RED}
"""The colours by the first word of a destination's state."""
_DESTINATION_COLUMNS: Final = (
    output.Column("DESTINATION", 12),
    output.Column("STATE", colour=lambda text: _STATE_COLOURS.get(text.partition(" ")[0], "")),
    output.Column("WAITING"),
    output.Column("OLDEST"),
    output.Column("NEXT TRY"),
    output.Column("HELD"),
    output.Column("LAST HOUR"),
    output.Column("RATE", 9),
)


def main(arguments: list[str]) -> int:
    command = parser("status")
    add_configuration(command)
    add_platform(command)
    add_state(command)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    options = command.parse_args(arguments)
    return run_command("status", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    """Print the status and return DONE, whatever the problems are. Raises CommandError and HookchainError."""
    configuration = served_configuration(options)
    now = time.time()
    where = same_platform(options)
    status = _read_status(open_platform(options, configuration.environ), configuration, now, where)
    if options.json:
        output.print_json(status.document())
    else:
        print("\n".join(StatusText(output.stdout_screen(), now, where).lines(status)))
    return DONE


def served_configuration(options: argparse.Namespace) -> LoadedConfig:
    """Return the configuration; if it has faults, the older one that a running `hookchain dev` still serves.

    Raises ConfigFaults if none is served, and for a file that --config names.
    """
    try:
        return configured(options)
    except config_file.ConfigFaults as faults:
        is_serving = is_local(options) and running_dev.read_dev_file(options.state) is not None
        slices = {name: local.read_slice(options.state, name) or {} for name in ("receive", "transform", "notify")}
        if options.config or not is_serving or not all(slices.values()):
            raise
        rule = "has faults, see `hookchain lint`; this is the status with the configuration that is served now"
        print(f"warning: {faults.file} {rule}", file=sys.stderr)
        return LoadedConfig(environ_of(options), None, None, slices)


def _read_status(platform: Platform, configuration: LoadedConfig, now: float, where: str) -> history_status.Status:
    """Return the status. `where` is as in StatusText.

    In a cloud, what runs is shown even if the stores cannot be read, which is a note then. On this machine, this raises
    CommandError or HookchainError.
    """
    running = platform.running(now)
    try:
        stored = stored_status(platform, configuration, now, where)
    except (CommandError, errors.HookchainError) as fault:
        if platform.traits.is_local:
            raise
        notes = [*running.notes, f"events, dead letters and what is held: {error_text(fault)}"]
        return history_status.Status(running.versions, backlogs=running.backlogs, notes=notes)
    notes = [*running.notes, *stored.notes]
    return replace(stored, versions=running.versions, backlogs=running.backlogs, notes=notes)


def stored_status(platform: Platform, configuration: LoadedConfig, now: float, where: str) -> history_status.Status:
    """Return the part of the status that does not depend on what runs. `where` is as in StatusText.

    It reads the stores, and asks the providers about the hooks of sources. Raises CommandError and HookchainError.
    """
    silences = history_status.silences_of(configuration.slices["notify"])
    with platform.state() as state:
        fetch = cloud_platform.fetch(keeps=False)
        outside = asyncio.run(source_access.read_outside(configuration, platform.source_access(), fetch, now))
        return history_status.read_stored_status(state, configuration.slices["receive"], now, silences, outside, where)


# The text


@dataclass(frozen=True, slots=True)
class StatusText:
    """The text of a status for a screen: tables first, then a line for each thing that needs attention.

    now    Unix seconds
    where  the options that make another command act on the same platform
    """

    screen: output.Screen
    now: float
    where: str = ""

    def lines(self, status: history_status.Status) -> Iterator[str]:
        """Yield the tables and the lines. A part that has nothing is left out, except the dead letters."""
        yield self._table(_VERSION_COLUMNS, map(_version_row, status.versions))
        if status.sources:
            yield "\n" + self._sources_table(status.sources)
            yield from self._advice(status.sources)
        if status.backlogs:
            yield "\n" + self._table(_BACKLOG_COLUMNS, map(_backlog_row, status.backlogs))
        if status.destinations:
            yield "\n" + self._table(_DESTINATION_COLUMNS, map(self._destination_row, status.destinations))
        yield "\n" + self._dead_letters(status.dead_letters)
        yield from map(self._stopped, status.held)
        for destination in status.destinations:
            yield from self._groups(destination)
        names_with_groups = {each.name for each in status.destinations if each.groups}
        for retrying in status.retrying:
            is_listed_as_groups = retrying.grouped >= retrying.count and retrying.destination in names_with_groups
            if not is_listed_as_groups:
                yield self._retrying(retrying)
        yield from map(self._waiting_route, status.waiting_routes)
        for note in status.notes:
            yield self.screen.coloured(f"unknown: {output.printable(note)}", output.YELLOW)

    def _table(self, columns: tuple[output.Column, ...], rows: Iterable[tuple[str, ...]]) -> str:
        return output.table(columns, list(rows), self.screen)

    def _sources_table(self, sources: Sequence[history_status.SourceActivity]) -> str:
        """Return the table, with the columns for health and silence only if a source has something in them."""
        columns = _SOURCE_COLUMNS
        rows = [self._source_row(each) for each in sources]
        if any(each.facts for each in sources):
            columns += _HEALTH_COLUMNS
            rows = [(*row, *self._health_cells(each)) for row, each in zip(rows, sources, strict=True)]
        if any(each.silence_seconds is not None for each in sources):
            columns += (_SILENCE_COLUMN,)
            rows = [(*row, _silence_cell(each)) for row, each in zip(rows, sources, strict=True)]
        return self._table(columns, rows)

    def _health_cells(self, each: history_status.SourceActivity) -> tuple[str, ...]:
        if each.facts is None:
            return "", "", "", ""
        registration = each.facts.registration
        set_at = each.facts.secret_set_at
        usual = each.facts.usual_seconds
        return (
            source_health.judge(each.facts, self.now).word,
            self._registered(registration) if registration else "",
            "" if set_at is None else age_text(self.now - set_at),
            "" if usual is None else source_health.usual_text(usual),
        )

    def _registered(self, registration: source_health.Registration) -> str:
        """Return whether the hook is registered, and for how long if it expires."""
        if registration.expires_at is None:
            return registration.word
        if registration.expires_at <= self.now:
            return f"{registration.word}, expired"
        return f"{registration.word}, for {output.rough_duration(registration.expires_at - self.now)}"

    def _advice(self, sources: Sequence[history_status.SourceActivity]) -> Iterator[str]:
        """Yield the reason of each health that an operator should know, with the command."""
        for each in sources:
            health = source_health.judge(each.facts, self.now, self.where) if each.facts else None
            if health and health.command:  # every health but `healthy` has one
                line = f"{health.word}: {each.source}: {output.printable(health.reason)}"
                yield self.screen.coloured(line, _HEALTH_COLOURS.get(health.word, "")) + f"  ({health.command})"

    def _destination_row(self, each: destinations.DestinationView) -> tuple[str, ...]:
        state = each.state if each.paused_until is None else f"{each.state} until {output.clock(each.paused_until)}"
        gathered = f" ({_least_count(each.gathered, each.is_more)} gathered)" if each.gathered else ""
        waiting = _least_count(each.waiting, each.is_more) + gathered
        # If there are more deliveries than were read, one of these may be older or due earlier.
        over, within = ("over ", "within") if each.is_more else ("", "in")
        oldest = "" if each.oldest_at is None else f"{over}{output.rough_duration(self.now - each.oldest_at)}"
        next_try = (
            ""
            if each.next_try_at is None
            else f"{within} {output.rough_duration(max(0.0, each.next_try_at - self.now))}"
        )
        last_hour = f"{each.delivered_last_hour:,}"
        if each.delivered_last_hour_of is not None:
            last_hour += f" of the last {each.delivered_last_hour_of:,}"
        held = _least_count(each.held, each.may_hold_more)
        return each.name, state, waiting, oldest, next_try, held, last_hour, each.caps

    def _dead_letters(self, count: int | None) -> str:
        if count is None:
            return "dead letters: unknown"
        if count == 0:
            return "dead letters: none"
        return (
            self.screen.coloured(f"dead letters: {count:,}", output.RED)
            + f"  (hookchain dead-letters list{self.where})"
        )

    def _stopped(self, held: jsontext.JsonObject) -> str:
        """Return the line about a destination that takes no deliveries, from `held_document`.

        Without a `reason`, it is only paused, and `resume` lets its deliveries continue. Otherwise, `act` names the
        command.
        """
        name = output.printable(str(held.get("destination")))
        if held.get("reason") is None:
            reason = f": {output.printable(str(held.get('pause_reason')))}" if held.get("pause_reason") else ""
            paused = self.screen.coloured(f"paused: {name}, until {held.get('paused_until')}{reason}", output.YELLOW)
            return f"{paused}  (hookchain resume {name}{self.where})"
        line = f"held: {name}, {held.get('count')} waiting: {output.printable(str(held.get('reason')))}"
        return self.screen.coloured(line, output.BOLD) + f"  (hookchain {held.get('act')} {name}{self.where})"

    def _groups(self, destination: destinations.DestinationView) -> Iterator[str]:
        """Yield a line for each group that waits, the first to be closed first."""
        name = output.printable(destination.name)
        # If there are more deliveries than were read, a group may have more of them, and older ones.
        over = "over " if destination.is_more else ""
        for group in destination.groups[:MAX_GROUPS]:
            about = [f"for {group.person}"] if group.person else []
            about += [f"key {group.key!r}"] if group.key is not None else []
            waits = [f"the oldest for {over}{output.rough_duration(self.now - group.oldest_at)}", group.reason]
            facts = ", ".join([_least_events(group.count, destination.is_more), *about, *waits])
            line = f"until {output.clock(group.until)}: {facts}"
            yield f"gathered: {name}, {output.printable(line)}"
        if (more := len(destination.groups) - MAX_GROUPS) > 0:
            yield f"gathered: {name}, {output.count_of(more, 'more group')}"
        if destination.digests and destination.groups:
            last = destination.digests[0]
            made = f"of {output.count_of(last.count, 'event')} at {output.clock(last.made_at)}: {last.state}"
            yield f"last digest: {name}, {made}  (hookchain events show {last.event_id})"

    def _retrying(self, each: history_status.Retrying) -> str:
        """Return the line about deliveries that are retried, or that all wait in groups as their options require."""
        count = _least_count(each.count, each.is_more)
        if each.grouped == each.count:
            return f"gathered: {output.printable(each.destination)}, {count} waiting: {output.printable(each.reason)}"
        parts = [(each.unknown, "with an unknown result"), (each.grouped, "gathered")]
        listed = ", ".join(f"{number:,} {what}" for number, what in parts if number)
        notes = f" ({listed})" if listed else ""
        to = f", to {output.count_of(each.endpoints, 'endpoint')}" if each.endpoints else ""
        waiting = f"{output.printable(each.destination)}, {count} waiting{notes}{to}"
        line = f"retry scheduled: {waiting}: {output.printable(each.reason)}"
        return self.screen.coloured(line, output.YELLOW) + f"  (hookchain events list --status unfinished{self.where})"

    def _waiting_route(self, each: history_status.WaitingRoutes) -> str:
        count = _least_events(each.count, each.is_more)
        next_run = "" if each.next_at is None else f", the next run at {output.clock(each.next_at)}"
        line = f"waiting: route {output.printable(each.route)!r}, {count}{next_run}: {output.printable(each.reason)}"
        return self.screen.coloured(line, output.YELLOW) + f"  (hookchain events list --status unfinished{self.where})"

    def _source_row(self, each: history_status.SourceActivity) -> tuple[str, ...]:
        if each.last_at is None:
            return each.source, "none yet", "", "0"
        count = _least_count(each.day_count, each.is_more)
        return each.source, output.clock(each.last_at), output.rough_duration(self.now - each.last_at), count


def _least_count(number: int, is_more: bool) -> str:
    """Return the number. If more were not read, it is the least that there are."""
    return f"{number:,}{' or more' if is_more else ''}"


def _least_events(number: int, is_more: bool) -> str:
    return f"{_least_count(number, is_more)} event{'' if number == 1 and not is_more else 's'}"


def _version_row(each: history_status.Version) -> tuple[str, ...]:
    return each.name, each.version, "" if each.since is None else output.clock(each.since), each.trouble or _SERVES


def _silence_cell(each: history_status.SourceActivity) -> str:
    if each.quiet_since is not None:
        return f"quiet since {output.clock(each.quiet_since)}"
    return "" if each.silence_seconds is None else f"alert after {output.rough_duration(each.silence_seconds)}"


def _backlog_row(each: history_status.Backlog) -> tuple[str, ...]:
    """Return the row, with a mark if the oldest message has waited for longer than LATE_SECONDS."""
    delayed = f" + {each.delayed:,} delayed" if each.delayed else ""
    count = "?" if each.count is None else f"{each.count:,}{delayed}"
    if not each.oldest_seconds:
        return each.subscription, count, ""
    mark = " !" if each.oldest_seconds > LATE_SECONDS else ""
    return each.subscription, count, f"{output.rough_duration(each.oldest_seconds)}{mark}"
