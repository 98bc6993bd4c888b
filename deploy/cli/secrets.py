"""`hookchain secrets list|set|rotate`: the secrets of a configuration, in `.env` and in a cloud."""

import argparse
import asyncio
import getpass
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from deploy.cli import hook_secrets
from deploy.cli.command import DONE, NOT_DONE, parser, run_command, whole_number_option
from deploy.cli.registrar import Registrar, StoredSourceSecret
from deploy.config import checkout, config_file, running_dev
from deploy.config.configured import LoadedConfig, add_configuration, configured, environ_of
from deploy.platforms.choice import add_platform, is_local, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.secrets import local_secrets, values as secret_values
from deploy.secrets.backend import SecretBackend, StoredSecret
from deploy.secrets.needs import Need, missing_effect, needs, token_needs
from deploy.terminal.command_line import CommandError, CommandParser
from deploy.terminal.output import GREEN, RED, YELLOW, Column, stdout_screen, table
from shared import jsontext, secrets, times
from shared.did_you_mean import did_you_mean
from shared.subscribers.sealing import KEY_SECRET

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
"""By action or option: the options that have no effect beside it."""
_COLOURS: Final = {
    secret_values.PRESENT: GREEN,
    secret_values.SHORT: YELLOW,
    secret_values.WEAK: RED,
    secret_values.MISSING: RED,
    secret_values.UNREADABLE: YELLOW,
}
NOT_NEEDED: Final = "not needed"
_DAY_SECONDS: Final = 86_400
COLUMNS: Final = (
    Column("SECRET"),
    Column("READ BY", 8),
    Column("FOR", 10),
    Column("STATE", colour=lambda text: _COLOURS.get(text, "")),
    Column("VALUES"),
    Column("AGE"),
    Column("WHERE", 8, is_whole_in_pipe=True),
)


def main(arguments: list[str]) -> int:
    command = _command()
    options, unknown = command.parse_known_args(arguments)
    _reject_values(command, options.value, unknown)
    # Without NAME, which may be the name of an action.
    command.reject_ignored([options.action, *(each for each in arguments if each.startswith("-"))], IGNORED)
    if options.action == "list" and options.name is not None:
        command.error("`list` has no NAME: it lists every secret that the configuration needs")
    if options.action != "list" and not secrets.SECRET_NAME.fullmatch(options.name or ""):
        # The message does not repeat NAME, which may be a value.
        command.error("NAME: must be a lower-case letter, then letters, digits and '-', such as signup-password")

    def run() -> int:
        act, _ = ACTIONS[options.action]
        return act(options, open_platform(options, environ_of(options)))

    return run_command("secrets", run)


def _command() -> CommandParser:
    command = parser("secrets")
    command.usage = "hookchain secrets list | set NAME | rotate NAME [options]"
    listed = "; ".join(f"{name}: {summary}" for name, (_, summary) in ACTIONS.items())
    command.add_argument("action", metavar="ACTION", choices=tuple(ACTIONS), help=listed)
    command.add_argument("name", metavar="NAME", nargs="?", help="name the secret (set, rotate)")
    command.add_argument("value", nargs="*", help=argparse.SUPPRESS)
    command.add_argument("--random", action="store_true", help="generate the new value")
    keep = f"keep accepting N old values (rotate) [{secret_values.DEFAULT_KEEP}]"
    command.add_argument(
        "--keep",
        metavar="N",
        type=whole_number_option(0, secret_values.MAX_KEEP),
        default=secret_values.DEFAULT_KEEP,
        help=keep,
    )
    command.add_argument("--drop-old", action="store_true", help="accept only the newest value from now on (rotate)")
    add_configuration(command, creates_env_file=True)
    add_platform(command)
    command.add_argument("--json", action="store_true", help="print one JSON document (list)")
    return command


def _reject_values(command: argparse.ArgumentParser, arguments: Sequence[str], unknown: Sequence[str]) -> None:
    """End with a usage error if an argument follows NAME. It may be a value, so the message does not repeat it."""
    has_text = any(not each.startswith("-") or "=" in each for each in unknown)
    if arguments or has_text:
        command.error(NEVER_AN_ARGUMENT)
    if unknown:
        command.error("there is an unknown option; see --help")


