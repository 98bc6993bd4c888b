"""`hookchain trigger PROVIDER [EVENT]`: send a provider's signed sample, and print the result.

Find the source (deploy/requests/trigger_target.py), take a sample and sign it as the provider does, or break it on
purpose (deploy/requests/signed_samples.py), send it, and print the response with what the journal of a running
`hookchain dev` has about it.
"""

import argparse
import datetime
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from deploy.cli import look_up, send
from deploy.cli.command import DONE, NOT_DONE, USAGE, parser, run_command
from deploy.client.hookchain.http import NoResponse, Response
from deploy.client.hookchain.outcome import Outcome, read_outcome
from deploy.config import dotenv, running_dev
from deploy.config.checkout import env_file
from deploy.config.configured import add_configuration, configured, environ_of
from deploy.config.sections import catalogue_pages
from deploy.config.sections.catalogue import load_catalogue
from deploy.history import journal_view, local_requests
from deploy.history.local import expected_ports, open_local_state, running_ports
from deploy.history.state import State, StateFault
from deploy.platforms.choice import add_state
from deploy.requests import posting, sender_keys, sources, trigger_target
from deploy.requests.samples import Fresh, Sample, sample_names
from deploy.requests.signed_samples import BREAKS, Break, CannotSign, Keys, chosen_sample, signed_sample
from deploy.secrets.backend import DotenvBackend
from deploy.terminal.output import clock, count_of, printable
from shared import http, jsontext, ledger, outcomes, settings
from shared.did_you_mean import did_you_mean
from shared.secrets import variable_name
from shared.signatures.auth_scheme import AuthScheme

TIMEOUT_SECONDS: Final = 10.0
"""How long the receiver may take for its response."""
WAIT_SECONDS: Final = 5.0
"""The longest time that the command waits for the result of the sample, on this machine."""
MAX_EVENTS: Final = 10
"""The most events, or rejected requests, among which those of the sample are searched for."""
_POLL_SECONDS: Final = 0.1
_SHOWN_STATUSES: Final[frozenset[outcomes.EventStatus]] = frozenset(
    {"no_route", "filtered", "duplicate", "delivered", "merged", "dead_lettered", "waiting", "retry_scheduled", "held"}
)
"""The statuses of an event at which the command stops waiting: no attempt or step is under way."""
IGNORED: Final = {
    "--list": ("--to", "--source", "--break", "--variant", "--make-key"),
    "--make-key": ("--to", "--break", "--variant", "--json"),
}
"""By option: the options that have no effect beside it."""


class Choice(NamedTuple):
    """The provider that PROVIDER means, and the source: the one of --source, or PROVIDER if it names a source."""

    provider: str
    source_name: str | None


def main(arguments: list[str]) -> int:
    command = parser("trigger")
    add = command.add_argument
    add(
        "provider",
        metavar="PROVIDER",
        help="name the provider, such as github (see `hookchain providers`), or a source",
    )
    add("event", metavar="EVENT", nargs="?", help="name a sample or a handshake (see --list) [the first]")
    add("--to", metavar="URL", help="send to this URL [the source's own on this machine]")
    add("--source", metavar="NAME", help="send as this source of the configuration")
    add(
        "--break",
        dest="broken_part",
        choices=list(BREAKS),
        help="make this part wrong, to see the request rejected",
    )
    add("--variant", metavar="NAME", help="sign with this variant of the source's auth [the first]")
    add("--list", action="store_true", help="list the provider's samples and handshakes")
    add("--make-key", action="store_true", help="generate a key pair to sign with in the provider's place")
    add("--json", action="store_true", help="print one JSON object: ok, status, event_id, code, message; or the list")
    add_configuration(command, creates_env_file=True)
    add_state(command)
    command.reject_ignored(arguments, IGNORED)
    options = command.parse_args(arguments)
    is_file_needed = options.env_file != env_file() and not options.make_key  # it was named, and is not created
    if is_file_needed and not options.env_file.exists():
        command.error(f"argument --env-file: must be a file that exists; got {str(options.env_file)!r}")
    if options.event and (options.list or options.make_key):
        command.error("argument EVENT: has no effect with --list or --make-key")
    return run_command("trigger", lambda: _run(options), ValueError, error_code=USAGE)


