"""`hookchain smoke`: send one test event, signed as its source requires, and follow it to its destinations.

What is known of the event comes from journal and ledger, or from the logs where these cannot be read.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, TIMEOUT, USAGE, parser, run_command
from deploy.config.configured import Configured, add_configuration, configured
from deploy.history import journal_view, logs
from deploy.history.state import State
from deploy.platforms.choice import add_platform, add_state, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.requests.events import make_provider_event, make_test_event, read_event_file, routed_type, sample_beside
from deploy.requests.posting import Posting, Recipient, possible_recipients, post, usable_auth
from deploy.requests.sources import compiled_sources, provider_key, route_types, routes_from
from deploy.terminal import command_line, output
from deploy.terminal.progress import PassingLine
from shared import errors, http, journal, ledger
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject
from shared.signatures.auth_scheme import AuthScheme

DETAILS: Final = """\
The event has the first type that the source's first route selects, or --type. Its body is --file, sample.json in the
configuration's folder, a sample of the source's provider, or generated. The event is delivered like any other, to real
people and systems, so the command asks first, unless mail is only caught on this machine. You can recognise it by its
user agent `hookchain-smoke`, by its `webhook-id`, which begins with `smoke-`, and in a generated body by the field
`hookchainSmokeTest` and the name "Smoke Test"."""
EXAMPLES: Final = """\
  hookchain smoke
  hookchain smoke --platform gcp --source shop --yes
  hookchain smoke --source github --type push --file push.json"""
DELIVERED: Final = "delivered"
RETRY_SCHEDULED: Final = "retry_scheduled"
GATHERED: Final = "gathered"
HELD: Final = "held"
MERGED: Final = "merged"
DEAD_LETTERED: Final = "dead_lettered"
PENDING: Final = "pending"
_GOOD: Final = frozenset({DELIVERED, GATHERED, MERGED})
"""A delivery that waits in a group, or is part of a digest, is where its destination's options put it."""
_SETTLED: Final = _GOOD | {RETRY_SCHEDULED, HELD, DEAD_LETTERED}
_LOGGED: Final = {**{outcome: outcome for outcome in _SETTLED}, "unknown": RETRY_SCHEDULED}
STAGE_WIDTH: Final = 11
_MARKS: Final = {
    DELIVERED: ("✓", output.GREEN),
    GATHERED: ("✓", output.GREEN),
    MERGED: ("✓", output.GREEN),
    RETRY_SCHEDULED: ("✗", output.YELLOW),
    HELD: ("✗", output.YELLOW),
    DEAD_LETTERED: ("✗", output.RED),
}
_ADVICE: Final = {
    RETRY_SCHEDULED: "it is retried automatically; `hookchain events list{where}` shows its status",
    HELD: "fix the reason, then: hookchain resume {destination}{where}",
    DEAD_LETTERED: "to see it: hookchain dead-letters list{where}; `dead-letters replay` sends it again",
}


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """One delivery. `detail` is the answer, or the reason why it is not delivered."""

    destination: str
    route: str
    state: str
    attempts: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EventState:
    """The state of an event. `expected` counts its deliveries, None before transform has processed it. `routes` are
    the decisions, if they are known; `broken` the faults of chains."""

    expected: int | None = None
    routes: tuple[journal.RouteDecision, ...] = ()
    broken: tuple[str, ...] = ()
    deliveries: tuple[DeliveryState, ...] = ()

    @property
    def is_complete(self) -> bool:
        settled = sum(each.state != PENDING for each in self.deliveries)
        return self.expected is not None and settled >= self.expected

    @property
    def is_good(self) -> bool:
        """Something was delivered or gathered for a digest, and nothing failed."""
        return (
            self.is_complete
            and not self.broken
            and bool(self.deliveries)
            and all(each.state in _GOOD for each in self.deliveries)
        )


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
    configuration = configured(options)
    name, settings, auth = _chosen_source(options, configuration)
    mark = f"smoke-{secrets.token_hex(8)}"
    request, event_type = _chosen_event(options, configuration, name, settings, mark)
    platform = open_platform(options, configuration.environ)
    url = options.to or f"{platform.serving_url()}/{name}"
    with platform.state() as state:
        if not _confirm_recipients(options, possible_recipients(configuration.slices, name, event_type), platform, url):
            return USAGE
        posting = Posting(url, name, settings, auth, platform.secret_value)
        return _post_and_follow(options, platform, SmokeEvent(state, platform), posting, request, mark)