# List


@dataclass(frozen=True, slots=True)
class ListedSecret:
    """A secret that is listed, as a row of the table and as a JSON object.

    stored  None if it does not exist
    is_dev  this is neither a cloud nor a server: `hookchain dev` generates secrets and catches mails
    """

    need: Need
    stored: StoredSecret | None
    is_dev: bool

    @property
    def state(self) -> str:
        """Return NOT_NEEDED, or the state as `hookchain doctor` names it."""
        if self.stored is None and self.is_dev and self.need.origin == "mail service":
            return NOT_NEEDED
        state = secret_values.state_of(self.need, self.stored)
        # A token that only `hookchain hooks` uses was issued by the provider, which decides on its length.
        return secret_values.PRESENT if state == secret_values.SHORT and self.need.origin == "hook token" else state

    @property
    def is_fault(self) -> bool:
        """Return whether the secret's state makes `list` end with NOT_DONE."""
        if self.state != secret_values.MISSING:
            return self.state in (secret_values.WEAK, secret_values.UNREADABLE)
        is_generated = self.is_dev and self.need.origin != "issued"  # by `hookchain dev`, when it starts
        return not (is_generated or self.need.is_optional)

    @property
    def count(self) -> int | None:
        """Return the number of values; None if they are not known."""
        return len(self.stored.values) if self.stored and self.stored.text is not None else None

    @property
    def set_at(self) -> float | None:
        """Return when the values were stored, in Unix seconds; None if it does not exist or that is not known."""
        return self.stored.set_at if self.stored else None

    def row(self, now: float) -> tuple[str, ...]:
        """Return the cells of COLUMNS. What is not known is empty."""
        return (
            self.need.name,
            ", ".join(self.need.readers) or "hookchain hooks",
            self.need.uses_text,
            self.state,
            "" if self.count is None else str(self.count),
            "" if self.set_at is None else age_text(now - self.set_at),
            self.stored.where if self.stored else "",
        )

    def document(self) -> jsontext.JsonObject:
        return {
            "name": self.need.name,
            "readers": list(self.need.readers),
            "uses": list(map(str, self.need.uses)),
            "state": self.state,
            "values": self.count,
            "set_at": times.time_text(self.set_at),
            "where": self.stored.where if self.stored else None,
        }

    def advice(self, set_command: str, backend: SecretBackend) -> list[str]:
        """Return what the operator can do about the secret. `set_command` sets it."""
        need = self.need
        stored = self.stored
        texts: list[str] = []
        if self.state == secret_values.WEAK and stored:
            texts.append(f"{secret_values.why_weak(need, stored)}: {set_command}")
        elif self.state == secret_values.UNREADABLE and stored:
            texts.append(stored.trouble)
        elif self.state == NOT_NEEDED:
            texts.append(f"not needed here: mail is caught, or: {set_command}")
        elif self.state == secret_values.MISSING:
            texts.append(f"{self._missing_text()}{set_command}")
        elif need.is_signing_key:
            read = backend.how_to_read(need.name)
            texts.append(f"the receiver of {need.uses_text} needs it. To read it: {read}")
        if stored and stored.is_in_dotenv_too:
            texts.append(f"it is also in .env; {stored.where} takes precedence")
        return [f"{need.name}: {text}" for text in texts]

    def _missing_text(self) -> str:
        """Return the consequence if it is missing, as the beginning of a text that ends with the command to set it."""
        if self.need.origin == "hook token":
            return "`hookchain hooks` needs it: "
        if self.need.is_optional:
            return "optional, SES sends the mail; or: "
        if not self.is_dev:
            return ""
        if self.need.origin == "issued":
            return f"{missing_effect([self.need])} until you set it: "
        return "`hookchain dev` generates it, or: "