def _run(options: argparse.Namespace) -> int:
    """List the samples, make a key to sign with, or send a sample. Return the exit code.

    If only the provider can sign the sample, print this and return NOT_DONE. Raises ValueError, OSError and
    HookchainError, and the faults of a configuration.
    """
    choice = _choose_provider(options)
    if options.list:
        _print_list(choice.provider, as_json=options.json)
        return DONE
    environ = environ_of(options)
    try:
        target = _find_target(choice, options, environ)
        if options.make_key:
            print("\n".join(_make_key(target, options.env_file, options.state)))
            return DONE
        return _send(target, options, environ)
    except CannotSign as reason:
        print(_cannot_sign_text(choice.provider, reason), file=sys.stderr)
        return NOT_DONE


def _choose_provider(options: argparse.Namespace) -> Choice:
    """Return the provider, and the source if the user chose one. A provider goes before a source of its name.

    Raises ValueError.
    """
    catalogue = load_catalogue()
    key = look_up.key_of(options.provider)
    if key in catalogue:
        return Choice(key, options.source)
    configuration = configured(options)
    if provider := sources.provider_key(configuration, options.provider):
        return Choice(provider, options.provider)
    if options.provider in sources.compiled_sources(configuration.slices["receive"]):
        raise ValueError(_unsampled_text(options.provider))
    raise ValueError(f"there is no provider {options.provider!r}{did_you_mean(key, catalogue)}")


def _print_list(provider: str, *, as_json: bool) -> None:
    samples = sample_names(provider)
    handshakes: list[jsontext.Json] = [handshake.name for handshake in load_catalogue()[provider].handshakes]
    if as_json:
        print(jsontext.to_json({"provider": provider, "samples": [*samples], "handshakes": handshakes}))
    else:
        print("\n".join([*samples, *(f"{name}  (handshake)" for name in handshakes)]))


def _find_target(
    choice: Choice, options: argparse.Namespace, environ: Mapping[str, str]
) -> trigger_target.TriggerTarget:
    """Return the source and the URL to send to. Raises ValueError if no source of the provider is configured, unless
    the user chose the URL, and the faults of a configuration.
    """
    receive_port = expected_ports(options.state, environ).receive
    target = trigger_target.trigger_target(
        choice.provider, configured(options), choice.source_name, options.to, receive_port
    )
    if not target.is_configured and options.to is None:
        raise ValueError(trigger_target.missing_source_text(choice.provider, target.entry))
    return target


