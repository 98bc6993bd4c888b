"""The `hookchain` command. Each subcommand is a module of its own, imported when it is called."""

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Final

from deploy.terminal.command_line import how_to_install, listed


@dataclass(frozen=True, slots=True)
class Command:
    """A command. `entry` is the module and function that parses the arguments and returns the exit code."""

    entry: str
    summary: str


GROUPS: Final = {
    "Start": {
        "dev": Command("deploy.cli.dev:main", "Run everything on this machine, without a cloud account"),
        "serve": Command("deploy.cli.serve:main", "Run everything on a machine of your own, for production"),
        "init": Command("deploy.cli.init:main", "Write deploy/hookchain.yaml from a recipe"),
        "lint": Command("deploy.cli.lint:main", "Validate the configuration and list every fault with its line"),
        "test": Command("deploy.cli.test:main", "Run the tests that the configuration defines"),
    },
    "Try": {
        "send": Command("deploy.cli.send:main", "Send a signed test event to a source and print the response"),
        "trigger": Command("deploy.cli.trigger:main", "Send a correctly signed sample event from a provider"),
        "link": Command("deploy.cli.link:main", "Create a signed link that sends an event when it is opened"),
        "smoke": Command("deploy.cli.smoke:main", "Send one test event and follow it to its destinations"),
        "explain": Command("deploy.cli.explain:main", "Explain offline how a request would be handled"),
        "step": Command("deploy.cli.step:main", "Run a document through a step or a named chain"),
    },
    "Look up": {
        "providers": Command(
            "deploy.cli.look_up:providers", "List the providers in the catalogue, or show how to set one up"
        ),
        "sources": Command(
            "deploy.cli.sources:main", "Show each source's URL and what to enter in the sender's settings"
        ),
        "steps": Command("deploy.cli.look_up:steps", "List the steps, or show the settings and an example of one"),
        "destinations": Command(
            "deploy.cli.look_up:destinations",
            "List the kinds of destinations, or show the settings and examples of one",
        ),
        "schema": Command("deploy.cli.look_up:schema", "Print the JSON Schema of the configuration, for editors"),
    },
    "Operate": {
        "status": Command("deploy.cli.status:main", "Show what is running, recent events, backlog and problems"),
        "events": Command("deploy.cli.events:main", "List, show and replay events"),
        "dead-letters": Command("deploy.cli.dead_letters:main", "List, show, replay and drop dead letters"),
        "logs": Command("deploy.cli.logs:main", "Print the functions' logs, one line per record"),
        "inspect": Command("deploy.cli.inspect:main", "Serve the inspector page for this machine or a cloud"),
        "doctor": Command("deploy.cli.doctor:main", "Find what would make a start or a deployment fail"),
        "pause": Command("deploy.cli.pause:pause", "Pause a destination: its deliveries wait until it is resumed"),
        "resume": Command("deploy.cli.pause:resume", "Resume a paused or disabled destination"),
        "release": Command("deploy.cli.pause:release", "Send the held deliveries of a destination"),
        "secrets": Command("deploy.cli.secrets:main", "List, set and rotate the secrets that the configuration needs"),
        "hooks": Command(
            "deploy.cli.hooks:main", "Register, repair and remove the webhooks of sources at their providers"
        ),
        "forget": Command(
            "deploy.cli.forget:main", "Erase the bodies of events from every store, and verify that they are gone"
        ),
    },
    "Subscribers": {
        "tenants": Command("deploy.cli.tenants:main", "List, show, set, delete and import tenants: your own users"),
        "endpoints": Command("deploy.cli.endpoints:main", "List, show, disable, enable and import tenants' endpoints"),
        "event-types": Command(
            "deploy.cli.event_types:main", "List, show, import, export and document the event types for tenants"
        ),
        "api-keys": Command(
            "deploy.cli.api_keys:main", "Create, list, rotate and delete keys of the API for subscribers"
        ),
        "portal-link": Command(
            "deploy.cli.tenants:portal_link", "Print a link with which a tenant manages its endpoints"
        ),
    },
    "Deploy": {
        "plan-gcp": Command(
            "deploy.cli.gcp_deployment:plan_gcp", "Print the commands of a Google Cloud deployment without running them"
        ),
        "deploy-gcp": Command(
            "deploy.cli.gcp_deployment:deploy_gcp", "Deploy to Google Cloud, or update what is there"
        ),
        "rollback-gcp": Command(
            "deploy.cli.gcp_deployment:rollback_gcp", "Return the functions to their previous revision"
        ),
        "destroy-gcp": Command(
            "deploy.cli.gcp_deployment:destroy_gcp", "Remove a deployment, except its secrets and dead letters"
        ),
        "plan-aws": Command(
            "deploy.cli.aws_deployment:plan_aws", "Print the template of an AWS deployment, or its changes"
        ),
        "deploy-aws": Command("deploy.cli.aws_deployment:deploy_aws", "Deploy to AWS Lambda, or update what is there"),
        "rollback-aws": Command(
            "deploy.cli.aws_deployment:rollback_aws", "Return the functions to the code before the last deployment"
        ),
        "destroy-aws": Command(
            "deploy.cli.aws_deployment:destroy_aws", "Remove a deployment from AWS, except its secrets and stores"
        ),
        "bundle": Command("deploy.cli.bundle:main", "Write build/<function>/, ready to deploy"),
        "costs": Command("deploy.cli.costs:main", "Estimate what a month of events costs in a cloud"),
    },
}
"""The commands by heading, as `hookchain --help` lists them."""

COMMANDS: Final = {name: command for group in GROUPS.values() for name, command in group.items()}
EXAMPLE: Final = "  hookchain dev"
READER_GONE: Final = 141
"""The exit code that a shell reports for a program that SIGPIPE ended: what it would have reported is not known."""
_CHECKOUT: Final = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
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
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [*arguments[1:], "--help"]
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    if arguments[0] in {"-V", "--version", "version"}:
        print(f"hookchain {version()}")
        return 0
    command = COMMANDS.get(arguments[0])
    if command is None:
        from shared.did_you_mean import did_you_mean

        print(f"hookchain: there is no command {arguments[0]!r}{did_you_mean(arguments[0], COMMANDS)}", file=sys.stderr)
        return 2
    if fault := checkout_fault(_CHECKOUT):
        print(f"hookchain: {fault}", file=sys.stderr)
        return 1
    try:
        module, _, function = command.entry.partition(":")
        code: int = getattr(importlib.import_module(module), function)(arguments[1:])
    except KeyboardInterrupt:
        return 130
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"deploy", "functions", "shared"}:
            raise
        line = how_to_install(_CHECKOUT, error.name or "")
        print(f"hookchain: {error.name!r} is not installed. {line}", file=sys.stderr)
        return 1
    return code


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
    width = max(map(len, COMMANDS))
    lines = [
        line
        for heading, group in GROUPS.items()
        for line in ("", f"{heading}:", *listed({name: command.summary for name, command in group.items()}, width))
    ]
    more = "hookchain COMMAND --help prints the options of a command, hookchain --version the version."
    return "\n".join(["usage: hookchain COMMAND [options]", *lines, "", *wrap(more, 80), "", "example:", EXAMPLE])
