"""`hookchain schema`: print the JSON Schema of the configuration."""

import argparse
from typing import Final

from deploy.cli.command import DONE, parser, run_command
from deploy.config.checks.kinds import KindFault
from deploy.config.config_schema import config_schema
from deploy.config.configured import add_configuration, optional_slices
from deploy.terminal.printing import print_json
from functions.notify.registry import load_own_kinds
from functions.transform.read_routes import read_program
from shared.own_modules import own_sources

DETAILS: Final = """\
As the first line of hookchain.yaml, for editors with yaml-language-server, write:
  # yaml-language-server: $schema=hookchain.schema.json

The schema includes the configuration's own steps and kinds of destinations. It covers the structure only:
`hookchain lint` also finds unknown names, and expressions and templates that do not parse."""


def main(arguments: list[str]) -> int:
    codes = "0 done, 1 the configuration has faults, 2 usage error"
    command = parser("schema", "hookchain schema > deploy/hookchain.schema.json", details=DETAILS, exit_codes=codes)
    add_configuration(command)
    options = command.parse_args(arguments)
    return run_command("schema", lambda: _run(options), KindFault)


def _run(options: argparse.Namespace) -> int:
    slices = optional_slices(options)
    own_kinds = load_own_kinds(own_sources(slices["notify"].get("own_kinds"))) if slices else {}
    print_json(config_schema(read_program(slices["transform"]).own if slices else {}, own_kinds))
    return DONE