def _chosen_source(options: argparse.Namespace, configuration: Configured) -> tuple[str, JsonObject, AuthScheme]:
    """Return the source's name, its settings in receive's slice, and the scheme to sign with. Raises CommandError."""
    known = compiled_sources(configuration.slices["receive"])
    if options.source is not None and options.source not in known:
        raise command_line.UsageError(f"there is no source {options.source!r}{did_you_mean(options.source, known)}")
    for name in [options.source] if options.source else _routed_first(configuration, list(known)):
        source = known[name]
        auth = usable_auth(source)
        if auth is not None and isinstance(source, dict):
            return name, source, auth
    which = f"source {options.source!r}" if options.source else "every source"
    raise command_line.CommandError(
        f"{which} cannot be signed for here. Use `hookchain trigger` for a provider of the catalogue, "
        "and `hookchain link` for a source of links."
    )


def _routed_first(configuration: Configured, names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: not any(routes_from(configuration.slices["transform"], name)))


def _chosen_event(
    options: argparse.Namespace, configuration: Configured, name: str, settings: JsonObject, mark: str
) -> tuple[http.Request, str | None]:
    """Return the request, and the event's type, or None if only the body has it."""
    is_only_one = len(compiled_sources(configuration.slices["receive"])) == 1
    file = options.file or (sample_beside(configuration.path) if is_only_one and options.type is None else None)
    if file is not None:
        return read_event_file(file, settings, mark, options.type).to_request(mark), options.type
    routes: list[Json] = list(routes_from(configuration.slices["transform"], name))
    if provider := provider_key(configuration, name):
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
            if events := self._state.reader.events(journal_view.EventQuery(source=source, since=since, limit=1)).events:
                return events[0].id
            time.sleep(_PAUSE_SECONDS)
        return None

    def look(self, event_id: str, posted_at: float) -> EventState:
        if self._is_journal_read:
            try:
                record = self._state.reader.event(event_id)
                return state_from_records(record, self._state.deliveries(event_id) if record else ())
            except errors.HookchainError as fault:
                self._is_journal_read = False
                print(f"the journal cannot be read; reading the logs instead: {fault.detail}", file=sys.stderr)
        query = logs.LogQuery(event=event_id)
        records = self._platform.records(query, posted_at - _CLOCKS_APART_SECONDS, logs.PAGE, is_followed=False)
        return state_from_logs([record for record in records if record is not None], event_id)


def _post_and_follow(
    options: argparse.Namespace,
    platform: Platform,
    event: SmokeEvent,
    posting: Posting,
    request: http.Request,
    mark: str,
) -> int:
    began = time.monotonic()
    posted_at = time.time()
    waiting = _Waiting(is_silent=options.json)
    stages = StagePrinter(output.stdout_screen(), lambda: time.monotonic() - began, waiting.say, same_platform(options))
    event_id = _post(event, posting, request, mark, posted_at, stages)
    state = EventState()
    if event_id is not None:
        longest_seconds = options.timeout or platform.traits.smoke_seconds
        state = follow(
            lambda: event.look(event_id, posted_at),
            stages,
            longest_seconds,
            lambda: waiting.wait(platform.traits.poll_seconds, stages.clock()),
        )
        waiting.clear()
        _print_end(state, event_id, longest_seconds, stages)
    if options.json:
        deliveries: list[Json] = [delivery_document(each) for each in state.deliveries]
        report: JsonObject = {"source": posting.source, "url": posting.url, "event": event_id, "deliveries": deliveries}
        output.print_json({"ok": state.is_good, **report, "stages": [*stages.documents]})
    return DONE if state.is_good else NOT_DONE


