"""`hookchain trigger PROVIDER [EVENT]`: send a provider's signed sample, and print the result."""

import argparse
import datetime
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Final

from deploy.cli.command import NOT_DONE, USAGE, parser, run_command
from deploy.cli.providers import key_of
from deploy.cli.sent_event import SentEvent, result_lines, why_rejected, wrong_port_note
from deploy.cli.trigger_request import (
    CannotSign,
    Keys,
    TriggerTarget,
    chosen_sample,
    missing_source_text,
    signed_sample,
    trigger_target,
)
from deploy.client.hookchain.http import NoResponse, Response
from deploy.client.hookchain.outcome import Outcome, read_outcome
from deploy.config.catalogue import load_catalogue
from deploy.config.catalogue_pages import PROVEN
from deploy.config.catalogue_source import uses_provider_keys
from deploy.config.checkout import env_file
from deploy.config.configured import add_configuration, configured, environ_of
from deploy.config.dotenv import read_dotenv
from deploy.platforms.choice import add_state
from deploy.requests.breaking import BREAKS
from deploy.requests.generated_keys import generate_key_pair, is_asymmetric, store_private_key
from deploy.requests.posting import post_request
from deploy.requests.repeating import send_until_confirmed
from deploy.requests.samples import Fresh, Sample, sample_names
from deploy.requests.sources import provider_key
from deploy.secrets.backend import BackendError
from deploy.secrets.dotenv_backend import DotenvBackend
from deploy.terminal.tables import printable
from shared.did_you_mean import did_you_mean
from shared.http import Request
from shared.jsontext import Json, to_json
from shared.secrets import variable_name

DETAILS: Final = """\
The secret is the source's, looked up as the functions do, and in .env. If a source has a provider's public key,
--make-key generates a key pair to sign with: its public key becomes one more value of the secret in .env, its private
key stays in the state folder. Only the provider can sign what needs a certificate (Amazon SNS, PayPal).

A sample that the receiver does not confirm (503) is sent again, twice at most, after the wait that it asks for."""
EXAMPLES: Final = """\
  hookchain trigger github                 a push, while `make dev` runs
  hookchain trigger stripe invoice.payment_failed
  hookchain trigger slack --break clock    signed too long ago: it must be rejected
  hookchain trigger github --list          the samples and handshakes of GitHub
  hookchain trigger github --to https://hooks.example.com/github"""
TIMEOUT_SECONDS: Final = 10.0
IGNORED: Final = {
    "--list": ("--to", "--source", "--break", "--variant", "--make-key"),
    "--make-key": ("--to", "--break", "--variant", "--json"),
}
"""For each option, those that it leaves without effect."""


def main(arguments: list[str]) -> int:
    codes = "0 accepted, or rejected with --break; 1 any other result; 2 usage error"
    command = parser("trigger", EXAMPLES, details=DETAILS, exit_codes=codes)
    add = command.add_argument
    add(
        "provider",
        metavar="PROVIDER",
        help="name the provider, such as github (see `hookchain providers`), or a source",
    )
    add("event", metavar="EVENT", nargs="?", help="name a sample or a handshake (see --list) [the first]")
    add("--to", metavar="URL", help="send to this URL [the source's own on this machine]")
    add("--source", metavar="NAME", help="send as this source of the configuration")
    add("--break", dest="what", choices=BREAKS, help="make this part wrong, to see the request rejected")
    add("--variant", metavar="NAME", help="sign with this variant of the source's auth [the first]")
    add("--list", action="store_true", help="list the provider's samples and handshakes")
    add("--make-key", action="store_true", help="generate a key pair to sign with in the provider's place")
    add("--json", action="store_true", help="print one JSON object: ok, status, event_id, code, message; or the list")
    add_configuration(command, creates_env_file=True)
    add_state(command)
    command.reject_ignored(arguments, IGNORED)
    options = command.parse_args(arguments)
    if options.env_file != env_file() and not options.make_key and not options.env_file.exists():
        command.error(f"argument --env-file: must be a file that exists; got {str(options.env_file)!r}")
    if options.event and (options.list or options.make_key):
        command.error("argument EVENT: has no effect with --list or --make-key")
    return run_command("trigger", lambda: _signed(options), ValueError, OSError, BackendError, error_code=USAGE)


def _signed(options: argparse.Namespace) -> int:
    try:
        return _run(options)
    except CannotSign as reason:
        print(_cannot_sign_text(options, reason), file=sys.stderr)
        return NOT_DONE


def _run(options: argparse.Namespace) -> int:
    """Raises CannotSign, ValueError, OSError, HookchainError, and the faults of a configuration."""
    catalogue = load_catalogue()
    provider = key_of(options.provider)
    if provider not in catalogue and (source_provider := provider_key(configured(options), options.provider)):
        options.source, options.provider, provider = options.provider, source_provider, source_provider
    if provider not in catalogue:
        raise ValueError(f"there is no provider {options.provider!r}{did_you_mean(provider, catalogue)}")
    if options.list:
        handshakes = [f"{handshake.name}  (handshake)" for handshake in catalogue[provider].handshakes]
        if options.json:
            named: list[Json] = [handshake.name for handshake in catalogue[provider].handshakes]
            print(to_json({"provider": provider, "samples": [*sample_names(provider)], "handshakes": named}))
        else:
            print("\n".join([*sample_names(provider), *handshakes]))
        return 0
    environ = environ_of(options)
    target = trigger_target(provider, options, environ)
    if not target.is_configured and options.to is None:
        raise ValueError(missing_source_text(provider, target.entry))
    keys = Keys(environ, options.state)
    if options.make_key:
        print("\n".join(_make_key(target, options.env_file, options.state)))
        return 0
    fresh = Fresh(time.time(), secrets.token_hex(6), str(secrets.randbelow(9 * 10**9) + 10**9))
    sample = chosen_sample(target, options.event, keys, fresh)
    request = signed_sample(target, sample, keys, fresh, options.what, options.variant)
    return _print_result(options, target, sample, _posted(request, target.url, is_broken=bool(options.what)), fresh.now)