def _send(target: trigger_target.TriggerTarget, options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Send the sample, print the result, and return the exit code of `print_result`.

    Raises CannotSign and what _run does.
    """
    keys = Keys(environ, options.state)
    ten_digits = str(secrets.randbelow(9 * 10**9) + 10**9)  # no zero at the beginning: an id may be a number
    fresh = Fresh(time.time(), secrets.token_hex(6), ten_digits)
    sample = chosen_sample(target, options.event, keys, fresh)
    request = signed_sample(target, sample, keys, fresh, options.broken_part, options.variant)
    answer = _posted(request, target.url, is_broken=options.broken_part is not None)
    sent = SentSample(
        target,
        sample,
        options.broken_part,
        is_elsewhere=options.to is not None,
        sent_at=fresh.now,
        answer=answer,
        outcome=read_outcome(answer, TIMEOUT_SECONDS),
        state_folder=options.state,
    )
    return print_result(sent, as_json=options.json)


def _posted(request: http.Request, url: str, *, is_broken: bool) -> Response | NoResponse:
    """Send the request until it is confirmed. A broken one is sent once, because it must be rejected."""

    def post() -> Response | NoResponse:
        return posting.post_request(request, url, TIMEOUT_SECONDS)

    if is_broken:
        return post()
    return posting.send_until_confirmed(post, lambda answer: read_outcome(answer, TIMEOUT_SECONDS))


def _make_key(target: trigger_target.TriggerTarget, env_file: Path, state: Path) -> list[str]:
    """Generate a key pair for the source. Raises as make_key, and ValueError if its provider does not sign with one."""
    auth = next((each for each in target.source.auth if each.secret and sender_keys.is_asymmetric(each)), None)
    if auth is None:
        raise ValueError(f"{target.entry.name} does not sign with a key pair that can be generated here")
    return make_key(auth, env_file, state)


def make_key(auth: AuthScheme, env_file: Path, state: Path) -> list[str]:
    """Generate a key pair and return lines with its locations. The public key becomes the newest value of the secret.

    `auth` verifies with a public key. Raises OSError, DotenvFault and BackendError.
    """
    pair = sender_keys.generate_key_pair(auth)
    earlier_values = dotenv.read_dotenv(env_file).get(variable_name(auth.secret), "").strip("\n")
    folder = settings.read_settings(os.environ).secrets_folder
    today = datetime.datetime.now(datetime.UTC).date()
    backend = DotenvBackend(env_file, os.environ, folder, today)
    newest_first = "\n".join(filter(None, (pair.public, earlier_values)))
    lines = backend.write(auth.secret, newest_first, forget=False)
    path = sender_keys.store_private_key(state, auth.secret, pair)
    return [f"public key: {line}" for line in lines] + [f"private key: stored in {path}"]


def _unsampled_text(source: str) -> str:
    rule = f"the source {source!r} has no provider, and samples are of providers only"
    return f"{rule}. Send it a test event: hookchain smoke --source {source}"


def _cannot_sign_text(provider: str, reason: CannotSign) -> str:
    """Return why the sample was not sent, how its verification was tested instead, and what can be sent."""
    entry = load_catalogue()[provider]
    detail = f": {entry.proven.detail}" if entry.proven.detail else ""
    lines = [
        f"hookchain trigger: a sample of {entry.name} cannot be signed here: {reason}.",
        f"Its verification was tested with {catalogue_pages.PROVEN[entry.proven.by]}{detail}.",
        f"`hookchain trigger {provider} --break signature` sends a forged request, which must be rejected.",
    ]
    if reason.needs_key_pair:
        lines.append(f"`hookchain trigger {provider} --make-key` generates a key pair to test with.")
    return "\n".join(lines)


# The result


@dataclass(frozen=True, slots=True)
class SentSample:
    """A sample that was sent, and what came of it.

    broken_part   the part of the request that was wrong; None if it was right
    is_elsewhere  the user chose the URL, so no journal on this machine has the event
    sent_at       Unix seconds
    state_folder  that of `hookchain dev`
    """

    target: trigger_target.TriggerTarget
    sample: Sample
    broken_part: Break | None
    is_elsewhere: bool
    sent_at: float
    answer: Response | NoResponse
    outcome: Outcome
    state_folder: Path

    @property
    def is_rejected(self) -> bool:
        return self.outcome.status is not None and 400 <= self.outcome.status < 500

    @property
    def is_as_expected(self) -> bool:
        """Return whether a right sample was accepted, or a broken one rejected."""
        return self.is_rejected if self.broken_part else self.outcome.ok


def print_result(sent: SentSample, *, as_json: bool) -> int:
    """Print the result, and return the exit code: DONE if it is as expected."""
    target, outcome = sent.target, sent.outcome
    if as_json:
        fields = {name: getattr(outcome, name) for name in ("ok", "status", "event_id", "code", "message")}
        print(jsontext.to_json({"provider": target.provider, "event": sent.sample.event, "url": target.url, **fields}))
    else:
        _print_text(sent)
    return DONE if sent.is_as_expected else NOT_DONE


def _print_text(sent: SentSample) -> None:
    target = sent.target
    broken = f", {sent.broken_part} broken" if sent.broken_part else ""
    print(f"{target.entry.name}, {sent.sample.event}{broken}, to {printable(target.url)}")
    needs_start = not sent.is_elsewhere and isinstance(sent.answer, NoResponse)
    start = f"; start `{running_dev.start_command(sent.state_folder)}`" if needs_start else ""
    print(f"  {printable(_result_text(sent))}{start}{_verdict(sent)}")
    note = send.wrong_port_note(target.url, sent.outcome, sent.state_folder)
    if note:
        print(f"  {note}")
    elif not sent.is_elsewhere:
        for line in _journal_lines(sent):
            print(f"  {printable(line)}")


def _result_text(sent: SentSample) -> str:
    """Return the outcome; for a handshake that succeeded, the reply, which the provider would compare."""
    answer = sent.answer
    if sent.sample.is_handshake and sent.outcome.ok and isinstance(answer, Response):
        return f"answered ({answer.status}): {answer.body.decode('utf-8', 'replace')[:200]}"
    return sent.outcome.message


def _verdict(sent: SentSample) -> str:
    """Return whether a broken sample was rejected as it should; empty for one that is right."""
    if sent.broken_part is None:
        return ""
    if sent.is_rejected:
        return ", as expected"
    if sent.outcome.ok:
        return "; IT SHOULD HAVE BEEN REJECTED"
    has_no_key = sent.outcome.status == 503 and catalogue_pages.uses_provider_keys(sent.target.entry)
    key = ": the provider's public key cannot be fetched" if has_no_key else ""
    return f"; neither accepted nor rejected{key}"


def _journal_lines(sent: SentSample) -> list[str]:
    """Return what the journal has about the event: its deliveries, or why the request was rejected."""
    if sent.outcome.ok:
        return (
            [] if sent.sample.is_handshake else _wait_for(sent.state_folder, lambda state: _look_at_events(sent, state))
        )
    if sent.outcome.status is None:  # there was no response
        return []
    lines = _why_rejected(sent)
    if sent.broken_part:
        lines.append("`hookchain status` calls the source failing until its next event is accepted")
    return lines


def _why_rejected(sent: SentSample) -> list[str]:
    """Return receive's diagnosis, or the finding of its check if it made none."""
    if running_ports(sent.state_folder) is None:
        command = running_dev.start_command(sent.state_folder)
        found = f"no `{command}` runs with {sent.state_folder}, so another program answered"
        return [f"why: {found}. Set HOOKCHAIN_STATE and PORT_BASE as for the `{command}` that you mean"]
    return _wait_for(sent.state_folder, lambda state: _look_at_rejections(sent, state))


class Look(NamedTuple):
    """The lines to print by what the journal has now. Unless they are final, a later look may have more."""

    lines: list[str]
    is_final: bool


def _wait_for(state_folder: Path, look: Callable[[State], Look]) -> list[str]:
    """Return the lines once they are final, or after WAIT_SECONDS; none if no `hookchain dev` runs."""
    deadline = time.monotonic() + WAIT_SECONDS
    while running_ports(state_folder) is not None:
        try:
            with open_local_state(state_folder) as state:
                seen = look(state)
        except StateFault:
            return []
        if seen.is_final or time.monotonic() > deadline:
            return seen.lines
        time.sleep(_POLL_SECONDS)
    return []


def _look_at_events(sent: SentSample, state: State) -> Look:
    """Return the lines about the events of the sample, which are final once each has one of _SHOWN_STATUSES.

    Without an id in the reply, these are the source's events since the request was sent.
    """
    if sent.outcome.event_id:
        ids = [sent.outcome.event_id]
    else:
        source = sent.target.source.name
        page = state.reader.events(journal_view.EventQuery(source=source, since=sent.sent_at, limit=MAX_EVENTS))
        ids = [event.id for event in reversed(page.events)]
    lines: list[str] = []
    records = [(event_id, state.reader.event(event_id)) for event_id in ids]
    for event_id, record in records:
        lines += _event_lines(event_id, record, state) if record else []
    is_final = bool(ids) and all(record and record.summary.status in _SHOWN_STATUSES for _, record in records)
    return Look(lines, is_final)


def _event_lines(event_id: str, record: journal_view.EventRecord, state: State) -> Iterator[str]:
    yield f"{record.summary.type} {event_id[:8]}: {record.summary.status}"
    yield from (f"  route {each.route!r}: {each.outcome}: {each.reason}" for each in record.routes)
    if record.other_routes:
        others = count_of(record.other_routes, "other route")
        yield f"  {others} did not match: `hookchain events show {event_id[:8]}` prints why"
    yield from (f"  to {row.destination}: {_state_text(row)}" for row in state.deliveries(event_id))


def _state_text(row: ledger.LedgerRow) -> str:
    """Return the state of a delivery with its reason. In a group, it waits until the group is sent."""
    if row.group and row.retry_at is not None:
        return f"waits until {clock(row.retry_at)}: {row.reason}"
    reason = f": {row.reason}" if row.reason and row.state != "delivered" else ""
    return f"{row.state}{reason}"


def why_of(detail: str) -> str:
    """Return the diagnosis in a rejection's detail, else the finding of its check."""
    finding, _, why = detail.partition(local_requests.HEADERS)[0].partition(local_requests.WHY)
    return why or finding


def _look_at_rejections(sent: SentSample, state: State) -> Look:
    """Return the reason of the source's newest rejection since the request was sent. It is final once there is one."""
    for request in state.reader.rejected(MAX_EVENTS):
        if request.source == sent.target.source.name and request.at >= sent.sent_at:
            return Look([f"why: {why_of(request.detail)}"], is_final=True)
    return Look([], is_final=False)