def _post(
    event: SmokeEvent, posting: Posting, request: http.Request, mark: str, posted_at: float, stages: "StagePrinter"
) -> str | None:
    """Post the request and return the event's id; None if it was rejected, or if the event is not found."""
    outcome = post(posting, request, mark, posted_at)
    if not outcome.ok:
        stages.stage("✗", output.RED, "accepted", outcome.message, f"hookchain logs --function receive{stages.where}")
        return None
    event_id = outcome.event_id or event.newest_id(posting.source, posted_at - 1)
    if event_id is None:
        rule = "accepted, but no event of this source was found"
        stages.stage("✗", output.RED, "stopped", rule, f"hookchain status{stages.where}")
        return None
    stages.stage("✓", output.GREEN, "accepted", f"as event {event_id}")
    return event_id


def _print_end(state: EventState, event_id: str, longest_seconds: float, stages: "StagePrinter") -> None:
    if state.is_good:
        line = f"It works: {len(state.deliveries)} of {state.expected} delivered."
        stages.say(stages.screen.coloured(line, output.GREEN))
        return
    if not state.is_complete:
        detail, todo = timeout_text(state, longest_seconds, stages.where)
        stages.stage("✗", output.RED, "stopped", detail, todo)
    stages.say(f"It was not delivered. Details: hookchain events show {event_id[:12]}{stages.where}")


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


# The state of the event


def state_from_records(record: journal_view.EventRecord | None, rows: Sequence[ledger.LedgerRow]) -> EventState:
    if record is None:
        return EventState()
    attempts = {each.delivery_id: each for each in record.attempts}
    deliveries = tuple(_seen(row, attempts[row.key].answer if row.key in attempts else "") for row in rows)
    is_routed = record.summary.routed_at is not None
    broken = tuple(f"route {each.route!r}: {each.reason}" for each in record.routes if each.code)
    return EventState(record.summary.expected if is_routed else None, record.routes, broken, deliveries)


def _seen(row: ledger.LedgerRow, answer: str) -> DeliveryState:
    state = row.state if row.state in _SETTLED else PENDING
    if state == RETRY_SCHEDULED and row.group:
        state = GATHERED
    detail = answer or row.answer if state == DELIVERED else row.reason
    return DeliveryState(row.destination, row.route, state, row.attempt_number, detail)


def state_from_logs(records: Iterable[logs.Record], event_id: str) -> EventState:
    """Return what the logs say. The last record of each delivery counts; `records` are oldest first."""
    expected: int | None = None
    broken: dict[str, str] = {}
    deliveries: dict[str, DeliveryState] = {}
    for record in records:
        fields = record.document
        if str(fields.get("event_id")).partition("-")[0] != event_id:  # a split one is `<id>-<n>`
            continue
        count = fields.get("count")
        if record.process == "transform" and isinstance(count, int):
            expected = count
        elif record.process == "transform" and "code" in fields:
            route = str(fields.get("route", ""))
            broken[route] = f"route {route!r}: {fields.get('reason', fields['code'])}"
        elif record.process == "notify" and "delivery_id" in fields and fields.get("outcome") in _LOGGED:
            deliveries[str(fields["delivery_id"])] = _logged(record)
    return EventState(expected, (), tuple(broken.values()), tuple(deliveries.values()))


def _logged(record: logs.Record) -> DeliveryState:
    fields = record.document
    number = fields.get("attempt_number")
    return DeliveryState(
        str(fields.get("destination")),
        str(fields.get("route")),
        _LOGGED[str(fields.get("outcome"))],
        number if isinstance(number, int) else 0,
        str(fields.get("reason") or ""),
    )


def delivery_document(delivery: DeliveryState) -> JsonObject:
    names = ("destination", "route", "state", "attempts", "detail")
    return {name: getattr(delivery, name) for name in names}


# Printing its stages


