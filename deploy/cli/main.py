"""The `hookchain` command. Each subcommand is a module of its own, imported when it is asked for."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deploy.terminal.help_text import HelpText, listed


@dataclass(frozen=True, slots=True)
class Command:
    """`module` has `main(arguments: list[str]) -> int`, the exit code, and parses its own arguments."""

    module: str
    summary: str


COMMANDS: Final = {
    "dev": Command(
        "deploy.dev.supervisor.dev", "run the whole pipe here, with no cloud account, and a page to watch it"
    ),
    "lint": Command("deploy.cli.lint", "check the configuration: every fault at once, with line, name and rule"),
    "send": Command("deploy.cli.send", "post an event to a source, signed as you say, and tell what came of it"),
    "link": Command("deploy.cli.link", "make a signed link that sends an event when it is opened, once or in its time"),
    "trigger": Command(
        "deploy.cli.trigger", "send a realistic, rightly signed sample of what a provider sends, or a broken one"
    ),
    "explain": Command("deploy.cli.explain", "say offline what would happen to a request, check by check, and why"),
    "providers": Command(
        "deploy.cli.providers", "whom the catalogue knows; of one, how to set it up and how sure that is"
    ),
    "events": Command("deploy.cli.events", "look at what arrived and what became of it; send it through once more"),
    "dead-letters": Command("deploy.cli.dead_letters", "look at what was given up on and why; try it anew, or drop it"),
    "inspect": Command("deploy.cli.inspect", "watch events on a page on this machine, also those on Google Cloud"),
    "release": Command("deploy.cli.release", "deliver what is held for a destination, once its fault is mended"),
    "doctor": Command("deploy.cli.doctor", "find why a deploy or a start would fail, before anything is made"),
    "secrets": Command("deploy.cli.secrets", "list the secrets that the configuration needs; set or rotate one"),
    "sources": Command(
        "deploy.cli.sources",
        "each source's URL, and what to type into its sender's settings, with one example",
    ),
    "status": Command("deploy.cli.status", "what runs, what came last, what waits, and what needs somebody"),
    "logs": Command("deploy.cli.logs", "what the functions said, one readable line a record; with --follow, on"),
    "smoke": Command("deploy.cli.smoke", "post one test event as its source asks, and follow it to its end"),
    "step": Command("deploy.cli.step", "put a document through a step, or a named chain, and print what it becomes"),
    "steps": Command("deploy.cli.steps", "which steps there are; of one, its settings and an example"),
    "test": Command("deploy.cli.test", "run the configuration's own tests: what comes in, what should go out"),
    "schema": Command("deploy.cli.schema", "print the JSON Schema of the configuration, for editors"),
    "bundle": Command("deploy.cli.bundle", "write build/<function>/, ready to deploy"),
    "plan-gcp": Command("deploy.cli.plan_gcp", "print what a deployment to Google Cloud would run"),
    "deploy-gcp": Command("deploy.cli.deploy_gcp", "deploy to Google Cloud, or bring what is there up to date"),
    "costs": Command("deploy.cli.costs_gcp", "what events use on Google Cloud, and cost at the prices you fill in"),
    "destroy-gcp": Command("deploy.cli.destroy_gcp", "remove what a deployment made, but secrets and dead letters"),
}


READER_GONE: Final = 141
"""What a shell says of a program that SIGPIPE ended: nothing is known of the faults it was about to tell."""


def main(arguments: Sequence[str] | None = None) -> int:
    code = READER_GONE
    try:
        try:
            code = _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough
        _drop_output()
    return code


def _drop_output() -> None:
    """What is still buffered goes nowhere, so that Python's own flush at the end finds no closed pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _run(given: list[str]) -> int:
    if not given or given[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0
    command = COMMANDS.get(given[0])
    if command is None:
        from shared.did_you_mean import did_you_mean

        print(f"hookchain: there is no command {given[0]!r}{did_you_mean(given[0], COMMANDS)}", file=sys.stderr)
        return 2
    try:
        code: int = importlib.import_module(command.module).main(given[1:])
    except KeyboardInterrupt:
        return 130
    return code


def usage() -> str:
    lines = listed({name: command.summary for name, command in COMMANDS.items()})
    return "\n".join(["usage: hookchain COMMAND …", "", *lines, "", "hookchain COMMAND --help says more of one."])


def parser(name: str, epilog: str = "") -> argparse.ArgumentParser:
    """A subcommand's, which begins with the words that the list of commands has for it."""
    return argparse.ArgumentParser(
        prog=f"hookchain {name}",
        description=COMMANDS[name].summary[0].upper() + COMMANDS[name].summary[1:] + ".",
        epilog=epilog,
        formatter_class=HelpText,
    )


if __name__ == "__main__":
    sys.exit(main())
