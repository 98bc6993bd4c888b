"""`hookchain providers`, `steps`, `destinations` and `schema`: what a configuration can have."""

import argparse
from collections.abc import Mapping

from deploy.cli.command import DONE, NOT_DONE, USAGE, parser, report, run_command
from deploy.config.config_schema import config_schema
from deploy.config.configured import add_configuration, optional_slices
from deploy.config.sections import catalogue_pages, kinds
from deploy.config.sections.catalogue import Catalogue, load_catalogue
from deploy.explain import reference
from deploy.history.state import configured_destinations, kind_of
from deploy.terminal.output import Screen, print_json, stdout_screen
from functions.notify.own_kinds import own_kinds_of
from functions.transform.program import read_program
from functions.transform.step_classes import StepClasses, step_classes
from shared.did_you_mean import did_you_mean, nearest
from shared.jsontext import JsonObject


def providers(arguments: list[str]) -> int:
    command = parser("providers")
    command.add_argument("name", metavar="NAME", nargs="?", help="show this provider, such as github")
    command.add_argument(
        "--find", metavar="TEXT", help="list the providers with this text in their key, name, auth or notes"
    )
    command.add_argument("--json", action="store_true", help="print one JSON document")
    options = command.parse_args(arguments)
    if options.name is not None and options.find is not None:
        command.error("use NAME or --find, not both")
    screen = stdout_screen(options.json)
    catalogue = load_catalogue()
    if options.name is not None:
        return _print_provider(options, catalogue, screen)
    return _print_listing(options, catalogue, screen)


def _print_provider(options: argparse.Namespace, catalogue: Catalogue, screen: Screen) -> int:
    """Print how to set the provider up. Return NOT_DONE if there is no such provider."""
    key = key_of(options.name)
    if key not in catalogue:
        near = nearest(key, catalogue)
        more = f"did you mean {near!r}?" if near else "`hookchain providers` lists them."
        other = "A sender that is not in the catalogue works too: functions/receive/README.md#any-other-sender"
        report("providers", f"there is no provider {options.name!r}; {more} {other}")
        return NOT_DONE
    if options.json:
        print_json(catalogue_pages.entry_document(key, catalogue[key]))
    else:
        print("\n".join(catalogue_pages.entry_text(key, catalogue[key], screen)))
    return DONE


def _print_listing(options: argparse.Namespace, catalogue: Catalogue, screen: Screen) -> int:
    """Print the providers with the text of --find, or all. Return NOT_DONE if there is none."""
    found = catalogue_pages.matching(catalogue, options.find)
    if options.json:
        print_json({"providers": [catalogue_pages.entry_document(key, entry) for key, entry in found.items()]})
    elif found:
        print(catalogue_pages.listing(found, screen))
    if not found:
        report("providers", f"no provider has the text {options.find!r}")
    return DONE if found else NOT_DONE


def key_of(name: str) -> str:
    """Return the catalogue's key of a name as people write it: `jamf_pro` for `jamf-pro` and `Jamf Pro`."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def steps(arguments: list[str]) -> int:
    options = _parse("steps", "show this step", arguments)
    return run_command("steps", lambda: _run_steps(options), error_code=USAGE)


def _parse(name: str, name_help: str, arguments: list[str]) -> argparse.Namespace:
    """Return the options of a command that lists what a configuration can use, or shows one of it by its NAME."""
    command = parser(name)
    command.add_argument("name", metavar="NAME", nargs="?", help=name_help)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    add_configuration(command)
    return command.parse_args(arguments)


def _run_steps(options: argparse.Namespace) -> int:
    """Print one step, or all with the configuration's own. Return NOT_DONE if there is no such step."""
    own = _own_steps(optional_slices(options))
    known = {**step_classes(), **own}
    if options.name is not None and options.name not in known:
        report("steps", f"there is no step {options.name!r}{did_you_mean(options.name, known)}")
        return NOT_DONE
    screen = stdout_screen()
    if options.json:
        names = [options.name] if options.name else sorted(known)
        print_json({"steps": [reference.step_document(name, known[name]) for name in names]})
    elif options.name:
        print("\n".join(reference.step_page(options.name, known[options.name], screen)))
    else:
        print("\n".join(reference.step_listing(own, screen)))
    return DONE


def _own_steps(slices: Mapping[str, JsonObject]) -> StepClasses:
    """Return the steps that the configuration adds; none without a configuration."""
    return read_program(slices["transform"]).own if slices else {}


def destinations(arguments: list[str]) -> int:
    options = _parse("destinations", "show this kind", arguments)
    return run_command("destinations", lambda: _run_destinations(options), error_code=USAGE)


def _run_destinations(options: argparse.Namespace) -> int:
    """Print one kind of destination, or all with the configuration's own. Return NOT_DONE if there is no such kind."""
    notify = optional_slices(options).get("notify", {})
    own = own_kinds_of(notify)
    known = reference.known_kinds(own)
    if options.name is not None and options.name not in known:
        kind = kind_of(configured_destinations(notify).get(options.name))
        if kind:
            show = f"`hookchain destinations {kind}` shows its settings, and `hookchain status` its state"
            report("destinations", f"{options.name!r} is a destination of the kind {kind!r}: {show}")
            return NOT_DONE
        report("destinations", f"there is no kind {options.name!r}{kinds.suggested_kinds(options.name, known)}")
        return NOT_DONE
    screen = stdout_screen()
    if options.json:
        names = [options.name] if options.name else known
        print_json({"kinds": [reference.kind_document(name, own) for name in names]})
    elif options.name:
        print("\n".join(reference.kind_page(options.name, own, screen)))
    else:
        print("\n".join(reference.kind_listing(own, screen)))
    return DONE


def schema(arguments: list[str]) -> int:
    command = parser("schema")
    add_configuration(command)
    options = command.parse_args(arguments)
    return run_command("schema", lambda: _run_schema(options))


def _run_schema(options: argparse.Namespace) -> int:
    """Print the schema, with the steps and kinds of the configuration if there is one. Return DONE."""
    slices = optional_slices(options)
    own_kinds = own_kinds_of(slices["notify"]) if slices else {}
    print_json(config_schema(_own_steps(slices), own_kinds))
    return DONE