def _posted(request: Request, url: str, *, is_broken: bool) -> Response | NoResponse:
    """Send the request until it is confirmed; once where a part of it is wrong, because it must be rejected."""

    def post() -> Response | NoResponse:
        return post_request(request, url, TIMEOUT_SECONDS)

    if is_broken:
        return post()
    return send_until_confirmed(post, lambda answer: read_outcome(answer, TIMEOUT_SECONDS))


def _make_key(target: TriggerTarget, env_file: Path, state: Path) -> list[str]:
    """Make a key pair and return lines that say where it is. Its public key becomes the newest value of the secret.

    Raises ValueError if the provider signs with no key pair, OSError, DotenvFault and BackendError.
    """
    auth = next((each for each in target.source.auth if each.secret and is_asymmetric(each)), None)
    if auth is None:
        raise ValueError(f"{target.entry.name} does not sign with a key pair that can be made here")
    pair = generate_key_pair(auth)
    others = read_dotenv(env_file).get(variable_name(auth.secret), "").strip("\n")
    folder = Path(os.environ.get("SECRETS_DIR") or "/secrets")
    place = DotenvBackend(env_file, os.environ, folder, datetime.datetime.now(datetime.UTC).date())
    lines = place.write(auth.secret, "\n".join(filter(None, (pair.public, others))), forget=False)
    path = store_private_key(state, auth.secret, pair)
    return [f"public key: {line}" for line in lines] + [f"private key: stored in {path}"]


def _print_result(
    options: argparse.Namespace, target: TriggerTarget, sample: Sample, answer: Response | NoResponse, at: float
) -> int:
    outcome = read_outcome(answer, TIMEOUT_SECONDS)
    rejected = outcome.status is not None and 400 <= outcome.status < 500
    is_right = rejected if options.what else outcome.ok
    if options.json:
        fields = {name: getattr(outcome, name) for name in ("ok", "status", "event_id", "code", "message")}
        print(to_json({"provider": target.provider, "event": sample.event, "url": target.url, **fields}))
        return 0 if is_right else 1
    print(
        f"{target.entry.name}, {sample.event}{f', {options.what} broken' if options.what else ''}, "
        f"to {printable(target.url)}"
    )
    start = "; start `make dev`" if options.to is None and isinstance(answer, NoResponse) else ""
    print(f"  {printable(_result_text(outcome, sample, answer))}{start}{_verdict(options, target, outcome, rejected)}")
    if note := wrong_port_note(target.url, outcome, options.state):
        print(f"  {note}")
    for line in () if options.to or note else _result_lines(options, target, outcome, sample, at):
        print(f"  {printable(line)}")
    return 0 if is_right else 1


def _result_lines(
    options: argparse.Namespace, target: TriggerTarget, outcome: Outcome, sample: Sample, at: float
) -> list[str]:
    sent = SentEvent(target.source.name, at, outcome.event_id)
    if outcome.ok:
        return [] if sample.is_handshake else result_lines(sent, options.state)
    return why_rejected(sent, options.state) if outcome.status else []


def _result_text(outcome: Outcome, sample: Sample, answer: Response | NoResponse) -> str:
    if sample.is_handshake and outcome.ok and isinstance(answer, Response):
        return f"answered ({answer.status}): {answer.body.decode('utf-8', 'replace')[:200]}"
    return outcome.message


def _verdict(options: argparse.Namespace, target: TriggerTarget, outcome: Outcome, rejected: bool) -> str:
    if not options.what:
        return ""
    if rejected:
        return ", as expected"
    if outcome.ok:
        return "; IT SHOULD HAVE BEEN REJECTED"
    key = ": the provider's public key cannot be fetched" if uses_provider_keys(target.entry) else ""
    return f"; neither accepted nor rejected{key if outcome.status == 503 else ''}"


def _cannot_sign_text(options: argparse.Namespace, reason: CannotSign) -> str:
    provider = key_of(options.provider)
    entry = load_catalogue()[provider]
    detail = f": {entry.proven.detail}" if entry.proven.detail else ""
    lines = [
        f"hookchain trigger: a sample of {entry.name} cannot be signed here: {reason}.",
        f"Its verification was tested with {PROVEN[entry.proven.by]}{detail}.",
        f"`hookchain trigger {provider} --break signature` sends a forged request, which must be rejected.",
    ]
    if "public key" in str(reason):
        lines.append(f"`hookchain trigger {provider} --make-key` generates a key pair to test with.")
    return "\n".join(lines)
