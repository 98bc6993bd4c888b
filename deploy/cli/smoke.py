"""`hookchain smoke`: send one test event, signed as its source requires, and follow it to its destinations."""

import argparse
import os
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, TIMEOUT, USAGE, parser, run_command
from deploy.cli.smoke_follow import (
    EventState,
    StagePrinter,
    delivery_document,
    follow,
    state_from_logs,
    state_from_records,
    timeout_text,
)
from deploy.config.configured import Configured, add_configuration, configured
from deploy.history.journal_view import EventQuery
from deploy.history.logs import PAGE, LogQuery
from deploy.history.state import State
from deploy.platforms.choice import add_platform, add_state, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.requests.events import make_provider_event, make_test_event, read_event_file, routed_type, sample_beside
from deploy.requests.smoke import Posting, Recipient, possible_recipients, post, usable_auth
from deploy.requests.sources import compiled_sources, provider_key, route_types, routes_from
from deploy.terminal.command_error import CommandError, UsageError
from deploy.terminal.printing import print_json
from deploy.terminal.progress import PassingLine
from deploy.terminal.tables import GREEN, RED, screen_of
from shared.did_you_mean import did_you_mean
from shared.errors import HookchainError
from shared.http import Request
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import AuthScheme

DETAILS: Final = """\
The event has the type that the source's first route takes, or --type. Its body is generated, a sample of the source's
provider, --file, or sample.json beside the configuration. The event is delivered like any other, to real people and
systems, so the command asks first, unless mail is only caught on this machine. The event is marked: its user agent is
`hookchain-smoke`, its header `webhook-id` begins with `smoke-`, and a generated body has the field `hookchainSmokeTest`
and the name "Smoke Test"."""
EXAMPLES: Final = """\
  hookchain smoke
  hookchain smoke --platform gcp --source shop --yes
  hookchain smoke --source github --type push --file push.json"""

_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.5
_CLOCKS_APART_SECONDS: Final = 120.0


def main(arguments: list[str]) -> int:
    codes = "0 everything was delivered, 1 rejected, failed or late, 2 usage error"
    command = parser("smoke", EXAMPLES, details=DETAILS, exit_codes=codes)
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
    have = configured(options)
    name, settings, auth = _chosen_source(options, have)
    mark = f"smoke-{secrets.token_hex(8)}"
    request, event_type = _chosen_event(options, have, name, settings, mark)
    platform = open_platform(options, have.environ)
    url = options.to or f"{platform.serving_url()}/{name}"
    with platform.state() as state:
        if not _confirm_recipients(options, possible_recipients(have.slices, name, event_type), platform, url):
            return USAGE
        posting = Posting(url, name, settings, auth, platform.secret_value)
        return _post_and_follow(options, platform, SmokeEvent(state, platform), posting, request, mark)


def _chosen_source(options: argparse.Namespace, have: Configured) -> tuple[str, JsonObject, AuthScheme]:
    """Return the source's name, its settings in receive's slice, and the scheme to sign with. Raises CommandError."""
    known = compiled_sources(have.slices["receive"])
    if options.source is not None and options.source not in known:
        raise UsageError(f"there is no source {options.source!r}{did_you_mean(options.source, known)}")
    for name in [options.source] if options.source else _routed_first(have, list(known)):
        source = known[name]
        auth = usable_auth(source)
        if auth is not None and isinstance(source, dict):
            return name, source, auth
    which = f"source {options.source!r}" if options.source else "every source"
    raise CommandError(
        f"no way to sign for {which} here. Use `hookchain trigger` for a provider of the catalogue, "
        "and `hookchain link` for a source of links."
    )


def _routed_first(have: Configured, names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: not any(routes_from(have.slices["transform"], name)))


def _chosen_event(
    options: argparse.Namespace, have: Configured, name: str, settings: JsonObject, mark: str
) -> tuple[Request, str | None]:
    """Return the request, and the event's type, or None if only the body has it."""
    is_only_one = len(compiled_sources(have.slices["receive"])) == 1
    file = options.file or (sample_beside(have.path) if is_only_one and options.type is None else None)
    if file is not None:
        return read_event_file(file, settings, mark, options.type).to_request(mark), options.type
    routes: list[Json] = list(routes_from(have.slices["transform"], name))
    if provider := provider_key(have, name):
        types = [options.type] if options.type else route_types(routes)
        sample = make_provider_event(provider, types, mark, time.time())
        if sample is not None:
            return sample, options.type
    event_type = options.type or routed_type(name, routes)
    return make_test_event(settings, event_type, mark).to_request(mark), event_type


