"""`hookchain secrets list|set|rotate`: the secrets of a configuration, in `.env` and in a cloud."""

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, parser, run_command, whole_number_option
from deploy.cli.secrets_list import list_secrets
from deploy.config.configured import add_configuration, configured, environ_of
from deploy.config.faults import ConfigFaults
from deploy.google.api import NotSignedIn
from deploy.platforms.choice import add_platform, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.secrets.backend import BackendError, SecretBackend
from deploy.secrets.needs import Need, needs
from deploy.secrets.rotation import (
    DEFAULT_KEEP,
    MAX_KEEP,
    InvalidValue,
    count_short,
    joined,
    random_text,
    rotated,
    validated_values,
)
from deploy.terminal.command_error import CommandError
from deploy.terminal.command_parser import CommandParser
from shared.did_you_mean import did_you_mean
from shared.secrets import SECRET_NAME

DETAILS: Final = """\
A value is never an argument. The command asks for it twice, or reads it from standard input, where each line is one
value, newest first, and a PEM block or a JSON object is one value; --random
generates one."""
EXAMPLES: Final = """\
  hookchain secrets list
  hookchain secrets set signup-password
  hookchain secrets set github-app-key < key.pem
  hookchain secrets rotate signup-password --random --platform gcp
  hookchain secrets rotate signup-password --drop-old --platform gcp"""
NEVER_AN_ARGUMENT: Final = (
    "a value is never an argument: your shell keeps it in its history, and others see it in the list of processes. "
    "Leave it out and you are asked for it, or put it on standard input: hookchain secrets set NAME < file"
)

IGNORED: Final = {
    "list": ("--random", "--keep", "--drop-old"),
    "set": ("--keep", "--drop-old", "--json"),
    "rotate": ("--json",),
    "--drop-old": ("--random", "--keep"),
}
"""For each action and option, the options that it leaves without effect."""


@dataclass(frozen=True, slots=True)
class Action:
    summary: str
    run: Callable[[argparse.Namespace, Platform], int]


