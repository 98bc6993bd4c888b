"""`hookchain secrets list|set|rotate`: the secrets of a configuration, in `.env` and in a cloud."""

import argparse
import asyncio
import getpass
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deploy.cli import hooks
from deploy.cli.command import DONE, NOT_DONE, parser, run_command, whole_number_option
from deploy.config.config_file import ConfigFaults
from deploy.config.configured import Configured, add_configuration, configured, environ_of
from deploy.doctor.checks import (
    MISSING,
    PRESENT,
    SHORT,
    UNREADABLE,
    WEAK,
    state_of,
    why_weak,
)
from deploy.platforms.choice import add_platform, is_local, open_platform, same_platform
from deploy.platforms.platform import Platform
from deploy.secrets import values as secret_values
from deploy.secrets.backend import SecretBackend, StoredSecret
from deploy.secrets.needs import HOOK, Need, missing_effect, needs
from deploy.terminal.command_line import CommandError, CommandParser
from deploy.terminal.output import GREEN, RED, YELLOW, Column, stdout_screen, table
from shared.did_you_mean import did_you_mean
from shared.jsontext import JsonObject, mapping_at, value_at
from shared.secrets import SECRET_NAME
from shared.times import time_text

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
_COLOURS: Final = {PRESENT: GREEN, SHORT: YELLOW, WEAK: RED, MISSING: RED, UNREADABLE: YELLOW}
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


# List


def list_secrets(options: argparse.Namespace, platform: Platform) -> int:
    configuration, place = configured(options), platform.secrets()
    needed = needs(configuration.slices, configuration.environ, has_ses=platform.traits.has_ses)
    if is_local(options):
        names = {need.name for need in needed}
        needed += [token for token in _token_needs(configuration) if token.name not in names]
    found = place.find([need.name for need in needed])
    states = {need.name: _state(options, need, found.get(need.name)) for need in needed}
    if options.json:
        print(json.dumps({"secrets": [_document(each, found.get(each.name), states[each.name]) for each in needed]}))
    elif not needed:
        print("The configuration needs no secrets.", file=sys.stderr)
    else:
        rows = [_row(need, found.get(need.name), states[need.name], time.time()) for need in needed]
        print(table(COLUMNS, rows, stdout_screen()))
        doubts = _doubts(options, [need.name for need in needed]) if is_local(options) else []
        for line in (*doubts, *_advice(options, needed, found, states, place)):
            print(line, file=sys.stderr)
    bad = {WEAK, UNREADABLE, MISSING}
    return NOT_DONE if any(states[need.name] in bad and _is_due(options, need, states) for need in needed) else DONE


def _state(options: argparse.Namespace, need: Need, stored: StoredSecret | None) -> str:
    if stored is None and is_local(options) and need.is_unneeded_locally:
        return NOT_NEEDED
    state = state_of(need, stored)
    return PRESENT if state == SHORT and not need.readers else state


def _doubts(options: argparse.Namespace, names: Sequence[str]) -> Sequence[str]:
    doubts = secret_values.secret_doubts(options.env_file, names, environ_of(options))
    return [f"warning: {text}" for text in doubts.values()]


def _is_due(options: argparse.Namespace, need: Need, states: Mapping[str, str]) -> bool:
    """Tell whether a missing secret is a fault: `hookchain dev` generates most."""
    is_needed = not is_local(options) or need.is_credential
    return states[need.name] != MISSING or (is_needed and not need.is_optional)


def _row(need: Need, stored: StoredSecret | None, state: str, now: float) -> tuple[str, ...]:
    count = str(len(stored.values)) if stored and stored.text is not None else ""
    age = "" if stored is None or stored.set_at is None else age_text(now - stored.set_at)
    readers = ", ".join(need.readers) or "hookchain hooks"
    return need.name, readers, ", ".join(need.uses), state, count, age, stored.where if stored else ""


