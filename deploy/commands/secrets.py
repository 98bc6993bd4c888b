"""`hookchain secrets set|rotate|list`: what a configuration needs, in `.env` and in Google Secret Manager."""

import argparse
import datetime
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.cli import parser
from deploy.commands.google_api import GoogleApi, NotSignedIn, token_of
from deploy.commands.operator_command import (
    DONE,
    NOT_DONE,
    CannotTell,
    add_configuration,
    add_platform,
    configured,
    ended,
    environ_of,
    is_gcp,
    target_of,
)
from deploy.commands.secrets_list import list_secrets
from deploy.commands.secrets_value import new_text, refuse_values
from deploy.faults import ConfigFaults, did_you_mean
from deploy.gcp.gcloud import Gcloud
from deploy.secrets.dotenv_place import DotenvPlace
from deploy.secrets.needs import Need, needs
from deploy.secrets.place import Place, PlaceFault
from deploy.secrets.secret_manager_place import SecretManagerPlace
from deploy.secrets.values import DEFAULT_KEEP, MAX_KEEP, Refused, checked_values, joined, rotated, short_ones
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
    run: Callable[[argparse.Namespace, Place], int]


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
    except (Refused, PlaceFault, NotSignedIn) as fault:
        raise CannotTell(str(fault)) from fault


def place_of(options: argparse.Namespace) -> Place:
    """Raises TargetFault and DotenvFault."""
    environ = environ_of(options)
    if is_gcp(options):
        target = target_of(options, environ)
        gcloud = Gcloud(target.project)
        return SecretManagerPlace(target, gcloud, GoogleApi(target.project, token_of(gcloud)))
    folder = Path(environ.get("SECRETS_DIR") or "/secrets")
    return DotenvPlace(options.env_file, os.environ, folder, datetime.datetime.now(datetime.UTC).date())


def set_secret(options: argparse.Namespace, place: Place) -> int:
    need = _need(options)
    values = checked_values(new_text(options.random, need.ways), need.ways)
    before = place.find([need.name]).get(need.name)
    for line in place.write(need.name, joined(values), forget=False):
        print(f"{need.name}: {line}")
    if before and before.values and not set(before.values) & set(values):
        print(f"{need.name}: the value it had counts no more; `rotate` would have kept it for a while")
    _tell_more(options, place, need, values)
    return DONE


def rotate_secret(options: argparse.Namespace, place: Place) -> int:
    need = _need(options)
    before = place.find([need.name]).get(need.name)
    if before is None:
        raise CannotTell(f"{need.name} is not there yet: hookchain secrets set {need.name}{_where(options)}")
    if before.trouble:
        raise CannotTell(f"{need.name} {before.trouble}")
    if options.drop_old:
        return _drop_old(place, need, before.values)
    [new, *more] = checked_values(new_text(options.random, need.ways), need.ways)
    if more:
        raise CannotTell("rotate takes one new value; `set` takes several, one a line")
    values = rotated(new, before.values, options.keep)
    for line in place.write(need.name, joined(values), forget=False):
        print(f"{need.name}: {line}")
    print(
        f"{need.name}: {len(values)} values are taken now, the new one signs. Within 5 minutes every function knows it."
    )
    print(f"Give the sender the new one, then: hookchain secrets rotate {need.name} --drop-old{_where(options)}")
    _tell_more(options, place, need, values[:1])
    return DONE


def _drop_old(place: Place, need: Need, values: tuple[str, ...]) -> int:
    if len(values) < 2:
        print(f"{need.name}: there is no old value to drop", file=sys.stderr)
        return NOT_DONE
    for line in place.write(need.name, joined(values[:1]), forget=True):
        print(f"{need.name}: {line}")
    print(f"{need.name}: one value is taken now, the newest")
    return DONE


def _need(options: argparse.Namespace) -> Need:
    """What the configuration says of it; a name that it has not may be one that it will have."""
    name: str = options.name
    try:
        known = needs((have := configured(options)).slices, have.environ)
    except ConfigFaults as faults:
        print(f"warning: the configuration has faults, see `hookchain lint`: {faults.file}", file=sys.stderr)
        return Need(name, (), ())
    found = next((need for need in known if need.name == name), None)
    if found is None:
        hint = did_you_mean(name, [need.name for need in known])
        print(f"warning: the configuration needs no secret {name!r}{hint}", file=sys.stderr)
    return found or Need(name, (), ())


def _tell_more(options: argparse.Namespace, place: Place, need: Need, values: tuple[str, ...]) -> None:
    if short_ones(values):
        print("warning: it has fewer than 16 characters: a long random one cannot be guessed", file=sys.stderr)
    if options.random:
        print(f"{need.name}: to see the value that was made: {place.how_to_read(need.name)}")


def _where(options: argparse.Namespace) -> str:
    return " --platform gcp" if is_gcp(options) else ""


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
