"""`hookchain sources`: show each source's URL and what to enter in the sender's settings."""

import argparse
import fnmatch
import json
import os
import shlex
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from deploy.cli.command import DONE, parser, run_command
from deploy.config.catalogue import load_catalogue
from deploy.config.configured import Configured, add_configuration, configured
from deploy.config.ports import HOST
from deploy.google.cloud import cloud_deployment
from deploy.google.target import Target
from deploy.history.local_bus import own_ports
from deploy.history.platform_options import add_platform, add_state, is_gcp, target_of
from deploy.requests.samples import events_of
from deploy.requests.smoke_event import example_event
from deploy.requests.source_entries import Entry, entries, provider_key, routes_from, types_of
from deploy.requests.source_example import example_line
from deploy.requests.source_lines import sources_of, ways_of
from deploy.requests.trial import as_typed_here, program, trial_type
from deploy.terminal.command_error import CommandError
from deploy.terminal.tables import BOLD, DIM, Screen, printable, screen_of
from shared.did_you_mean import did_you_mean
from shared.jsontext import Json

DETAILS: Final = """\
`<secret NAME>` stands for the newest value of that secret: `hookchain secrets list` shows where it is stored. If a
source lists several auth schemes, the sender needs only one of them."""
_WIDTH: Final = 100


def main(arguments: list[str]) -> int:
    command = parser("sources", "hookchain sources github --platform gcp", details=DETAILS)
    command.add_argument("name", metavar="NAME", nargs="?", help="show this source only")
    add_configuration(command)
    add_platform(command)
    add_state(command)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    options = command.parse_args(arguments)
    return run_command("sources", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    have = configured(options)
    known = sources_of(have.slices["receive"])
    if options.name is not None and options.name not in known:
        raise CommandError(f"there is no source {options.name!r}{did_you_mean(options.name, known)}")
    target = target_of(options, have.environ) if is_gcp(options) else None
    base = cloud_deployment(target).receive_url() if target else _local_url(options, have)
    listed = [each for each in entries(have.slices, base, _providers(have)) if options.name in (None, each.name)]
    lines = {each.name: _example(have, each.name, base, target) for each in listed}
    if options.json:
        print(json.dumps({"sources": [{**each.document(), "example": lines[each.name]} for each in listed]}, indent=2))
    else:
        screen = screen_of(sys.stdout, os.environ)
        print("\n\n".join("\n".join(entry_text(each, lines[each.name], screen)) for each in listed))
        if target is None and any(line.startswith("curl") and "$" in line for line in lines.values()):
            file = as_typed_here(options.env_file)
            read = shlex.quote(file if "/" in file else f"./{file}")  # `.` alone would look for it on PATH
            print(f"\nTo set $NAME in your shell, read .env:  . {read}")
    return DONE


def _local_url(options: argparse.Namespace, have: Configured) -> str:
    return f"http://{HOST}:{own_ports(options.state, have.environ).receive}"


def entry_text(entry: Entry, example: str, screen: Screen) -> Iterator[str]:
    yield screen.coloured(entry.name, BOLD) + (screen.coloured(f"  {entry.provider}", DIM) if entry.provider else "")
    rows = [("URL", entry.url), ("methods", ", ".join(entry.methods))]
    for number, way in enumerate(entry.ways):
        rows += _rows("or" if number else "settings", way)
    rows.append(("events", events_words(entry)))
    rows += _rows("set up", textwrap.wrap(entry.setup, _WIDTH))
    if example:
        rows.append(("try it", example))
    yield from (f"  {title.ljust(8)}  {printable(text)}" for title, text in rows)


def _rows(title: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    return [("" if place else title, line) for place, line in enumerate(lines)]


def events_words(entry: Entry) -> str:
    if not entry.routes:
        return "none: no route matches its events"
    named = f" ({', '.join(entry.routes)})"
    return (f"select {', '.join(entry.events)}" if entry.events else "all: a route matches every type") + named


def _example(have: Configured, name: str, base: str, target: Target | None) -> str:
    source = sources_of(have.slices["receive"])[name]
    ways = ways_of(source)
    assert isinstance(source, dict)
    if ways and ways[0]["scheme"] == "link" and target is None:
        return shlex.join([program(), "link", name, "event=example"])
    if not ways or "POST" not in _texts(source.get("methods")):
        return ""
    provider = provider_key(have, name)
    routes: list[Json] = list(routes_from(have.slices["transform"], name))
    if provider and target is None and events_of(provider):
        return _trigger_line(name, provider, types_of(routes))
    return example_line(f"{base}/{name}", ways[0], example_event(source, trial_type(name, routes)), target)


def _trigger_line(name: str, provider: str, types: Sequence[str]) -> str:
    """Return the line for the first sample that a route matches, else for the provider's first sample."""
    taken = [each for each in events_of(provider) if any(fnmatch.fnmatchcase(each, one) for one in types)]
    return shlex.join([program(), "trigger", provider, *taken[:1], "--source", name])


def _providers(have: Configured) -> dict[str, tuple[str, str]]:
    """Return the provider's name and set-up instruction for each source."""
    catalogue = load_catalogue()
    found: dict[str, tuple[str, str]] = {}
    for name in sources_of(have.slices["receive"]):
        key = provider_key(have, name)
        if key in catalogue:
            found[name] = (catalogue[key].name, catalogue[key].setup or "")
    return found


def _texts(value: Json) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
