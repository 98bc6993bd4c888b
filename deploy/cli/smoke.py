"""`hookchain smoke`: send one test event, signed as its source requires, and follow it to its destinations.

The command chooses a source and an event, posts the event, and then reads its state repeatedly until every delivery has
a result. The state comes from the journal and the ledger, or from the logs if the journal cannot be read.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, TIMEOUT, USAGE, parser, run_command
from deploy.cli.smoke_stages import StagePrinter, WaitingLine, follow
from deploy.cli.smoke_state import EventState, state_from_logs, state_from_records
from deploy.config.configured import Configured, add_configuration, configured
from deploy.history import journal_view, logs
from deploy.history.state import State
from deploy.platforms.choice import add_platform, add_state, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.requests.events import make_provider_event, make_test_event, read_event_file, routed_type, sample_beside
from deploy.requests.posting import Posting, Recipient, possible_recipients, post, usable_auth
from deploy.requests.sources import compiled_sources, provider_key, route_types, routes_from
from deploy.terminal import command_line, output
from shared import errors, http
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import AuthScheme

NEWEST_EVENT_TRIES: Final = 20
NEWEST_EVENT_PAUSE_SECONDS: Final = 0.5
MAX_CLOCK_DIFFERENCE_SECONDS: Final = 120.0
"""The difference that is allowed for between this machine's clock and the one that the logs are written by."""