def list_secrets(options: argparse.Namespace, platform: Platform) -> int:
    """Print each needed secret, and below the table, to standard error, what to do about each.

    Returns NOT_DONE if one of them `is_fault`: missing, too weak or not readable.
    """
    backend = platform.secrets()
    listed = _listed_secrets(options, platform, backend)
    if options.json:
        print(json.dumps({"secrets": [each.document() for each in listed]}))
    elif not listed:
        print("The configuration needs no secrets.", file=sys.stderr)
    else:
        now = time.time()
        print(table(COLUMNS, [each.row(now) for each in listed], stdout_screen()))
        for line in _lines_below(options, listed, backend):
            print(line, file=sys.stderr)
    return NOT_DONE if any(each.is_fault for each in listed) else DONE


def _listed_secrets(options: argparse.Namespace, platform: Platform, backend: SecretBackend) -> list[ListedSecret]:
    """Return what the functions need. On this machine, add the tokens that only `hookchain hooks` reads."""
    configuration = configured(options)
    found = needs(configuration.slices, configuration.environ, has_ses=platform.traits.has_ses)
    if is_local(options):
        names = {need.name for need in found}
        found += [token for token in token_needs(configuration.document) if token.name not in names]
    stored_by_name = backend.find([need.name for need in found])
    is_dev = is_local(options) and not running_dev.is_production(checkout.state_folder())
    return [ListedSecret(need, stored_by_name.get(need.name), is_dev) for need in found]


def _lines_below(options: argparse.Namespace, listed: Sequence[ListedSecret], backend: SecretBackend) -> list[str]:
    """Return a line for each value that may not be the one that was meant, and the advice about each secret."""
    lines: list[str] = []
    if is_local(options):
        doubts = local_secrets.secret_doubts(options.env_file, [each.need.name for each in listed], environ_of(options))
        lines += [f"warning: {text}" for text in doubts.values()]
    for each in listed:
        lines += each.advice(f"hookchain secrets set {each.need.name}{same_platform(options)}", backend)
    return lines


