"""The parts that the commands of both clouds share.

They are the configuration that is deployed, the lines that a deployment ends with, and confirmed removals.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.cli.command import parser
from deploy.config import checkout, compiler, configured
from deploy.explain.config_tests import require_passing_tests
from deploy.requests.command_lines import CURL_SCHEMES, accepted_example, example_line
from deploy.requests.sources import auth_entries, compiled_sources
from deploy.terminal.command_line import CommandError, Questions, read_answer
from shared.jsontext import JsonObject, list_at, mappings_at, value_at

UP_TO_DATE: Final = "Nothing to do: the deployment matches the configuration."


def add_out(command: argparse.ArgumentParser, folder: str, text: str) -> None:
    """Add --out, whose default is a folder of the checkout."""
    default = checkout.ROOT / folder
    command.add_argument("--out", metavar="FOLDER", type=Path, default=default, help=f"{text} [{folder}]")


def configuration_line(config: Path | None) -> str:
    return f"Configuration: {config or 'no file; every event of /webhook is mailed to EMAIL_ADDRESS'}"


def warn_about_address(config: Path | None) -> None:
    """Warn if the caller sets EMAIL_ADDRESS and a file decides where mail goes.

    Only the shell's environment counts: a value in .env may be left from an earlier deployment without a file.
    """
    if config is not None and os.environ.get("EMAIL_ADDRESS"):
        how = "To mail every event to it instead, add --config none (make: ARGS='--config none')."
        print(f"warning: EMAIL_ADDRESS is ignored, because {config} names the destinations. {how}", file=sys.stderr)


def print_warnings(warnings: Iterable[str]) -> None:
    for text in warnings:
        print(f"warning: {text}", file=sys.stderr)


def tested_config(options: argparse.Namespace, environ: dict[str, str], ask: Questions) -> Path | None:
    """Return the configuration to deploy, once its own tests pass; None if there is no file.

    Without a file, EMAIL_ADDRESS is needed: if `environ` has none, it is asked for and added to `environ`. Raises
    CommandError, and ConfigFaults for a faulty file.
    """
    config = checkout.config_to_deploy(options.config, environ)
    print(configuration_line(config), flush=True)
    warn_about_address(config)
    if config is None and not environ.get("EMAIL_ADDRESS"):
        how = "set EMAIL_ADDRESS=you@example.com, or run `hookchain init`"
        environ["EMAIL_ADDRESS"] = ask.ask("Which address does mail go to?", f"there is no configuration: {how}")
    if passed := require_passing_tests(config, environ):
        print(f"The configuration's tests pass: {passed}", flush=True)
    return config


def token_lines(config: Path | None, environ: Mapping[str, str]) -> list[str]:
    """Return a line about each token of a provider's API that is deployed: what it is for, and its least rights."""
    from deploy.hooks.kinds import KINDS  # like the next one: slow to import, and seldom needed
    from functions.notify.recovery.listing import read_recovery_settings

    configuration = configured.configured_at(config, environ)
    lines = [
        f"notify recovers events of {each.source} with the token {each.secret}. It needs {each.rights}"
        for each in read_recovery_settings(configuration.slices["notify"])
    ]
    for name, source in mappings_at(configuration.document, "sources").items():
        if value_at(source, "hook", "renew") is True:
            rights = KINDS[str(source["provider"])].rights
            token = value_at(source, "hook", "token")
            lines.append(f"notify renews the webhook of {name} with the token {token}. It needs {rights}")
    return lines


def closing_lines(
    slices: Mapping[str, JsonObject],
    url: str,
    random_secrets: Sequence[str],
    read_command: Callable[[str], str],
    where: str,
    subscribe_url: str = "",
) -> Iterator[str]:
    """Yield the lines that a deployment ends with: how to send, and how to read the secrets that were generated.

    url             receive's URL
    random_secrets  the names of the secrets that have a random value
    read_command    returns the command that prints the secret of a name
    where           the options that find the deployment in commands
    subscribe_url   empty without subscribers
    """
    for name in random_secrets:
        yield f"Secret {name} has a random value. To read it:"
        yield f"  {read_command(name)}"
    yield "Senders post to:"
    all_have_lines = True
    for name, source in compiled_sources(slices["receive"]).items():
        yield f"  {url}/{name}"
        line = _curl_line(slices, f"{url}/{name}", name, source, read_command)
        if line:
            yield f"    {line}"
        all_have_lines = all_have_lines and bool(line)
    if not all_have_lines:
        yield "The settings for each sender:"
        yield f"  .venv/bin/hookchain sources {where}"
    if subscribe_url:
        portal_url = value_at(slices["subscribe"], "subscribers", "public_url") or subscribe_url
        yield f"Your users manage their endpoints at {portal_url}/portal. To link to it for a tenant:"
        yield f"  .venv/bin/hookchain portal-link TENANT {where}"
    yield "Send a test event and follow its delivery:"
    yield f"  .venv/bin/hookchain smoke {where}"


def _curl_line(
    slices: Mapping[str, JsonObject], url: str, name: str, source: JsonObject, read_command: Callable[[str], str]
) -> str:
    """Return a curl line as `hookchain sources` prints it, which reads the secret itself. Empty for a source that needs
    a signature, does not accept POST, or accepts no example."""
    if "POST" not in list_at(source, "methods"):
        return ""
    try:
        event = accepted_example(slices, name)
    except CommandError:
        return ""
    entries = [entry for entry in auth_entries(source) if entry["scheme"] in CURL_SCHEMES]
    return next(filter(None, (example_line(url, entry, event, read_command) for entry in entries)), "")


def removal_parser(name: str, kept: str) -> argparse.ArgumentParser:
    """Return the parser of a command that removes a deployment. `kept` names what only `--all` removes."""
    command = parser(name)
    configured.add_configuration(command)
    command.add_argument("--all", action="store_true", help=f"also remove {kept}")
    command.add_argument("--confirm", metavar="PREFIX", help="confirm with the prefix, instead of being asked")
    return command


def kept_lines(verb: str, kept: Sequence[str]) -> list[str]:
    """Return the line about what a removal without `--all` keeps, begun with `verb`; no line if it keeps nothing.

    ALL=1 is the option `--all` of the `make` target.
    """
    return [f"{verb} (ALL=1 removes them too): {', '.join(kept)}"] if kept else []


def rollback_parser(name: str, dry_run: str) -> argparse.ArgumentParser:
    """Return the parser of a command that rolls a deployment back. `dry_run` says what `--dry-run` does."""
    command = parser(name)
    choices = (*compiler.FUNCTIONS, *compiler.OPTIONAL)
    command.add_argument("--function", choices=choices, action="append", help="roll back this function (repeatable)")
    command.add_argument("--dry-run", action="store_true", help=dry_run)
    configured.add_configuration(command)
    return command


def require_confirmed(confirmation: str | None, prefix: str) -> None:
    """Raise CommandError unless the operator confirms a removal with the prefix of the deployment.

    `confirmation` is the value of --confirm. None stands for none: then the operator is asked to type the prefix.
    """
    if confirmation is None:
        if not sys.stdin.isatty():
            raise CommandError(f"nothing was removed: there is no terminal to ask on; add ARGS='--confirm {prefix}'")
        confirmation = read_answer(f"Type {prefix} to remove all of this: ")
    if confirmation != prefix:
        raise CommandError("nothing was removed")
