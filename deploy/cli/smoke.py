"""`hookchain smoke`: send one test event, signed as its source requires, and follow it to its destinations.

The command chooses a source and an event, posts the event, and then reads its state repeatedly from the journal and the
ledger, until every delivery has had a first result: it does not wait for retries.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from deploy.cli.command import DONE, NOT_DONE, TIMEOUT, USAGE, parser, run_command
from deploy.config.configured import LoadedConfig, add_configuration, configured
from deploy.history.journal_view import EventQuery, EventRecord
from deploy.history.state import State
from deploy.platforms.choice import add_platform, add_state, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.requests import events
from deploy.requests.accepted_bodies import with_accepted_body
from deploy.requests.smoke_request import Recipient, possible_recipients, post_signed, sign_for, usable_auth
from deploy.requests.sources import compiled_sources, provider_key, route_types, routes_from
from deploy.terminal import command_line, progress
from deploy.terminal.output import DIM, GREEN, RED, YELLOW, Screen, count_of, print_json, printable, stdout_screen
from functions.receive.source import read_sources
from shared import errors, http, journal, ledger
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json, JsonObject
from shared.ledger_rules import DEAD_LETTERED, DELIVERED, HELD, MERGED, RETRY_SCHEDULED
from shared.signatures.auth_scheme import AuthScheme

NEWEST_EVENT_TRIES: Final = 20
"""How often the journal is searched for an event whose id the response did not have."""
NEWEST_EVENT_PAUSE_SECONDS: Final = 0.5
CLOCK_MARGIN_SECONDS: Final = 1.0
"""How much earlier than its request the event may be dated: the clock of the deployment may be behind this one."""
READ_RIGHTS: Final = "with roles/datastore.viewer, or dynamodb:GetItem and dynamodb:Query"
"""What the operator needs to read the stores of a cloud."""


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
    """Return the exit code; USAGE if real recipients are not confirmed. Raises CommandError and HookchainError."""
    configuration = configured(options)
    source, settings, auth = _chosen_source(options, configuration)
    mark = f"smoke-{secrets.token_hex(8)}"  # unique, so that no run repeats the event of an earlier one
    request, event_type = _chosen_event(options, configuration, source, settings, mark)
    platform = open_platform(options, configuration.environ)
    url = options.to or f"{platform.serving_url()}/{source}"
    with platform.state() as stores:
        recipients = possible_recipients(configuration.slices, source, event_type)
        if not _confirm_recipients(options, recipients, platform, url):
            return USAGE
        secret = platform.secret_value(auth.secret) if auth.secret else ""
        [receiver] = read_sources({"sources": {source: settings}}).values()
        signed = sign_for(receiver, url, request, auth, secret, mark)
        return _post_and_follow(options, platform, stores, source, url, signed)


def _chosen_source(options: argparse.Namespace, configuration: LoadedConfig) -> tuple[str, JsonObject, AuthScheme]:
    """Return the source's name, its settings in receive's slice, and the scheme to sign with.

    Without --source, it is the first source for which a request can be signed, and one with a route goes before one
    without. Raises CommandError.
    """
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
    options: argparse.Namespace, configuration: LoadedConfig, source: str, settings: JsonObject, mark: str
) -> tuple[http.Request, str | None]:
    """Return the request to post, and the event's type; None for the type if only the request contains it.

    The body is the first of these that exists: a file, a sample of the source's provider, or a generated body. `mark`
    goes, whole or in part, into the id where the source reads one, so that receive takes no event for a repeat. Raises
    CommandError if no body can be generated that the source accepts.
    """
    file = options.file or _sample_file(options, configuration)
    if file is not None:
        event = events.read_event_file(file, settings, mark, options.type)
        return event.to_request(mark), options.type
    transform = configuration.slices["transform"]
    provider = provider_key(configuration, source)
    if provider:
        types = [options.type] if options.type else route_types(routes_from(transform, source))
        sample_request = events.make_provider_event(provider, types, mark, time.time())
        if sample_request is not None:
            return sample_request, options.type
    event_type = options.type or events.routed_type(transform, source)
    data = events.fitting_data(configuration.slices, source, event_type)
    event = with_accepted_body(source, settings, events.make_test_event(settings, event_type, mark, data))
    return event.to_request(mark), event_type


def _sample_file(options: argparse.Namespace, configuration: LoadedConfig) -> Path | None:
    """Return the sample beside the configuration. It is used only if it can be meant for no other source or type."""
    has_one_source = len(compiled_sources(configuration.slices["receive"])) == 1
    if not has_one_source or options.type is not None:
        return None
    return events.sample_beside(configuration.path)


def _confirm_recipients(
    options: argparse.Namespace, reached: Sequence[Recipient], platform: Platform, url: str
) -> bool:
    """Return whether the event may be sent: it reaches nobody real, or the operator agrees to the printed list.

    A mail reaches nobody where the platform catches it.
    """
    real = [each for each in reached if each.kind != "email" or platform.sends_mail()]
    if options.yes or not real:
        return True
    print(f"The test event goes to {url.partition('?')[0]} and, if the routes match, on to:", file=sys.stderr)
    for each in real:
        print(f"  {each.destination} ({each.kind})  {each.address}".rstrip(), file=sys.stderr)
    if not sys.stdin.isatty():
        print("hookchain smoke: there is no terminal to ask on; add --yes to confirm", file=sys.stderr)
        return False
    print("Send it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


# The state of the event


GATHERED: Final = "gathered"
"""The delivery waits in a group, as its destination's options require."""
PENDING: Final = "pending"
"""The delivery has no result yet."""
SUCCESSES: Final = frozenset({DELIVERED, GATHERED, MERGED})
RESULTS: Final = SUCCESSES | {RETRY_SCHEDULED, HELD, DEAD_LETTERED}


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """One delivery. `state` is PENDING or one of RESULTS. `detail` is the destination's answer, or the reason why the
    delivery is not delivered."""

    destination: str
    route: str
    state: str
    attempts: int
    detail: str = ""

    @property
    def is_success(self) -> bool:
        return self.state in SUCCESSES