def main(arguments: list[str]) -> int:
    command = parser("smoke")
    command.add_argument("--source", metavar="NAME", help="send to this source [the first that can be signed for]")
    command.add_argument("--to", metavar="URL", help="send to this URL [the source's own]")
    command.add_argument("--type", metavar="TYPE", help="set the event's type")
    command.add_argument("--file", metavar="FILE", type=Path, help="read the body; the extension sets its format")
    command.add_argument(
        "--timeout", metavar="SECONDS", type=TIMEOUT, help="stop after this long [30; in a cloud: 120]"
    )
    command.add_argument("--yes", action="store_true", help="deliver to real people and systems without asking")
    command.add_argument("--json", action="store_true", help="print one JSON object: ok, event, stages, deliveries")
    add_configuration(command)
    add_platform(command)
    add_state(command)
    options = command.parse_args(arguments)
    return run_command("smoke", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    configuration = configured(options)
    source, settings, auth = _chosen_source(options, configuration)
    mark = f"smoke-{secrets.token_hex(8)}"
    request, event_type = _chosen_event(options, configuration, source, settings, mark)
    platform = open_platform(options, configuration.environ)
    url = options.to or f"{platform.serving_url()}/{source}"
    with platform.state() as state:
        recipients = possible_recipients(configuration.slices, source, event_type)
        if not _confirm_recipients(options, recipients, platform, url):
            return USAGE
        posting = Posting(url, source, settings, auth, platform.secret_value)
        return _post_and_follow(options, platform, SmokeEvent(state, platform), posting, request, mark)


def _chosen_source(options: argparse.Namespace, configuration: Configured) -> tuple[str, JsonObject, AuthScheme]:
    """Return the source's name, its settings in receive's slice, and the scheme to sign with. Raises CommandError."""
    known = compiled_sources(configuration.slices["receive"])
    if options.source is not None and options.source not in known:
        raise command_line.UsageError(f"there is no source {options.source!r}{did_you_mean(options.source, known)}")
    transform = configuration.slices["transform"]
    routed_first = sorted(known, key=lambda name: not any(routes_from(transform, name)))
    for name in [options.source] if options.source else routed_first:
        if (auth := usable_auth(known[name])) is not None:
            return name, known[name], auth
    which = f"source {options.source!r}" if options.source else "every source"
    raise command_line.CommandError(
        f"{which} cannot be signed for here. Use `hookchain trigger` for a provider of the catalogue, "
        "and `hookchain link` for a source of links."
    )


def _chosen_event(
    options: argparse.Namespace, configuration: Configured, source: str, settings: JsonObject, mark: str
) -> tuple[http.Request, str | None]:
    """Return the request to post, and the event's type; None for the type if only the request contains it.

    The body is the first of these that exists: a file, a sample of the source's provider, or a generated body.
    """
    file = options.file or _sample_file(options, configuration)
    if file is not None:
        event = read_event_file(file, settings, mark, options.type)
        return event.to_request(mark), options.type
    transform = configuration.slices["transform"]
    provider = provider_key(configuration, source)
    if provider:
        types = [options.type] if options.type else route_types(routes_from(transform, source))
        sample_request = make_provider_event(provider, types, mark, time.time())
        if sample_request is not None:
            return sample_request, options.type
    event_type = options.type or routed_type(transform, source)
    return make_test_event(settings, event_type, mark).to_request(mark), event_type


def _sample_file(options: argparse.Namespace, configuration: Configured) -> Path | None:
    """Return the sample beside the configuration. It is used only if it can be meant for no other source or type."""
    has_one_source = len(compiled_sources(configuration.slices["receive"])) == 1
    if not has_one_source or options.type is not None:
        return None
    return sample_beside(configuration.path)


def _confirm_recipients(
    options: argparse.Namespace, reached: Sequence[Recipient], platform: Platform, url: str
) -> bool:
    real = [each for each in reached if each.kind != "email" or platform.sends_mail()]
    if options.yes or not real:
        return True
    print(f"The test event goes to {url.partition('?')[0]} and, if the routes match, on to:", file=sys.stderr)
    for each in real:
        print(f"  {each.destination} ({each.kind})  {each.addresses}".rstrip(), file=sys.stderr)
    if not sys.stdin.isatty():
        print("hookchain smoke: there is no terminal to ask on; add --yes to confirm", file=sys.stderr)
        return False
    print("Send it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


class SmokeEvent:
    """The event that was sent.

    Its state is read from the journal and the ledger, or from the logs if the journal cannot be read. The logs are some
    seconds behind.
    """

    def __init__(self, state: State, platform: Platform) -> None:
        self._state = state
        self._platform = platform
        self._is_journal_readable = True

    def newest_id(self, source: str, since: float) -> str | None:
        """Return the id of the source's newest event since a time; None if there is none after some seconds.

        It is needed for providers that expect a reply without an event id.
        """
        query = journal_view.EventQuery(source=source, since=since, limit=1)
        for _ in range(NEWEST_EVENT_TRIES):
            if events := self._state.reader.events(query).events:
                return events[0].id
            time.sleep(NEWEST_EVENT_PAUSE_SECONDS)
        return None

    def read_state(self, event_id: str, posted_at: float) -> EventState:
        if self._is_journal_readable:
            try:
                record = self._state.reader.event(event_id)
                return state_from_records(record, self._state.deliveries(event_id) if record else ())
            except errors.HookchainError as fault:
                self._is_journal_readable = False
                print(f"the journal cannot be read; reading the logs instead: {fault.detail}", file=sys.stderr)
        since = posted_at - MAX_CLOCK_DIFFERENCE_SECONDS
        records = self._platform.records(logs.LogQuery(event=event_id), since, logs.PAGE, is_followed=False)
        return state_from_logs([record for record in records if record is not None], event_id)


def _post_and_follow(
    options: argparse.Namespace,
    platform: Platform,
    event: SmokeEvent,
    posting: Posting,
    request: http.Request,
    mark: str,
) -> int:
    started = time.monotonic()
    posted_at = time.time()
    waiting_line = WaitingLine(is_silent=options.json)
    stages = StagePrinter(
        output.stdout_screen(), lambda: time.monotonic() - started, waiting_line.print_above, same_platform(options)
    )
    event_id = _post(event, posting, request, mark, posted_at, stages)
    state = EventState()
    if event_id is not None:
        longest_seconds = options.timeout or platform.traits.smoke_seconds
        state = follow(
            lambda: event.read_state(event_id, posted_at),
            stages,
            longest_seconds,
            lambda: waiting_line.wait(platform.traits.poll_seconds, stages.clock()),
        )
        waiting_line.clear()
        stages.print_end(state, event_id, longest_seconds)
    if options.json:
        deliveries: list[Json] = [asdict(each) for each in state.deliveries]
        report: JsonObject = {"source": posting.source, "url": posting.url, "event": event_id, "deliveries": deliveries}
        output.print_json({"ok": state.is_good, **report, "stages": [*stages.documents]})
    return DONE if state.is_good else NOT_DONE


def _post(
    event: SmokeEvent, posting: Posting, request: http.Request, mark: str, posted_at: float, stages: StagePrinter
) -> str | None:
    """Post the request and return the event's id; None if it was rejected, or if the event is not found."""
    outcome = post(posting, request, mark, posted_at)
    if not outcome.ok:
        advice = f"hookchain logs --function receive{stages.where}"
        stages.print_fault(output.RED, "accepted", outcome.message, advice)
        return None
    event_id = outcome.event_id or event.newest_id(posting.source, posted_at - 1)
    if event_id is None:
        rule = "accepted, but no event of this source was found"
        stages.print_fault(output.RED, "stopped", rule, f"hookchain status{stages.where}")
        return None
    stages.print_success("accepted", f"as event {event_id}")
    return event_id
