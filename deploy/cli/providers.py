"""`hookchain providers [NAME]`: list the providers in the catalogue, or show how to set one up."""

import argparse
import os
import sys
from typing import Final

from deploy.cli.command import parser
from deploy.config.catalogue import Catalogue, load_catalogue
from deploy.config.catalogue_pages import entry_document, entry_text, listing, matching
from deploy.terminal.printing import print_json
from deploy.terminal.tables import Screen, screen_of
from shared.did_you_mean import nearest

DETAILS: Final = """\
PROVEN is how the signature was tested: with genuine requests that were published (vectors), with requests signed by the
provider's own or an independent library (library), with requests signed in a test by code written from the
documentation (restated), or not at all, because there is no signature (nothing)."""
EXAMPLES: Final = """\
  hookchain providers                 list all of them
  hookchain providers --find mail     list those that have to do with mail
  hookchain providers github          show how to set GitHub up"""


def main(arguments: list[str]) -> int:
    codes = "0 done, 1 nothing found, 2 usage error"
    command = parser("providers", EXAMPLES, details=DETAILS, exit_codes=codes)
    command.add_argument("name", metavar="NAME", nargs="?", help="show this provider, such as github")
    command.add_argument("--find", metavar="TEXT", help="list those with this text in their key, name, auth or notes")
    command.add_argument("--json", action="store_true", help="print one JSON document")
    options = command.parse_args(arguments)
    if options.name is not None and options.find is not None:
        command.error("give NAME or --find, not both")
    screen = Screen() if options.json else screen_of(sys.stdout, os.environ)
    catalogue = load_catalogue()
    return (
        _print_provider(options, catalogue, screen)
        if options.name is not None
        else _print_listing(options, catalogue, screen)
    )


def _print_provider(options: argparse.Namespace, catalogue: Catalogue, screen: Screen) -> int:
    key = key_of(options.name)
    if key not in catalogue:
        near = nearest(key, catalogue)
        more = f"did you mean {near!r}?" if near else "`hookchain providers` lists them."
        other = "A sender that is not in the catalogue works too: functions/receive/README.md#any-other-sender"
        print(f"hookchain providers: there is no provider {options.name!r}; {more} {other}", file=sys.stderr)
        return 1
    if options.json:
        print_json(entry_document(key, catalogue[key]))
    else:
        print("\n".join(entry_text(key, catalogue[key], screen)))
    return 0


def _print_listing(options: argparse.Namespace, catalogue: Catalogue, screen: Screen) -> int:
    found = matching(catalogue, options.find)
    if options.json:
        print_json({"providers": [entry_document(key, entry) for key, entry in found.items()]})
    elif found:
        print(listing(found, screen))
    if not found:
        print(f"hookchain providers: no provider has the text {options.find!r}", file=sys.stderr)
    return 0 if found else 1


def key_of(name: str) -> str:
    """Return the catalogue's key: people write `GitHub`, `jamf-pro` and `Jamf Pro` for `github` and `jamf_pro`."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")
