"""The `hookchain` command. Each subcommand is a module of its own, imported when it is called."""

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Final

from deploy.terminal.command_line import how_to_install, summary_lines


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `module` is the module of deploy/cli whose function has the command's name; by default, the command
    is `main` of a module with its name. The function parses the arguments and returns the exit code."""

    summary: str
    module: str = ""


GROUPS: Final = {
    "Start": {
        "dev": Command("Run everything on this machine, without a cloud account"),
        "serve": Command("Run everything on a machine of your own, for production"),
        "init": Command("Write deploy/hookchain.yaml from a recipe"),
        "lint": Command("Validate the configuration and list every fault with its line"),
        "test": Command("Run the tests that the configuration defines"),
    },
    "Try": {
        "send": Command("Send a signed test event to a source and print the response"),
        "trigger": Command("Send a correctly signed sample event from a provider"),
        "listen": Command("Bring a copy of each request of a deployment to this machine"),
        "link": Command("Create a signed link that sends an event when it is opened"),
        "smoke": Command("Send one test event and follow it to its destinations"),
        "explain": Command("Explain offline how a request would be handled"),
        "step": Command("Run a document through a step or a named chain"),
    },
    "Look up": {
        "providers": Command("List the providers in the catalogue, or show how to set one up", "look_up"),
        "sources": Command("Show each source's URL and what to enter in the sender's settings"),
        "steps": Command("List the steps, or show the settings and an example of one", "look_up"),
        "destinations": Command("List the kinds of destinations, or show the settings and examples of one", "look_up"),
        "schema": Command("Print the JSON Schema of the configuration, for editors", "look_up"),
        "map": Command("Draw sources, routes, steps and destinations as one picture (SVG)"),
    },
    "Operate": {
        "status": Command("Show what is running, recent events, backlog and problems"),
        "events": Command("List, show and replay events"),
        "dead-letters": Command("List, show, replay and drop dead letters"),
        "logs": Command("Print the functions' logs, one line per record"),
        "inspect": Command("Serve the inspector page for this machine or a cloud"),
        "backup": Command("Write the state of this machine to one file, while it is used", "backup"),
        "restore": Command("Restore the state of this machine, with deliveries paused", "backup"),
        "mcp": Command("Give an assistant tools for events and configurations"),
        "doctor": Command("Find what would make a start or a deployment fail"),
        "pause": Command("Pause a destination: its deliveries wait until it is resumed", "pause"),
        "resume": Command("Resume a paused or disabled destination", "pause"),
        "release": Command("Send the held deliveries of a destination", "pause"),
        "secrets": Command("List, set and rotate the secrets that the configuration needs"),
        "hooks": Command("Register, repair and remove the webhooks of sources at their providers"),
        "recover": Command("Recover events that a provider could not deliver to a source"),
        "forget": Command("Erase the bodies of events from every store, and verify that they are gone"),
    },
    "Subscribers": {
        "tenants": Command("List, show, set, delete and import tenants: your own users"),
        "endpoints": Command("List, show, disable, enable and import tenants' endpoints"),
        "event-types": Command("List, show, import, export and document the event types for tenants"),
        "api-keys": Command("Create, list, rotate and delete keys of the API for subscribers"),
        "portal-link": Command("Print a link with which a tenant manages its endpoints", "tenants"),
    },
    "Deploy": {
        "plan-gcp": Command("Print the commands of a Google Cloud deployment without running them", "gcp_deployment"),
        "deploy-gcp": Command("Deploy to Google Cloud, or update what is there", "gcp_deployment"),
        "rollback-gcp": Command("Return the functions to their previous revision", "gcp_deployment"),
        "destroy-gcp": Command("Remove a deployment, except its secrets and dead letters", "gcp_deployment"),
        "plan-aws": Command("Print the template of an AWS deployment, or its changes", "aws_deployment"),
        "deploy-aws": Command("Deploy to AWS Lambda, or update what is there", "aws_deployment"),
        "rollback-aws": Command("Return the functions to the code before the last deployment", "aws_deployment"),
        "destroy-aws": Command("Remove a deployment from AWS, except its secrets and stores", "aws_deployment"),
        "bundle": Command("Write build/<function>/, ready to deploy"),
        "costs": Command("Estimate what a month of events costs in a cloud"),
    },
}
"""The commands by heading, as `hookchain --help` lists them."""

COMMANDS: Final = {name: command for group in GROUPS.values() for name, command in group.items()}
EXAMPLE: Final = "  hookchain dev"
READER_GONE: Final = 141
"""The exit code that a shell reports for a program that SIGPIPE ended: what it would have reported is not known."""
HELP_FILE: Final = Path(__file__).with_name("help.yaml")
_CHECKOUT: Final = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. `arguments` are those after the program's name.

    0 to 4 are the command's own codes; 130 is a Ctrl-C, and READER_GONE an output that is no longer read.
    """
    code = READER_GONE
    try:
        try:
            code = _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    return code