@dataclass(frozen=True, slots=True)
class EventState:
    """The state of an event, as far as the journal and the ledger have it at one moment.

    expected    the number of its deliveries; None before transform has processed it
    routes      the decisions of the routes
    broken      the faults of chains, as texts to print
    deliveries  the deliveries that are known so far
    """

    expected: int | None = None
    routes: tuple[journal.RouteDecision, ...] = ()
    broken: tuple[str, ...] = ()
    deliveries: tuple[DeliveryState, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Return whether every delivery has had a result, which need not be the last one: a retry may follow."""
        return self.expected is not None and self.count_with_result >= self.expected

    @property
    def count_with_result(self) -> int:
        """Return the number of deliveries that have had a result."""
        return sum(each.state != PENDING for each in self.deliveries)

    @property
    def is_good(self) -> bool:
        """Return whether there are deliveries, and each was delivered or gathered for a digest."""
        if not self.is_complete or self.broken:
            return False
        return bool(self.deliveries) and all(each.is_success for each in self.deliveries)


def state_from_records(record: EventRecord | None, rows: Sequence[ledger.LedgerRow]) -> EventState:
    """Return the state by the event's record in the journal and its rows in the ledger. None: it is not listed yet."""
    if record is None:
        return EventState()
    answers = {attempt.delivery_id: attempt.answer for attempt in record.attempts}
    deliveries = tuple(_state_from_row(row, answers.get(row.key, "")) for row in rows)
    is_routed = record.summary.routed_at is not None
    broken = tuple(f"route {each.route!r}: {each.reason}" for each in record.routes if each.code)
    return EventState(record.summary.expected if is_routed else None, record.routes, broken, deliveries)


def _state_from_row(row: ledger.LedgerRow, journal_answer: str) -> DeliveryState:
    """Return the state of a delivery. `journal_answer` is that of its last attempt; empty if the journal has none."""
    state = row.state if row.state in RESULTS else PENDING
    if state == RETRY_SCHEDULED and row.group:
        state = GATHERED
    answer = journal_answer or row.answer
    detail = answer if state == DELIVERED else row.reason
    return DeliveryState(row.destination, row.route, state, row.attempt_number, detail)


# The stages


STAGE_WIDTH: Final = 11
_TIME_WIDTH: Final = 8
"""The characters of a time such as `  0.12 s`. A longer one makes its line longer."""


class Advice(NamedTuple):
    """The colour of a delivery without success, and the text that says what to do next.

    In the text, `{destination}` is the delivery's destination and `{where}` is `StagePrinter.where`.
    """

    colour: str
    text: str


ADVICE: Final[Mapping[str, Advice]] = {
    RETRY_SCHEDULED: Advice(YELLOW, "it is retried automatically; `hookchain events list{where}` shows its status"),
    HELD: Advice(YELLOW, "fix the reason, then: hookchain resume {destination}{where}"),
    DEAD_LETTERED: Advice(RED, "to see it: hookchain dead-letters list{where}; `dead-letters replay ID` repeats it"),
}
"""By the state of the delivery: every result that is no success."""


@dataclass(slots=True)
class StagePrinter:
    """A printer of the stages that one event reaches, each once. It remembers what it has printed.

    clock      returns the seconds since the event was sent
    say        prints a line
    where      the options with which another command reads the same platform, after a space; empty for this machine
    documents  the printed stages, for `--json`
    """

    screen: Screen
    clock: Callable[[], float]
    say: Callable[[str], None]
    where: str = ""
    documents: list[JsonObject] = field(default_factory=list)
    _is_routing_printed: bool = False
    _printed_states: dict[tuple[str, str], str] = field(default_factory=dict)
    """The state of each delivery that was printed last, by route and destination."""

    def print_success(self, name: str, detail: str) -> None:
        self._print("✓", GREEN, name, detail)

    def print_fault(self, colour: str, name: str, detail: str, todo: str) -> None:
        """Print a stage that was not reached, or without success. `todo` is what to do next."""
        took = self._print("✗", colour, name, detail, todo)
        arrow = self.screen.coloured("→", colour)
        self.say(f"  {' ' * STAGE_WIDTH} {' ' * len(took)}  {arrow} {printable(todo)}")

    def _print(self, mark: str, colour: str, name: str, detail: str, todo: str = "") -> str:
        """Print the stage, and return the column with its time, for the indentation of a line below it.

        A stage with something `todo` is one without success.
        """
        seconds = self.clock()
        is_ok = not todo
        self.documents.append(
            {"stage": name, "ok": is_ok, "seconds": round(seconds, 3), "detail": detail, "todo": todo}
        )
        took = f"{seconds:6.2f} s"
        self.say(f"{self.screen.coloured(mark, colour)} {name.ljust(STAGE_WIDTH)} {took}  {printable(detail)}")
        return took

    def print_changes(self, state: EventState) -> None:
        """Print the stages that the event has reached since the last call.

        A delivery is printed again when its state changes, as from a retry to success.
        """
        if state.expected is not None and not self._is_routing_printed:
            self._is_routing_printed = True
            self._print_routing(state)
        for each in state.deliveries:
            key = (each.route, each.destination)
            if each.state != PENDING and self._printed_states.get(key) != each.state:
                self._printed_states[key] = each.state
                self._print_delivery(each)

    def _print_routing(self, state: EventState) -> None:
        """Print what transform has decided: the number of deliveries or why there are none, then each route."""
        if state.expected:
            self.print_success("transformed", count_of(state.expected, "delivery", "deliveries"))
        elif any(route.outcome == "filtered" for route in state.routes):
            rule = "a step ended the event on purpose"
            self.print_fault(YELLOW, "transformed", rule, "see the filter of its route")
        elif not state.broken:
            self.print_fault(YELLOW, "transformed", "no route matched", "check `from`, `types` and `where`")
        for broken in state.broken:
            self.print_fault(RED, "transformed", broken, f"`hookchain dead-letters list{self.where}` shows it")
        for route in state.routes:
            if not route.code:  # a route with the code of a fault is one of `broken`
                targets = f" → {', '.join(route.destinations)}" if route.destinations else ""
                decision = "matched" if route.matched else "did not match"
                detail = printable(f"route {route.route!r} {decision}: {route.reason}{targets}")
                self.say(f"  {' ' * STAGE_WIDTH} {' ' * _TIME_WIDTH}  {self.screen.coloured(detail, DIM)}")

    def _print_delivery(self, delivery: DeliveryState) -> None:
        detail = delivery.destination
        if delivery.attempts > 1 or not delivery.is_success:
            detail += f", attempt {delivery.attempts}"
        if delivery.detail:
            detail += f": {delivery.detail}"
        if delivery.is_success:
            self.print_success(delivery.state, detail)
            return
        advice = ADVICE[delivery.state]
        todo = advice.text.format(destination=delivery.destination, where=self.where)
        self.print_fault(advice.colour, delivery.state, detail, todo)

    def print_end(self, state: EventState, event_id: str, longest_seconds: float) -> None:
        """Print the result, and which stage was not reached in `longest_seconds`. `event_id` is the whole id."""
        if state.is_good:
            line = f"It works: {len(state.deliveries)} of {state.expected} delivered."
            self.say(self.screen.coloured(line, GREEN))
            return
        if not state.is_complete:
            self._print_timeout(state, longest_seconds)
        self.say(f"It was not delivered. Details: hookchain events show {event_id[:12]}{self.where}")

    def _print_timeout(self, state: EventState, longest_seconds: float) -> None:
        detail = "transform did not process it"
        function = ""
        if state.expected is not None:
            missing = state.expected - state.count_with_result
            detail = f"{missing} of {count_of(state.expected, 'delivery', 'deliveries')} without an attempt"
            function = " --function notify"
        logs = f"`hookchain logs{function}{self.where}` may show why"
        todo = f"`hookchain status{self.where}` shows the backlog; {logs}"
        self.print_fault(RED, "stopped", f"{detail} within {longest_seconds:g} s", todo)


def follow(
    read_state: Callable[[], EventState], stages: StagePrinter, longest_seconds: float, pause: Callable[[], None]
) -> EventState:
    """Print the stages until every delivery has had a result, or until the time is over. Return the last state.

    `pause` waits until the next reading. Raises what `read_state` raises.
    """
    while True:
        state = read_state()
        stages.print_changes(state)
        if state.is_complete or stages.clock() >= longest_seconds:
            return state
        pause()


# From the request to the end


def _read_event_state(stores: State, event_id: str) -> EventState:
    record = stores.reader.event(event_id)
    return state_from_records(record, stores.deliveries(event_id) if record else ())


def _newest_id(stores: State, source: str, since: float) -> str | None:
    """Return the id of the source's newest event since a time; None if there is none after some seconds.

    It is needed for providers that expect a reply without an event id. If the source is busy, the event can be another
    sender's.
    """
    query = EventQuery(source=source, since=since, limit=1)
    for _ in range(NEWEST_EVENT_TRIES):
        if found := stores.reader.events(query).events:
            return found[0].id
        time.sleep(NEWEST_EVENT_PAUSE_SECONDS)
    return None


def _post_and_follow(
    options: argparse.Namespace,
    platform: Platform,
    stores: State,
    source: str,
    url: str,
    request: http.Request,
) -> int:
    """Post the signed request, print the stages of its event, and return the exit code. Raises CommandError.

    If the stores cannot be read after the request was accepted, that is printed as the last stage.
    """
    started = time.monotonic()
    line = progress.PassingLine(sys.stderr)

    def say(text: str) -> None:
        line.clear()
        if not options.json:
            print(text, flush=True)

    stages = StagePrinter(stdout_screen(), lambda: time.monotonic() - started, say, same_platform(options))

    def pause() -> None:
        if stages.clock() > 1:  # a line that appears at once would only flicker on this machine
            line.show(f"  waiting … {stages.clock():.0f} s")
        time.sleep(platform.traits.poll_seconds)

    event_id = _post(stores, source, url, request, stages)
    event_state = EventState()
    if event_id is not None:
        longest_seconds = options.timeout or platform.traits.smoke_seconds
        try:
            event_state = follow(lambda: _read_event_state(stores, event_id), stages, longest_seconds, pause)
        except errors.HookchainError as error:
            rule = f"whether it was delivered is not known: {error.detail}"
            stages.print_fault(
                RED, "stopped", rule, f"{READ_RIGHTS}: hookchain events show {event_id[:12]}{stages.where}"
            )
        else:
            stages.print_end(event_state, event_id, longest_seconds)
    if options.json:
        deliveries: list[Json] = [asdict(each) for each in event_state.deliveries]
        report: JsonObject = {"source": source, "url": url, "event": event_id, "deliveries": deliveries}
        print_json({"ok": event_state.is_good, **report, "stages": [*stages.documents]})
    return DONE if event_state.is_good else NOT_DONE


def _post(stores: State, source: str, url: str, request: http.Request, stages: StagePrinter) -> str | None:
    """Post the request and return the event's id; None if it was rejected, or if the event is not found.

    Prints the stage in each case. Raises CommandError.
    """
    posted_at = time.time()
    outcome = post_signed(request, url)
    if not outcome.ok:
        advice = f"hookchain logs --function receive{stages.where}"
        stages.print_fault(RED, "accepted", outcome.message, advice)
        return None
    event_id = outcome.event_id or _newest_id(stores, source, posted_at - CLOCK_MARGIN_SECONDS)
    if event_id is None:
        rule = "accepted, but no event of this source was found"
        stages.print_fault(RED, "stopped", rule, f"hookchain status{stages.where}")
        return None
    stages.print_success("accepted", f"as event {event_id}")
    return event_id
