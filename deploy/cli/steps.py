"""`hookchain steps [NAME]`: list the steps, or show the settings and an example of one."""

import argparse
import os
import sys
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, USAGE, parser, report, run_command
from deploy.config.configured import add_configuration, optional_slices
from deploy.explain.steps import step_document, step_listing, step_page
from deploy.terminal.printing import print_json
from deploy.terminal.tables import screen_of
from functions.transform.families import StepClasses, step_classes
from functions.transform.read_routes import read_program
from shared.did_you_mean import did_you_mean

EXAMPLES: Final = """\
  hookchain steps            list all of them, by family
  hookchain steps redact     show the settings of `redact` and what it does"""


def main(arguments: list[str]) -> int:
    command = parser("steps", EXAMPLES, exit_codes="0 done, 1 no such step, 2 usage error")
    command.add_argument("name", metavar="NAME", nargs="?", help="show this step")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    add_configuration(command)
    options = command.parse_args(arguments)
    return run_command("steps", lambda: _run(options), error_code=USAGE)


def _run(options: argparse.Namespace) -> int:
    own = _own(options)
    known = {**step_classes(), **own}
    if options.name is not None and options.name not in known:
        report("steps", f"there is no step {options.name!r}{did_you_mean(options.name, known)}")
        return NOT_DONE
    _print(options, known, own)
    return DONE


def _own(options: argparse.Namespace) -> StepClasses:
    """Return the steps that the configuration adds."""
    slices = optional_slices(options)
    return read_program(slices["transform"]).own if slices else {}


def _print(options: argparse.Namespace, known: StepClasses, own: StepClasses) -> None:
    names = [options.name] if options.name else sorted(known)
    screen = screen_of(sys.stdout, os.environ)
    if options.json:
        print_json({"steps": [step_document(name, known[name]) for name in names]})
    elif options.name:
        print("\n".join(step_page(options.name, known[options.name], screen)))
    else:
        print("\n".join(step_listing(own, screen)))