def _drop_output() -> None:
    """Send what is still buffered nowhere, so that Python's own flush at the end finds no closed pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _run(arguments: list[str]) -> int:
    """Find the command, import its module, and return the command's exit code.

    What few calls need is imported here, so that a command starts fast.
    """
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    if arguments[0] in {"-V", "--version", "version"}:
        print(f"hookchain {version()}")
        return 0
    command = COMMANDS.get(arguments[0])
    if command is not None and (fault := checkout_fault(_CHECKOUT)):
        print(f"hookchain: {fault}", file=sys.stderr)
        return 1
    try:
        if command is None:
            print(f"hookchain: there is no command {arguments[0]!r}{_meant(arguments[0])}", file=sys.stderr)
            return 2
        name = arguments[0].replace("-", "_")
        module = importlib.import_module(f"deploy.cli.{command.module or name}")
        code: int = getattr(module, name if command.module else "main")(arguments[1:])
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"deploy", "functions", "shared"}:
            raise  # a module of ours is missing: a fault that no installation corrects
        line = how_to_install(_CHECKOUT, error.name or "")
        print(f"hookchain: {error.name!r} is not installed. {line}", file=sys.stderr)
        return 1
    return code


def _meant(word: str) -> str:
    """Return what was probably meant by a word that is no command: an action of commands, or a similar command."""
    from deploy.config.packaged_yaml import load_data
    from shared.did_you_mean import did_you_mean

    with_action = [name.split()[0] for name in load_data(HELP_FILE) if name.endswith(f" {word}")]
    return f"; it is an action of {', '.join(with_action)}" if with_action else did_you_mean(word, COMMANDS)


def checkout_fault(folder: Path) -> str | None:
    """Return the reason why `folder` is no checkout. A copy that pip made has neither .env nor a configuration."""
    if (folder / "pyproject.toml").is_file():
        return None
    return f"must run from a checkout; {folder} is not one. {how_to_install(Path())}"


def version() -> str:
    """Return the version that pyproject.toml has: an installation's own metadata may be older."""
    import tomllib

    try:
        document = tomllib.loads((_CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    except OSError:
        from importlib.metadata import version as installed_version

        return installed_version("hookchain")
    return str(document["project"]["version"])


def usage() -> str:
    """Return the text of `hookchain --help`: every command with its summary, by heading."""
    name_width = max(map(len, COMMANDS))
    lines = ["usage: hookchain COMMAND [options]"]
    for heading, group in GROUPS.items():
        summaries = {name: command.summary for name, command in group.items()}
        lines += ["", f"{heading}:", *summary_lines(summaries, name_width)]
    more = "hookchain COMMAND --help prints the options of a command, hookchain --version the version."
    return "\n".join([*lines, "", *wrap(more, 80), "", "example:", EXAMPLE])
