"""`hookchain steps [NAME]`: which steps there are; of one, what it does, its settings and an example."""

import argparse
import os
import sys
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel

from deploy.cli.ending import DONE, NOT_DONE, USAGE, ended, tell
from deploy.cli.main import parser
from deploy.config.configured import add_configuration, configured
from deploy.explain.steps import step_document, step_listing, step_page
from deploy.terminal.printing import print_json
from deploy.terminal.tables import screen_of
from functions.transform.families import StepModels, step_models
from functions.transform.read_routes import read_program
from shared.did_you_mean import did_you_mean

EPILOG: Final = """\
examples:
  hookchain steps            all of them, by family
  hookchain steps redact     what `redact` takes, and what it does to an event

exit code: 0 done, 1 there is no such step, 2 for a command that makes no sense"""


def main(arguments: list[str]) -> int:
    words = parser("steps", EPILOG)
    words.add_argument("name", metavar="NAME", nargs="?", help="one step")
    words.add_argument("--json", action="store_true", help="print one JSON document")
    add_configuration(words)
    options = words.parse_args(arguments)
    return ended("steps", lambda: _run(options), faulty=USAGE)


def _run(options: argparse.Namespace) -> int:
    own = _own(options)
    known = {**step_models(), **own}
    if options.name is not None and options.name not in known:
        where = "" if options.config else "; steps of your own are those of --config FILE"
        tell("steps", f"there is no step {options.name!r}{did_you_mean(options.name, known)}{where}")
        return NOT_DONE
    _print(options, known, own)
    return DONE


def _own(options: argparse.Namespace) -> StepModels:
    """Those of the configuration that is named; the list needs none."""
    return read_program(configured(options).slices["transform"]).own if options.config else {}


def _print(options: argparse.Namespace, known: Mapping[str, type[BaseModel]], own: StepModels) -> None:
    names = [options.name] if options.name else sorted(known)
    screen = screen_of(sys.stdout, os.environ)
    if options.json:
        print_json({"steps": [step_document(name, known[name]) for name in names]})
    elif options.name:
        print("\n".join(step_page(options.name, known[options.name], screen)))
    else:
        print("\n".join(step_listing(own, screen)))
