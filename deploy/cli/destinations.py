"""`hookchain destinations [NAME]`: list the kinds of destinations, or show the settings and examples of one."""

import argparse
import os
import sys
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, USAGE, parser, report, run_command
from deploy.config.checks.kinds import KindFault, suggested_kinds
from deploy.config.configured import add_configuration, optional_slices
from deploy.explain.destinations import kind_document, kind_listing, kind_page, known_kinds
from deploy.history.state import configured_destinations, kind_of
from deploy.terminal.printing import print_json
from deploy.terminal.tables import screen_of
from functions.notify.registry import load_own_kinds
from shared.own_modules import own_sources

EXAMPLES: Final = """\
  hookchain destinations             list all kinds
  hookchain destinations pagerduty   show the settings of `pagerduty` and the requests that it sends"""


def main(arguments: list[str]) -> int:
    command = parser("destinations", EXAMPLES, exit_codes="0 done, 1 no such kind, 2 usage error")
    command.add_argument("name", metavar="NAME", nargs="?", help="show this kind")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    add_configuration(command)
    options = command.parse_args(arguments)
    return run_command("destinations", lambda: _run(options), KindFault, error_code=USAGE)


def _run(options: argparse.Namespace) -> int:
    notify = optional_slices(options).get("notify", {})
    own = load_own_kinds(own_sources(notify.get("own_kinds")))
    known = known_kinds(own)
    if options.name is not None and options.name not in known:
        if kind := kind_of(configured_destinations(notify).get(options.name)):
            show = f"`hookchain destinations {kind}` shows its settings, and `hookchain status` its state"
            report("destinations", f"{options.name!r} is a destination of the kind {kind!r}: {show}")
            return NOT_DONE
        report("destinations", f"there is no kind {options.name!r}{suggested_kinds(options.name, known)}")
        return NOT_DONE
    screen = screen_of(sys.stdout, os.environ)
    if options.json:
        print_json({"kinds": [kind_document(kind, own) for kind in ([options.name] if options.name else known)]})
    elif options.name:
        print("\n".join(kind_page(options.name, own, screen)))
    else:
        print("\n".join(kind_listing(own, screen)))
    return DONE
