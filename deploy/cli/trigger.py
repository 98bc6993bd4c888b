"""`hookchain trigger PROVIDER [EVENT]`: send what a provider sends, signed as it signs, and tell what came of it."""

import argparse
import secrets
import sys
import time
from typing import Final

from deploy.cli.ending import NOT_DONE, USAGE, ended
from deploy.cli.main import parser
from deploy.cli.providers import key_of
from deploy.cli.trigger_aftermath import Sent, became, why_refused
from deploy.cli.trigger_aim import Aim, aimed, how_to_configure
from deploy.cli.trigger_made_key import made_key
from deploy.cli.trigger_shot import CannotSign, Keys, sample_of, shot
from deploy.config.catalogue import load_catalogue
from deploy.config.catalogue_pages import PROVEN
from deploy.config.catalogue_source import uses_provider_keys
from deploy.config.configured import add_configuration, environ_of
from deploy.history.platform_options import add_state
from deploy.requests.breaking import BREAKS
from deploy.requests.outcome import Outcome, outcome_of
from deploy.requests.samples import Fresh, Sample, events_of
from deploy.requests.wire import Answer, NoAnswer, exchange, parse_target
from deploy.secrets.backend import BackendError
from deploy.terminal.tables import printable
from shared.did_you_mean import did_you_mean
from shared.http import Request
from shared.jsontext import to_json

EPILOG: Final = """\
examples:
  hookchain trigger github                 a push, while `make dev` runs
  hookchain trigger stripe invoice.payment_failed
  hookchain trigger slack --break clock    signed too long ago: it must be refused
  hookchain trigger github --list          the samples, and handshakes, of GitHub
  hookchain trigger github --to https://hooks.example.com/github

The secret is the source's, looked up as the functions do, and in .env. Where a source has a provider's public key,
--make-key makes a pair of our own: its public half becomes one more value of the secret in .env, and the private half
stays in the state folder. What is signed with a certificate (Amazon SNS, PayPal) only the provider can send.

exit code: 0 it was accepted, or with --break refused, as it should be; 1 anything else; 2 for a command that makes no
sense"""
TIMEOUT_SECONDS: Final = 10.0


def main(arguments: list[str]) -> int:
    words = parser("trigger", EPILOG)
    _add_arguments(words)
    options = words.parse_args(arguments)
    return ended("trigger", lambda: _signed(options), ValueError, OSError, BackendError, faulty=USAGE)


def _signed(options: argparse.Namespace) -> int:
    try:
        return _run(options)
    except CannotSign as reason:
        print(_cannot(options, reason), file=sys.stderr)
        return NOT_DONE


def _add_arguments(words: argparse.ArgumentParser) -> None:
    words.add_argument("provider", metavar="PROVIDER", help="a key of `hookchain providers`, such as github")
    words.add_argument("event", metavar="EVENT", nargs="?", help="which of its samples, or a handshake (see --list)")
    words.add_argument("--to", metavar="URL", help="where to (default: the source's own URL on this machine)")
    words.add_argument("--source", metavar="NAME", help="as this source of the configuration")
    words.add_argument("--break", dest="what", choices=BREAKS, help="send it with this wrong, to see it refused")
    words.add_argument("--variant", metavar="NAME", help="by this of the source's ways of proof (default: the first)")
    words.add_argument("--list", action="store_true", help="list the provider's samples and handshakes")
    words.add_argument("--make-key", action="store_true", help="make a key pair to sign with in the provider's place")
    words.add_argument("--json", action="store_true", help="print one JSON object: ok, status, event_id, code, words")
    add_configuration(words)
    add_state(words)


