"""`hookchain secrets set|rotate|list`: what a configuration needs, in `.env` and in Google Secret Manager."""

import argparse
import datetime
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.cli.ending import ended
from deploy.cli.main import parser
from deploy.cli.secrets_change import rotate_secret, set_secret
from deploy.cli.secrets_listing import list_secrets
from deploy.cli.secrets_value import refuse_values
from deploy.config.configured import add_configuration, environ_of
from deploy.gcp.secret_manager_backend import SecretManagerBackend
from deploy.google.api import GoogleApi, NotSignedIn, token_of
from deploy.google.gcloud import Gcloud
from deploy.history.platform_options import add_platform, is_gcp, target_of
from deploy.secrets.backend import BackendError, SecretBackend
from deploy.secrets.dotenv_backend import DotenvBackend
from deploy.secrets.values import DEFAULT_KEEP, MAX_KEEP, InvalidValue
from deploy.terminal.command_error import CannotTell
from shared.secrets import SECRET_NAME

EPILOG: Final = """\
A value is never an argument. You are asked for it twice, or it is read from standard input, where several lines are
several values, newest first, and a PEM block is one; --random makes one.

examples:
  hookchain secrets list
  hookchain secrets set signup-password
  hookchain secrets set github-app-key < key.pem
  hookchain secrets rotate signup-password --random --platform gcp
  hookchain secrets rotate signup-password --drop-old --platform gcp

exit code: 0 done, 1 refused or failed (list: some are missing or weak), 2 for a command that makes no sense"""


@dataclass(frozen=True, slots=True)
class Action:
    summary: str
    run: Callable[[argparse.Namespace, SecretBackend], int]


def main(arguments: list[str]) -> int:
    words = _words()
    options, unknown = words.parse_known_args(arguments)
    refuse_values(words, options.value, unknown)
    if options.action == "list" and options.name is not None:
        words.error("list takes no name: it lists all that the configuration needs")
    if options.action != "list" and not SECRET_NAME.fullmatch(options.name or ""):
        words.error(
            "which secret? A name is a lower-case letter, then letters, digits and '-', such as signup-password"
        )
    return ended("secrets", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    try:
        return ACTIONS[options.action].run(options, place_of(options))
    except (InvalidValue, BackendError, NotSignedIn) as fault:
        raise CannotTell(str(fault)) from fault


def place_of(options: argparse.Namespace) -> SecretBackend:
    """Raises TargetFault and DotenvFault."""
    environ = environ_of(options)
    if is_gcp(options):
        target = target_of(options, environ)
        gcloud = Gcloud(target.project)
        return SecretManagerBackend(target, gcloud, GoogleApi(target.project, token_of(gcloud)))
    folder = Path(environ.get("SECRETS_DIR") or "/secrets")
    return DotenvBackend(options.env_file, os.environ, folder, datetime.datetime.now(datetime.UTC).date())


def _words() -> argparse.ArgumentParser:
    words = parser("secrets", EPILOG)
    listed = "; ".join(f"{name}: {action.summary}" for name, action in ACTIONS.items())
    words.add_argument("action", metavar="ACTION", choices=tuple(ACTIONS), help=listed)
    words.add_argument("name", metavar="NAME", nargs="?", help="the secret's name (set, rotate)")
    words.add_argument("value", nargs="*", help=argparse.SUPPRESS)
    words.usage = "hookchain secrets list | set NAME | rotate NAME [options]"
    words.add_argument("--random", action="store_true", help="make the new value at random")
    keep = f"rotate: so many old values are still taken ({DEFAULT_KEEP})"
    words.add_argument("--keep", metavar="N", type=int, choices=range(MAX_KEEP + 1), default=DEFAULT_KEEP, help=keep)
    words.add_argument("--drop-old", action="store_true", help="rotate: end it: only the newest value is taken")
    add_configuration(words)
    add_platform(words)
    words.add_argument("--json", action="store_true", help="list: print one JSON document")
    return words


ACTIONS: Final = {
    "list": Action("which the configuration needs, who reads each, and whether it is there", list_secrets),
    "set": Action("give it a value, in place of what it had", set_secret),
    "rotate": Action("a new value in front of the old one, so that both are taken for a while", rotate_secret),
}