def main(arguments: list[str]) -> int:
    command = _command()
    options, unknown = command.parse_known_args(arguments)
    _reject_values(command, options.value, unknown)
    command.reject_ignored([options.action, *arguments], IGNORED)
    if options.action == "list" and options.name is not None:
        command.error("list takes no name: it lists every secret that the configuration needs")
    if options.action != "list" and not SECRET_NAME.fullmatch(options.name or ""):
        # The message does not repeat NAME, which may be a value.
        command.error("NAME: must be a lower-case letter, then letters, digits and '-', such as signup-password")
    return run_command("secrets", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    try:
        return ACTIONS[options.action].run(options, open_platform(options, environ_of(options)))
    except (InvalidValue, BackendError, NotSignedIn) as fault:
        raise CommandError(str(fault)) from fault


def _reject_values(command: argparse.ArgumentParser, arguments: Sequence[str], unknown: Sequence[str]) -> None:
    """Whatever is in the place of a value may be one, so the message does not repeat it."""
    if arguments or any(not each.startswith("-") or "=" in each for each in unknown):
        command.error(NEVER_AN_ARGUMENT)
    if unknown:
        command.error("there is an unknown option; see --help")


def set_secret(options: argparse.Namespace, platform: Platform) -> int:
    need, place = _need(options), platform.secrets()
    values = validated_values(_new_text(options.random, need), need.schemes, need.least_characters)
    before = place.find([need.name]).get(need.name)
    for line in place.write(need.name, joined(values), forget=False):
        print(f"{need.name}: {line}")
    if before and before.values and not set(before.values) & set(values):
        print(f"{need.name}: its old value is no longer accepted; `rotate` would keep it for a while")
    _print_notes(options, place, need, values)
    return DONE


def rotate_secret(options: argparse.Namespace, platform: Platform) -> int:
    need, place = _need(options), platform.secrets()
    before = place.find([need.name]).get(need.name)
    if before is None:
        raise CommandError(f"{need.name} does not exist yet: hookchain secrets set {need.name}{same_platform(options)}")
    if before.trouble:
        raise CommandError(f"{need.name} {before.trouble}")
    if options.drop_old:
        return _drop_old(place, need, before.values)
    [new, *more] = validated_values(_new_text(options.random, need), need.schemes, need.least_characters)
    if more:
        raise CommandError("rotate takes one new value; `set` takes several, one a line")
    values = rotated(new, before.values, options.keep)
    for line in place.write(need.name, joined(values), forget=False):
        print(f"{need.name}: {line}")
    print(f"{need.name}: {len(values)} values are accepted now; the new one signs. Functions read it within 5 minutes.")
    next_line = f"hookchain secrets rotate {need.name} --drop-old{same_platform(options)}"
    print(f"Give the sender the new value, then run: {next_line}")
    _print_notes(options, place, need, values[:1])
    return DONE


def _drop_old(place: SecretBackend, need: Need, values: tuple[str, ...]) -> int:
    if len(values) < 2:
        print(f"{need.name}: there is no old value to drop", file=sys.stderr)
        return NOT_DONE
    for line in place.write(need.name, joined(values[:1]), forget=True):
        print(f"{need.name}: {line}")
    print(f"{need.name}: only the newest value is accepted now")
    return DONE


def _need(options: argparse.Namespace) -> Need:
    """Return what the configuration needs the secret for. An unknown name may be one that it will need later."""
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


def _new_text(is_random: bool, need: Need) -> str:
    """Raises CommandError and InvalidValue."""
    if is_random and need.is_credential:
        rule = f"{need.name}: {', '.join(need.uses)} needs the value that the other system issued"
        raise CommandError(f"{rule}; leave --random out and you are asked for it")
    if is_random:
        return random_text(need.schemes)
    if not sys.stdin.isatty():
        return sys.stdin.read()
    try:
        first = getpass.getpass("New value (not shown): ")
        again = getpass.getpass("Repeat it: ")
    except EOFError as error:
        raise CommandError("no value was typed; nothing was changed") from error
    if first != again:
        raise CommandError("the two values differ; nothing was changed")
    return first


def _print_notes(options: argparse.Namespace, place: SecretBackend, need: Need, values: tuple[str, ...]) -> None:
    if count_short(values):
        print("warning: it has fewer than 16 characters: a long random value cannot be guessed", file=sys.stderr)
    for use in need.uses:
        kind, _, name = use.partition(" ")
        if kind == "destination" and need.is_credential:
            print(f"If deliveries to {name} are held, send them now: hookchain resume {name}{same_platform(options)}")
    if options.random:
        print(f"{need.name}: to read the generated value: {place.how_to_read(need.name)}")


def _command() -> CommandParser:
    codes = "0 done, 1 rejected or failed (list: a secret is missing or weak), 2 usage error"
    command = parser("secrets", EXAMPLES, details=DETAILS, exit_codes=codes)
    command.usage = "hookchain secrets list | set NAME | rotate NAME [options]"
    listed = "; ".join(f"{name}: {action.summary}" for name, action in ACTIONS.items())
    command.add_argument("action", metavar="ACTION", choices=tuple(ACTIONS), help=listed)
    command.add_argument("name", metavar="NAME", nargs="?", help="name the secret (set, rotate)")
    command.add_argument("value", nargs="*", help=argparse.SUPPRESS)
    command.add_argument("--random", action="store_true", help="generate the new value")
    keep = f"keep accepting N old values (rotate) [{DEFAULT_KEEP}]"
    command.add_argument("--keep", metavar="N", type=whole_number_option(0, MAX_KEEP), default=DEFAULT_KEEP, help=keep)
    command.add_argument("--drop-old", action="store_true", help="accept only the newest value from now on (rotate)")
    add_configuration(command, creates_env_file=True)
    add_platform(command)
    command.add_argument("--json", action="store_true", help="print one JSON document (list)")
    return command


ACTIONS: Final = {
    "list": Action("show each secret, its readers and its state", list_secrets),
    "set": Action("replace the value", set_secret),
    "rotate": Action("add a new value and keep the old one for a while", rotate_secret),
}