def age_text(seconds: float) -> str:
    """Return the age in whole days. A time in the future, by another clock, is today."""
    days = int(max(0.0, seconds) // _DAY_SECONDS)
    return "today" if days == 0 else "1 day" if days == 1 else f"{days} days"


# Set and rotate


class Accepted(NamedTuple):
    """The values that a secret has after a change, the newest first, and the reasons for which old ones are kept."""

    values: tuple[str, ...]
    reasons: Sequence[str]


def set_secret(options: argparse.Namespace, platform: Platform) -> int:
    """Replace all values of the secret and print what becomes of the old ones. Returns DONE.

    An old value that is still needed stays accepted. Raises CommandError.
    """
    need = _find_need(options)
    backend = platform.secrets()
    values = secret_values.validated_values(_new_text(options.random, need), need.schemes, need.least_characters)
    before = backend.find([need.name]).get(need.name)
    old_values = before.values if before and before.overridden is None else ()
    registrar = _registrar(options, platform)
    accepted = asyncio.run(_store_new_values(registrar, backend, need, values, keep=0))
    if old_values and need.readers and not {*old_values} & {*accepted.values}:
        print(f"{need.name}: its old value is no longer accepted; `rotate` keeps the old value for a while")
    for reason in accepted.reasons:
        print(f"{need.name}: an old value is still accepted. {reason}")
    _print_notes(options, backend, need, values)
    return DONE


def rotate_secret(options: argparse.Namespace, platform: Platform) -> int:
    """Add a value to the secret, or with --drop-old keep only the newest one. Returns the exit code.

    If registered hooks sign with the secret, they get the new value at their provider. Otherwise the operator is told
    to give it to the sender. Raises CommandError and Temporary.
    """
    need = _find_need(options)
    backend = platform.secrets()
    before = _stored_values(options, need, backend)
    registrar = _registrar(options, platform)
    secret = StoredSourceSecret(need.name, platform)
    if options.drop_old:
        secret.verify_writable()
        return _drop_old(registrar, backend, need, before)

    async def add_value() -> tuple[str, ...]:
        """Store a new value beside those from before, and return all. Raises CommandError."""
        secret.verify_writable()
        text = _new_text(options.random, need)
        new = secret_values.validated_values(text, need.schemes, need.least_characters)
        if len(new) > 1:
            raise CommandError("rotate takes one new value; `set` takes several, one a line")
        accepted = await _store_new_values(registrar, backend, need, new, options.keep)
        return accepted.values

    # This calls `add_value` if a registered hook signs with the secret, and its provider does not make the value.
    rotation = asyncio.run(hook_secrets.rotate(registrar, need.name, need.uses, add_value))
    drop_old = f"hookchain secrets rotate {need.name} --drop-old{same_platform(options)}"
    if rotation.sources:
        is_old_accepted = len(_stored_values(options, need, backend)) > 1
        old = " Requests with the old one are still accepted." if is_old_accepted else ""
        print(f"{need.name}: the provider signs with the new value.{old}")
        if is_old_accepted:
            other_uses = ", ".join(rotation.other_uses)
            given = f"{other_uses} has the new value too, and " if other_uses else ""
            print(f"Once {given}none of them is retried any more: {drop_old}")
        return DONE
    values = asyncio.run(add_value())
    soon = "" if is_local(options) else " Functions read it within 5 minutes."
    print(f"{need.name}: {len(values)} values are accepted now; the new one signs.{soon}")
    if need.name != KEY_SECRET:
        print(f"Give the sender the new value, then run: {drop_old}")
    _print_notes(options, backend, need, values[:1])
    return DONE


def _stored_values(options: argparse.Namespace, need: Need, backend: SecretBackend) -> tuple[str, ...]:
    """Return the values as they are stored now. Raises CommandError if the secret is missing or cannot be read."""
    stored = backend.find([need.name]).get(need.name)
    if stored is None:
        raise CommandError(f"{need.name} does not exist yet: hookchain secrets set {need.name}{same_platform(options)}")
    if stored.trouble:
        raise CommandError(f"{need.name} {stored.trouble}")
    return stored.values


def _registrar(options: argparse.Namespace, platform: Platform) -> Registrar:
    """Return the registrar with which the hooks that sign with the secret are found."""
    try:
        configuration = configured(options)
    except config_file.ConfigFaults:
        # A secret can be set before the configuration is correct. Without slices, the hooks are found in their rows.
        configuration = LoadedConfig(environ_of(options), None, None, {})
    return Registrar(configuration, platform, same_platform(options))


async def _store_new_values(
    registrar: Registrar, backend: SecretBackend, need: Need, new: Sequence[str], keep: int
) -> Accepted:
    """Store the new values, at most `keep` of the old ones, and each old one that is still needed.

    Raises CommandError.
    """
    # Read only now: while somebody typed the value, another command may have stored one that a provider signs with.
    old = [each for each in await _readable_values(registrar, backend, need) if each not in new]
    reason_by_value = await _reasons_to_keep(registrar, need, old[keep:])
    values = (*new, *old[:keep], *reason_by_value)
    _write_values(backend, need, values, forget=False)
    return Accepted(values, list(dict.fromkeys(reason_by_value.values())))


async def _forget_old_values(registrar: Registrar, backend: SecretBackend, need: Need) -> Accepted:
    """Keep the newest value and each older one that is still needed, and forget the others.

    Raises CommandError, also if each of the older values is needed.
    """
    stored = await _readable_values(registrar, backend, need)
    newest = stored[:1]
    old = [each for each in stored if each not in newest]
    reason_by_value = await _reasons_to_keep(registrar, need, old)
    reasons = list(dict.fromkeys(reason_by_value.values()))
    if old and len(reason_by_value) == len(old):
        raise CommandError(f"{need.name}: nothing was changed. {reasons[0]}")
    values = (*newest, *reason_by_value)
    _write_values(backend, need, values, forget=True)
    return Accepted(values, reasons)


async def _reasons_to_keep(registrar: Registrar, need: Need, old: Sequence[str]) -> dict[str, str]:
    """Return those of the old values that are still needed, with the reasons. Raises CommandError."""
    if need.name == KEY_SECRET:
        return dict.fromkeys(old, "Secrets of endpoints may be encrypted with it, and could not be read without it")
    return await hook_secrets.reasons_to_keep(registrar, need.name, old)


async def _readable_values(registrar: Registrar, backend: SecretBackend, need: Need) -> tuple[str, ...]:
    """Return the stored values; none if the secret does not exist or cannot be read.

    Raises CommandError for a secret that cannot be read and with which a registered hook may sign.
    """
    stored = backend.find([need.name]).get(need.name)
    if stored and stored.trouble:
        await hook_secrets.verify_no_hook_of(registrar, need.name, stored.trouble)
    return stored.values if stored else ()


def _write_values(backend: SecretBackend, need: Need, values: Sequence[str], *, forget: bool) -> None:
    for line in backend.write(need.name, secret_values.joined(values), forget=forget):
        print(f"{need.name}: {line}")


def _drop_old(registrar: Registrar, backend: SecretBackend, need: Need, before: tuple[str, ...]) -> int:
    """Keep only the newest of the values `before`, and those still needed. Returns NOT_DONE if there is only one."""
    if len(before) < 2:
        print(f"{need.name}: there is no old value to drop", file=sys.stderr)
        return NOT_DONE
    accepted = asyncio.run(_forget_old_values(registrar, backend, need))
    rule = "only the newest value is accepted from now on"
    if accepted.reasons:
        rule = f"{len(accepted.values)} values are accepted from now on, because registered hooks may sign with them"
    print(f"{need.name}: {rule}")
    return DONE


def _find_need(options: argparse.Namespace) -> Need:
    """Return the configuration's need for the secret.

    For another name, or a configuration with faults, print a warning and return a need without readers and uses,
    because the configuration may need the secret later.
    """
    name: str = options.name
    try:
        configuration = configured(options)
        function_needs = needs(configuration.slices, configuration.environ)
    except config_file.ConfigFaults as faults:
        print(f"warning: the configuration has faults, see `hookchain lint`: {faults.file}", file=sys.stderr)
        return Need(name, "chosen")
    need_by_name = {need.name: need for need in (*token_needs(configuration.document), *function_needs)}
    if name not in need_by_name:
        hint = did_you_mean(name, need_by_name)
        print(f"warning: the configuration needs no secret {name!r}{hint}", file=sys.stderr)
    return need_by_name.get(name) or Need(name, "chosen")


def _new_text(is_random: bool, need: Need) -> str:
    """Return a generated text, or the one that is typed twice or read from standard input: one or more values.

    Raises CommandError and InvalidValue.
    """
    if is_random and need.origin == "issued":
        rule = f"{need.name}: {need.uses_text} needs the value that the other system issued"
        raise CommandError(f"{rule}; leave --random out and you are asked for it")
    if is_random:
        return secret_values.random_text(need.schemes)
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


def _print_notes(options: argparse.Namespace, backend: SecretBackend, need: Need, values: tuple[str, ...]) -> None:
    """Print what may be left to do after `values` were stored: a longer value, held deliveries, the receiver."""
    if secret_values.count_short(values) and need.origin != "hook token":  # the provider decides on its length
        print("warning: it has fewer than 16 characters: a long random value cannot be guessed", file=sys.stderr)
    for use in need.uses:
        if use.kind == "destination" and need.origin == "issued":
            resume = f"hookchain resume {use.name}{same_platform(options)}"
            print(f"If deliveries to {use.name} are held, send them now: {resume}")
    if options.random:
        print(f"{need.name}: to read the generated value: {backend.how_to_read(need.name)}")


ACTIONS: Final = {
    "list": (list_secrets, "show each secret, its readers and its state"),
    "set": (set_secret, "replace the value"),
    "rotate": (rotate_secret, "add a new value and keep the old one for a while"),
}
"""By action: the function that runs it, and its help."""