def _confirm_recipients(
    options: argparse.Namespace, reached: Sequence[Recipient], platform: Platform, url: str
) -> bool:
    real = [each for each in reached if each.kind != "email" or platform.sends_mail()]
    if options.yes or not real:
        return True
    print(
        f"The test event goes to {url.partition('?')[0]} and, if the routes match, on to:",
        file=sys.stderr,
    )
    for each in real:
        print(f"  {each.destination} ({each.kind})  {each.addresses}".rstrip(), file=sys.stderr)
    if not sys.stdin.isatty():
        print("hookchain smoke: there is no terminal to ask on; add --yes to confirm", file=sys.stderr)
        return False
    print("Send it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


class SmokeEvent:
    """The event that was sent, wherever it is. The logs, which are some seconds behind, are read if the journal cannot
    be."""

    def __init__(self, state: State, platform: Platform) -> None:
        self._state = state
        self._platform = platform
        self._is_journal_read = True

    def newest_id(self, source: str, since: float) -> str | None:
        """Return the id of the source's newest event since a time, for providers whose reply names none."""
        for _ in range(_TRIES):
            if events := self._state.reader.events(EventQuery(source=source, since=since, limit=1)).events:
                return events[0].id
            time.sleep(_PAUSE_SECONDS)
        return None

    def look(self, event_id: str, posted_at: float) -> EventState:
        if self._is_journal_read:
            try:
                record = self._state.reader.event(event_id)
                return state_from_records(record, self._state.deliveries(event_id) if record else ())
            except HookchainError as fault:
                self._is_journal_read = False
                print(f"the journal cannot be read; reading the logs instead: {fault.detail}", file=sys.stderr)
        query = LogQuery(event=event_id)
        records = self._platform.records(query, posted_at - _CLOCKS_APART_SECONDS, PAGE, is_followed=False)
        return state_from_logs([record for record in records if record is not None], event_id)


def _post_and_follow(
    options: argparse.Namespace, platform: Platform, event: SmokeEvent, posting: Posting, request: Request, mark: str
) -> int:
    screen, began, posted_at = screen_of(sys.stdout, os.environ), time.monotonic(), time.time()
    waiting = _Waiting(is_silent=options.json)
    where = same_platform(options)
    stages = StagePrinter(screen, lambda: time.monotonic() - began, waiting.say, where)
    report: JsonObject = {"ok": False, "source": posting.source, "url": posting.url, "event": None, "deliveries": []}

    def ended(code: int) -> int:
        if options.json:
            print_json({**report, "ok": code == DONE, "stages": [*stages.documents]})
        return code

    outcome = post(posting, request, mark, posted_at)
    if not outcome.ok:
        stages.stage("✗", RED, "accepted", outcome.message, f"hookchain logs --function receive{where}")
        return ended(NOT_DONE)
    # A provider's own reply format may name none.
    identity = outcome.event_id or event.newest_id(posting.source, posted_at - 1)
    if identity is None:
        stages.stage("✗", RED, "stopped", "accepted, but no event of this source was found", f"hookchain status{where}")
        return ended(NOT_DONE)
    report["event"] = identity
    stages.stage("✓", GREEN, "accepted", f"as event {identity}")
    longest = options.timeout or platform.traits.smoke_seconds
    state = follow(
        lambda: event.look(identity, posted_at),
        stages,
        longest,
        lambda: waiting.wait(platform.traits.poll_seconds, stages.clock()),
    )
    waiting.clear()
    report["deliveries"] = [delivery_document(each) for each in state.deliveries]
    if state.is_good:
        waiting.say(screen.coloured(f"It works: {len(state.deliveries)} of {state.expected} delivered.", GREEN))
        return ended(DONE)
    if not state.is_complete:
        stages.stage("✗", RED, "stopped", *timeout_text(state, longest, where))
    waiting.say(f"It did not get through. Details: hookchain events show {identity[:12]}{where}")
    return ended(NOT_DONE)


class _Waiting:
    """A line on a terminal that shows the waiting time, and makes room for what is printed."""

    def __init__(self, *, is_silent: bool = False) -> None:
        self._line = PassingLine(sys.stdout)
        self._is_silent = is_silent

    def say(self, text: str) -> None:
        if self._is_silent:
            return
        self._line.clear()
        print(text, flush=True)

    def wait(self, seconds: float, waited_seconds: float) -> None:
        if waited_seconds > 1 and not self._is_silent:
            self._line.show(f"  waiting … {waited_seconds:.0f} s")
        time.sleep(seconds)

    def clear(self) -> None:
        self._line.clear()