def _run(options: argparse.Namespace) -> int:
    """Raises CannotSign, ValueError, OSError, HookchainError, and the faults of a configuration."""
    catalogue = load_catalogue()
    provider = key_of(options.provider)
    if provider not in catalogue:
        raise ValueError(f"there is no provider {options.provider!r}{did_you_mean(provider, catalogue)}")
    if options.list:
        handshakes = [f"{handshake.name}  (handshake)" for handshake in catalogue[provider].handshakes]
        print("\n".join([*(name for name in events_of(provider)), *handshakes]))
        return 0
    environ = environ_of(options)
    aim = aimed(provider, options, environ)
    if not aim.is_configured and options.to is None:
        raise ValueError(how_to_configure(provider, aim.entry))
    keys = Keys(environ, options.state)
    if options.make_key:
        print("\n".join(made_key(aim, options.env_file, options.state)))
        return 0
    fresh = Fresh(time.time(), secrets.token_hex(6), str(secrets.randbelow(9 * 10**9) + 10**9))
    sample = sample_of(aim, options.event, keys, fresh)
    request = shot(aim, sample, keys, fresh, options.what, options.variant)
    return _told(options, aim, sample, _sent(aim, request), fresh.now)


def _sent(aim: Aim, request: Request) -> Answer | NoAnswer:
    scheme, _, rest = aim.url.partition("://")
    query = f"?{request.query}" if request.query else ""
    target = parse_target(f"{scheme}://{rest.partition('/')[0]}{request.path}{query}")
    headers = [pair for pair in request.headers if pair[0] != "host"]
    return exchange(request.method, target, headers, request.body, TIMEOUT_SECONDS)


def _told(options: argparse.Namespace, aim: Aim, sample: Sample, answer: Answer | NoAnswer, at: float) -> int:
    outcome = outcome_of(answer, TIMEOUT_SECONDS)
    refused = outcome.status is not None and 400 <= outcome.status < 500
    is_right = refused if options.what else outcome.ok
    if options.json:
        fields = {name: getattr(outcome, name) for name in ("ok", "status", "event_id", "code", "words")}
        print(to_json({"provider": aim.provider, "event": sample.event, "url": aim.url, **fields}))
        return 0 if is_right else 1
    print(
        f"{aim.entry.name}, {sample.event}{f', {options.what} broken' if options.what else ''}, to {printable(aim.url)}"
    )
    start = "; start `make dev`" if options.to is None and isinstance(answer, NoAnswer) else ""
    print(f"  {printable(_words(outcome, sample, answer))}{start}{_judged(options, aim, outcome, refused)}")
    for line in () if options.to else _aftermath(options, aim, outcome, sample, at):
        print(f"  {printable(line)}")
    return 0 if is_right else 1


def _aftermath(options: argparse.Namespace, aim: Aim, outcome: Outcome, sample: Sample, at: float) -> list[str]:
    sent = Sent(aim.source.name, at, outcome.event_id)
    if outcome.ok:
        return [] if sample.is_handshake else became(sent, options.state)
    return why_refused(sent, options.state) if outcome.status else []


def _words(outcome: Outcome, sample: Sample, answer: Answer | NoAnswer) -> str:
    if sample.is_handshake and outcome.ok and isinstance(answer, Answer):
        return f"answered ({answer.status}): {answer.body.decode('utf-8', 'replace')[:200]}"
    return outcome.words


def _judged(options: argparse.Namespace, aim: Aim, outcome: Outcome, refused: bool) -> str:
    if not options.what:
        return ""
    if refused:
        return ", as it should be"
    if outcome.ok:
        return "; IT SHOULD HAVE BEEN REFUSED"
    key = ": the provider's key, to check it with, cannot be fetched" if uses_provider_keys(aim.entry) else ""
    return f"; neither taken nor refused{key if outcome.status == 503 else ''}"


def _cannot(options: argparse.Namespace, reason: CannotSign) -> str:
    provider = key_of(options.provider)
    entry = load_catalogue()[provider]
    detail = f": {entry.proven.detail}" if entry.proven.detail else ""
    lines = [
        f"hookchain trigger: a sample of {entry.name} cannot be signed here: {reason}.",
        f"How it is verified was tried with {PROVEN[entry.proven.by]}{detail}.",
        f"`hookchain trigger {provider} --break signature` sends a forged one, which must be refused.",
    ]
    if "public key" in str(reason):
        lines.append(f"`hookchain trigger {provider} --make-key` makes a key pair of our own to try it with.")
    return "\n".join(lines)