def age_text(seconds: float) -> str:
    days = int(max(0.0, seconds) // _DAY_SECONDS)
    return "today" if days == 0 else "1 day" if days == 1 else f"{days} days"


def _without(need: Need) -> str:
    """Return what `hookchain dev` does without the secret, and the beginning of what else is possible."""
    if need.is_credential:
        return f"{missing_effect([need])} until you set it"
    return "`hookchain dev` generates it, or"


def _document(need: Need, stored: StoredSecret | None, state: str) -> JsonObject:
    return {
        "name": need.name,
        "readers": list(need.readers),
        "uses": list(need.uses),
        "state": state,
        "values": len(stored.values) if stored and stored.text is not None else None,
        "set_at": time_text(stored.set_at if stored else None),
        "where": stored.where if stored else None,
    }


def _advice(
    options: argparse.Namespace,
    needed: list[Need],
    found: Mapping[str, StoredSecret],
    states: Mapping[str, str],
    place: SecretBackend,
) -> list[str]:
    where = same_platform(options)
    lines: list[str] = []
    for need in needed:
        stored = found.get(need.name)
        if states[need.name] == WEAK and stored:
            lines.append(f"{need.name}: {why_weak(need, stored)}: hookchain secrets set {need.name}{where}")
        elif states[need.name] == UNREADABLE and stored:
            lines.append(f"{need.name}: {stored.trouble}")
        elif states[need.name] == NOT_NEEDED:
            lines.append(f"{need.name}: not needed here: mail is caught, or: hookchain secrets set {need.name}")
        elif states[need.name] == MISSING and not need.readers:
            lines.append(f"{need.name}: `hookchain hooks` needs it: hookchain secrets set {need.name}")
        elif states[need.name] == MISSING and need.is_optional:
            lines.append(f"{need.name}: optional, SES sends the mail; or: hookchain secrets set {need.name}{where}")
        elif states[need.name] == MISSING and not is_local(options):
            lines.append(f"{need.name}: hookchain secrets set {need.name}{where}")
        elif states[need.name] == MISSING:
            lines.append(f"{need.name}: {_without(need)}: hookchain secrets set {need.name}")
        elif need.is_signing_key:
            uses = ", ".join(need.uses)
            lines.append(f"{need.name}: the receiver of {uses} needs it. To read it: {place.how_to_read(need.name)}")
        if stored and stored.shadow:
            lines.append(f"{need.name}: it is also in .env; {stored.shadow} takes precedence")
    return lines


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
        command.error("`list` has no NAME: it lists every secret that the configuration needs")
    if options.action != "list" and not SECRET_NAME.fullmatch(options.name or ""):
        # The message does not repeat NAME, which may be a value.
        command.error("NAME: must be a lower-case letter, then letters, digits and '-', such as signup-password")

    def run() -> int:
        return ACTIONS[options.action].run(options, open_platform(options, environ_of(options)))

    return run_command("secrets", run)


def _reject_values(command: argparse.ArgumentParser, arguments: Sequence[str], unknown: Sequence[str]) -> None:
    """Whatever is in the place of a value may be one, so the message does not repeat it."""
    if arguments or any(not each.startswith("-") or "=" in each for each in unknown):
        command.error(NEVER_AN_ARGUMENT)
    if unknown:
        command.error("there is an unknown option; see --help")


# Set and rotate


def set_secret(options: argparse.Namespace, platform: Platform) -> int:
    need, place = _need(options), platform.secrets()
    values = secret_values.validated_values(_new_text(options.random, need), need.schemes, need.least_characters)
    before = place.find([need.name]).get(need.name)
    stored, reasons = asyncio.run(_replace_values(_hooks_call(options, platform), place, need, values))
    if before and before.values and need.readers and not set(before.values) & set(stored):
        print(f"{need.name}: its old value is no longer accepted; `rotate` keeps the old value for a while")
    for reason in reasons:
        print(f"{need.name}: an old value is still accepted. {reason}")
    _print_notes(options, place, need, values)
    return DONE


def rotate_secret(options: argparse.Namespace, platform: Platform) -> int:
    need, place = _need(options), platform.secrets()
    before = _stored_values(options, need, place)
    call = _hooks_call(options, platform)
    if options.drop_old:
        return _drop_old(call, place, need, before)

    async def add_value() -> tuple[str, ...]:
        """Store a new value beside those from before, and return all. Raises CommandError."""
        text = _new_text(options.random, need)
        new = secret_values.validated_values(text, need.schemes, need.least_characters)
        if len(new) > 1:
            raise CommandError("rotate takes one new value; `set` takes several, one a line")
        values, _ = await _replace_values(call, place, need, new, options.keep)
        return values

    if asyncio.run(hooks.rotate(call, need.name, add_value)):
        is_old_accepted = len(_stored_values(options, need, place)) > 1
        old = " Requests with the old one are still accepted." if is_old_accepted else ""
        print(f"{need.name}: the provider signs with the new value.{old}")
        if is_old_accepted:
            next_line = f"hookchain secrets rotate {need.name} --drop-old{call.where}"
            print(f"Once none of them is retried any more: {next_line}")
        return DONE
    values = asyncio.run(add_value())
    soon = "" if is_local(options) else " Functions read it within 5 minutes."
    print(f"{need.name}: {len(values)} values are accepted now; the new one signs.{soon}")
    next_line = f"hookchain secrets rotate {need.name} --drop-old{same_platform(options)}"
    print(f"Give the sender the new value, then run: {next_line}")
    _print_notes(options, place, need, values[:1])
    return DONE


def _stored_values(options: argparse.Namespace, need: Need, place: SecretBackend) -> tuple[str, ...]:
    """Raises CommandError if the secret does not exist or cannot be read."""
    stored = place.find([need.name]).get(need.name)
    if stored is None:
        raise CommandError(f"{need.name} does not exist yet: hookchain secrets set {need.name}{same_platform(options)}")
    if stored.trouble:
        raise CommandError(f"{need.name} {stored.trouble}")
    return stored.values


def _hooks_call(options: argparse.Namespace, platform: Platform) -> hooks.Call:
    """Return what finds the hooks of the secret's sources. If the configuration has faults, it has no slices."""
    try:
        configuration = configured(options)
    except ConfigFaults:
        configuration = Configured(environ_of(options), None, None, {})
    return hooks.Call(options, configuration, platform)


async def _replace_values(
    call: hooks.Call, place: SecretBackend, need: Need, new: Sequence[str] = (), keep: int = 0
) -> tuple[tuple[str, ...], list[str]]:
    """Store the new values, at most `keep` of the former ones, and each with which a registered hook may sign.

    Without new values, only the newest one is new, and the others are forgotten. Return all values that are stored now,
    and why those for hooks are. Raises CommandError, also if no value can be forgotten.
    """
    # Read only now: while somebody typed the value, another command may have stored one that a provider signs with.
    found = place.find([need.name]).get(need.name)
    stored = found.values if found else ()
    newest = new or stored[:1]
    old = [each for each in stored if each not in newest]
    reason_by_value = await hooks.reasons_to_keep(call, need.name, old[keep:])
    reasons = list(dict.fromkeys(reason_by_value.values()))
    values = (*newest, *old[:keep], *reason_by_value)
    if not new and old and len(reason_by_value) == len(old):
        raise CommandError(f"{need.name}: nothing was changed. {reasons[0]}")
    for line in place.write(need.name, secret_values.joined(values), forget=not new):
        print(f"{need.name}: {line}")
    return values, reasons


def _drop_old(call: hooks.Call, place: SecretBackend, need: Need, before: tuple[str, ...]) -> int:
    if len(before) < 2:
        print(f"{need.name}: there is no old value to drop", file=sys.stderr)
        return NOT_DONE
    values, reasons = asyncio.run(_replace_values(call, place, need))
    accepted = "only the newest value is accepted from now on"
    if reasons:
        accepted = f"{len(values)} values are accepted from now on, because registered hooks may sign with them"
    print(f"{need.name}: {accepted}")
    return DONE


def _need(options: argparse.Namespace) -> Need:
    """Return what the configuration needs the secret for. An unknown name may be one that it will need later."""
    name: str = options.name
    try:
        known = needs((configuration := configured(options)).slices, configuration.environ)
    except ConfigFaults as faults:
        print(f"warning: the configuration has faults, see `hookchain lint`: {faults.file}", file=sys.stderr)
        return Need(name, (), ())
    tokens = _token_needs(configuration)
    found = next((need for need in (*known, *tokens) if need.name == name), None)
    if found is None:
        hint = did_you_mean(name, [need.name for need in (*known, *tokens)])
        print(f"warning: the configuration needs no secret {name!r}{hint}", file=sys.stderr)
    return found or Need(name, (), ())


def _token_needs(configuration: Configured) -> list[Need]:
    """Return the tokens with which `hookchain hooks` asks the providers. No function reads them."""
    uses: dict[str, list[str]] = {}
    for name, source in mapping_at(configuration.document, "sources").items():
        token = value_at(source, "hook", "token")
        if isinstance(token, str):
            uses.setdefault(token, []).append(f"{HOOK} {name}")
    return [Need(name, (), tuple(each), is_made_locally=False, is_optional=True) for name, each in uses.items()]


def _new_text(is_random: bool, need: Need) -> str:
    """Raises CommandError and InvalidValue."""
    if is_random and need.is_credential:
        rule = f"{need.name}: {', '.join(need.uses)} needs the value that the other system issued"
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


def _print_notes(options: argparse.Namespace, place: SecretBackend, need: Need, values: tuple[str, ...]) -> None:
    if secret_values.count_short(values) and (need.readers or not need.uses):
        print("warning: it has fewer than 16 characters: a long random value cannot be guessed", file=sys.stderr)
    for use in need.uses:
        kind, _, name = use.partition(" ")
        if kind == "destination" and need.is_credential:
            print(f"If deliveries to {name} are held, send them now: hookchain resume {name}{same_platform(options)}")
    if options.random:
        print(f"{need.name}: to read the generated value: {place.how_to_read(need.name)}")


def _command() -> CommandParser:
    command = parser("secrets")
    command.usage = "hookchain secrets list | set NAME | rotate NAME [options]"
    listed = "; ".join(f"{name}: {action.summary}" for name, action in ACTIONS.items())
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


ACTIONS: Final = {
    "list": Action("show each secret, its readers and its state", list_secrets),
    "set": Action("replace the value", set_secret),
    "rotate": Action("add a new value and keep the old one for a while", rotate_secret),
}
