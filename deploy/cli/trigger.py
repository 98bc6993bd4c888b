"""`hookchain trigger PROVIDER [EVENT]`: send a provider's signed sample, and print the result.

Find the source (deploy/requests/trigger_target.py), take a sample and sign it as the provider does, or break it on
purpose (deploy/requests/signed_samples.py), send it, and print the response with what the journal of a running
`hookchain dev` has about it (trigger_result.py).
"""

import argparse
import datetime
import os
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from deploy.cli import look_up, trigger_result
from deploy.cli.command import DONE, NOT_DONE, USAGE, parser, run_command
from deploy.client.hookchain.http import NoResponse, Response
from deploy.client.hookchain.outcome import read_outcome
from deploy.config import dotenv
from deploy.config.checkout import env_file
from deploy.config.configured import add_configuration, configured, environ_of
from deploy.config.sections import catalogue_pages
from deploy.config.sections.catalogue import load_catalogue
from deploy.history.local import local_ports
from deploy.platforms.choice import add_state
from deploy.requests import posting, signing, sources, trigger_target
from deploy.requests.samples import Fresh, sample_names
from deploy.requests.signed_samples import BREAKS, CannotSign, Keys, chosen_sample, signed_sample
from deploy.secrets.backend import DotenvBackend
from shared import http, jsontext, settings
from shared.did_you_mean import did_you_mean
from shared.secrets import variable_name
from shared.signatures.auth_scheme import AuthScheme

TIMEOUT_SECONDS: Final = 10.0
"""How long the receiver may take for its response."""
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
    receive_port = local_ports(options.state, environ).receive
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
    sent = trigger_result.SentSample(
        target,
        sample,
        options.broken_part,
        is_elsewhere=options.to is not None,
        sent_at=fresh.now,
        answer=answer,
        outcome=read_outcome(answer, TIMEOUT_SECONDS),
        state_folder=options.state,
    )
    return trigger_result.print_result(sent, as_json=options.json)


def _posted(request: http.Request, url: str, *, is_broken: bool) -> Response | NoResponse:
    """Send the request until it is confirmed. A broken one is sent once, because it must be rejected."""

    def post() -> Response | NoResponse:
        return posting.post_request(request, url, TIMEOUT_SECONDS)

    if is_broken:
        return post()
    return posting.send_until_confirmed(post, lambda answer: read_outcome(answer, TIMEOUT_SECONDS))


def _make_key(target: trigger_target.TriggerTarget, env_file: Path, state: Path) -> list[str]:
    """Generate a key pair for the source. Raises as make_key, and ValueError if its provider does not sign with one."""
    auth = next((each for each in target.source.auth if each.secret and signing.is_asymmetric(each)), None)
    if auth is None:
        raise ValueError(f"{target.entry.name} does not sign with a key pair that can be generated here")
    return make_key(auth, env_file, state)


def make_key(auth: AuthScheme, env_file: Path, state: Path) -> list[str]:
    """Generate a key pair and return lines with its locations. The public key becomes the newest value of the secret.

    `auth` verifies with a public key. Raises OSError, DotenvFault and BackendError.
    """
    pair = signing.generate_key_pair(auth)
    earlier_values = dotenv.read_dotenv(env_file).get(variable_name(auth.secret), "").strip("\n")
    folder = settings.read_settings(os.environ).secrets_folder
    today = datetime.datetime.now(datetime.UTC).date()
    backend = DotenvBackend(env_file, os.environ, folder, today)
    newest_first = "\n".join(filter(None, (pair.public, earlier_values)))
    lines = backend.write(auth.secret, newest_first, forget=False)
    path = signing.store_private_key(state, auth.secret, pair)
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
