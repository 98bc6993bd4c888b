"""`hookchain schema`: the JSON Schema of the configuration."""

import argparse
from typing import Final

from deploy.cli.ending import DONE, ended
from deploy.cli.main import parser
from deploy.config.checks.kinds import KindFault
from deploy.config.config_schema import config_schema
from deploy.config.configured import add_configuration, configured
from deploy.terminal.printing import print_json
from functions.transform.read_routes import read_program

EPILOG: Final = """\
example:
  hookchain schema > deploy/hookchain.schema.json

and as the first line of hookchain.yaml, for editors that speak with yaml-language-server:
  # yaml-language-server: $schema=hookchain.schema.json

With --config, the steps of your own are in it too. It says what may be written where; `hookchain lint` says more: which
names lead nowhere, which expressions and templates do not parse.

exit code: 0 done, 1 where the configuration that was named has faults"""


def main(arguments: list[str]) -> int:
    words = parser("schema", EPILOG)
    add_configuration(words)
    options = words.parse_args(arguments)
    return ended("schema", lambda: _run(options), KindFault)


def _run(options: argparse.Namespace) -> int:
    own = read_program(configured(options).slices["transform"]).own if options.config else {}
    print_json(config_schema(own))
    return DONE