@dataclass(slots=True)
class StagePrinter:
    """Prints each stage once. `clock` returns the seconds since the event was sent; `where` is the options that make
    another command look at the same platform."""

    screen: output.Screen
    clock: Callable[[], float]
    say: Callable[[str], None]
    where: str = ""
    is_routed: bool = False
    states: "dict[tuple[str, str], str] | None" = None
    documents: list[JsonObject] = field(default_factory=list)

    def stage(self, mark: str, colour: str, name: str, detail: str, todo: str = "") -> None:
        seconds = round(self.clock(), 3)
        self.documents.append({"stage": name, "ok": mark == "✓", "seconds": seconds, "detail": detail, "todo": todo})
        took = f"{self.clock():6.2f} s"
        self.say(f"{self.screen.coloured(mark, colour)} {name.ljust(STAGE_WIDTH)} {took}  {output.printable(detail)}")
        if todo:
            self.say(
                f"  {' ' * STAGE_WIDTH} {' ' * len(took)}  {self.screen.coloured('→', colour)} {output.printable(todo)}"
            )

    def look(self, state: EventState) -> None:
        if state.expected is not None and not self.is_routed:
            self.is_routed = True
            self._routed(state)
        seen = self.states if self.states is not None else {}
        self.states = seen
        for each in state.deliveries:
            key = (each.route, each.destination)
            if each.state != PENDING and seen.get(key) != each.state:
                seen[key] = each.state
                self._delivery(each)

    def _routed(self, state: EventState) -> None:
        if state.expected:
            self.stage("✓", output.GREEN, "transformed", output.count_of(state.expected, "delivery", "deliveries"))
        elif any(route.outcome == "filtered" for route in state.routes):
            self.stage(
                "✗", output.YELLOW, "transformed", "a step ended the event on purpose", "see the filter of its route"
            )
        elif not state.broken:
            self.stage("✗", output.YELLOW, "transformed", "no route matched", "check `from`, `types` and `where`")
        for broken in state.broken:
            self.stage("✗", output.RED, "transformed", broken, f"`hookchain dead-letters list{self.where}` shows it")
        for route in state.routes:
            if not route.code:
                targets = f" → {', '.join(route.destinations)}" if route.destinations else ""
                decision = "matched" if route.matched else "did not match"
                detail = output.printable(f"route {route.route!r} {decision}: {route.reason}{targets}")
                self.say(f"  {' ' * STAGE_WIDTH}           {self.screen.coloured(detail, output.DIM)}")

    def _delivery(self, each: DeliveryState) -> None:
        mark, colour = _MARKS[each.state]
        tried = f", attempt {each.attempts}" if each.attempts > 1 or each.state not in _GOOD else ""
        detail = f"{each.destination}{tried}" + (f": {each.detail}" if each.detail else "")
        self.stage(
            mark,
            colour,
            each.state,
            detail,
            _ADVICE.get(each.state, "").format(destination=each.destination, where=self.where),
        )


def follow(
    look: Callable[[], EventState], stages: StagePrinter, longest_seconds: float, sleep: Callable[[], None]
) -> EventState:
    """Return what was known last: once every delivery is settled or scheduled for a retry, or when time is over."""
    while True:
        state = look()
        stages.look(state)
        if state.is_complete or stages.clock() >= longest_seconds:
            return state
        sleep()


def timeout_text(state: EventState, longest_seconds: float, where: str = "") -> tuple[str, str]:
    """Return what did not happen in time, and what to do."""
    within = f"within {longest_seconds:g} s"
    if state.expected is None:
        return (
            f"transform did not process it {within}",
            f"`hookchain status{where}` shows the backlog; `hookchain logs{where}` may show why",
        )
    lacking = state.expected - sum(each.state != PENDING for each in state.deliveries)
    detail = f"{lacking} of {output.count_of(state.expected, 'delivery', 'deliveries')} without an attempt {within}"
    return (
        detail,
        f"`hookchain status{where}` shows the backlog; `hookchain logs --function notify{where}` may show why",
    )


_TRIES: Final = 20
_PAUSE_SECONDS: Final = 0.5
_CLOCKS_APART_SECONDS: Final = 120.0
