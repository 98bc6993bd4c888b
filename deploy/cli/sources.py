"""`hookchain sources`: show each source's URL and what to enter in the sender's settings."""

import argparse
import re
import shlex
import sys
import textwrap
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from deploy.cli.command import DONE, parser, run_command
from deploy.config.configured import LoadedConfig, add_configuration, configured
from deploy.config.local_ports import DEFAULT_BASE, HOST, ports_from
from deploy.config.running_dev import read_aws_environ
from deploy.config.sections.catalogue import load_catalogue
from deploy.config.sections.provider_event_types import known_event_types
from deploy.hooks.kinds import KINDS
from deploy.platforms.choice import add_platform, add_state, open_platform
from deploy.platforms.platform import Platform
from deploy.requests import command_lines, samples, snippet, sources as requests_sources
from deploy.requests.sender_settings import Provider, SenderSettings, sender_settings
from deploy.terminal.command_line import CommandError, UsageError
from deploy.terminal.output import BOLD, DIM, Screen, print_json, printable, stdout_screen
from deploy.topology.buses import bus_sources
from shared import jsontext, secrets
from shared.did_you_mean import did_you_mean
from shared.settings import LOCAL_PROJECT

_WIDTH: Final = 100
"""The characters of a line of a provider's instruction."""


def main(arguments: list[str]) -> int:
    command = parser("sources")
    command.add_argument("name", metavar="NAME", nargs="?", help="show this source only")
    command.add_argument("--snippet", choices=snippet.SNIPPETS, help="print only a complete program that sends to NAME")
    add_configuration(command)
    add_platform(command)
    add_state(command)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    command.reject_ignored(arguments, {"--snippet": ("--json",)})
    options = command.parse_args(arguments)
    if options.snippet and options.name is None:
        command.error("--snippet needs the NAME of a source")
    return run_command("sources", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    """Print the settings of one source or of all, or a program for one. Return DONE. Raises CommandError."""
    configuration = configured(options)
    known = requests_sources.compiled_sources(configuration.slices["receive"])
    if options.name is not None and options.name not in known:
        raise UsageError(f"there is no source {options.name!r}{did_you_mean(options.name, known)}")
    platform = open_platform(options, configuration.environ)
    base = platform.receive_url()
    if options.snippet:
        print(_snippet(configuration, options.name, base, options.snippet), end="")
        return DONE
    listed = [
        each
        for each in sender_settings(configuration.slices, base, _providers(configuration))
        if options.name in (None, each.name)
    ]
    is_aws = platform.traits.is_local and read_aws_environ(options.state) is not None
    examples = {each.name: _example(configuration, each.name, base, platform, is_aws) for each in listed}
    if options.json:
        print_json({"sources": [{**each.document(), "example": examples[each.name]} for each in listed]})
        return DONE
    screen = stdout_screen()
    print("\n\n".join("\n".join(entry_text(each, examples[each.name], screen)) for each in listed))
    if platform.traits.is_local:
        _print_shell_hints([*examples.values()], options.env_file, configuration.environ)
    return DONE


def _print_shell_hints(examples: Sequence[str], env_file: Path, environ: Mapping[str, str]) -> None:
    """Print how a shell gets the variables with secrets that the examples read. Only lines of curl read any."""
    if not any(line.startswith("curl") and "$" in line for line in examples):
        return
    file = command_lines.relative_path(env_file)
    read = shlex.quote(file if "/" in file else f"./{file}")  # `.` alone would look for it on PATH
    print(f"\nTo set $NAME in your shell, read .env:  . {read}")
    for variable, text in environ.items():
        if len(secrets.split_values(text)) > 1 and any(_reads(line, variable) for line in examples):
            first = f'{variable}=$(printf %s "${variable}" | head -n 1)'
            print(f"{variable} is being rotated; a sender uses its first line:  {first}")


def _reads(line: str, variable: str) -> bool:
    """Return whether the shell replaces the variable in the line."""
    return re.search(rf"\${re.escape(variable)}\b", line) is not None


def _snippet(configuration: LoadedConfig, name: str, base: str, language: str) -> str:
    """Return code in the language that sends a signed request to the source. Raises CommandError.

    Prints to standard error what to change in the code's example if the source would reject it.
    """
    settings = requests_sources.compiled_sources(configuration.slices["receive"])[name]
    url = str(settings.get("public_url") or f"{base}/{name}")
    try:
        sender = snippet.find_sender(name, settings, url, configuration.slices["transform"])
    except ValueError as error:
        raise CommandError(str(error)) from error
    if sender.fault:
        print(f"The example breaks the schema of {name!r}, so write one of your own: {sender.fault}", file=sys.stderr)
    return snippet.make_snippet(language, sender)


def entry_text(entry: SenderSettings, example: str, screen: Screen) -> Iterator[str]:
    """Yield the lines about a source. `example` is a command that sends an event; empty if there is none."""
    yield screen.coloured(entry.name, BOLD) + (screen.coloured(f"  {entry.provider}", DIM) if entry.provider else "")
    rows = [("URL", entry.url), ("methods", ", ".join(entry.methods))]
    for number, auth in enumerate(entry.schemes):
        rows += _rows("settings" if number == 0 else "or", auth)
    rows.append(("events", event_types_text(entry)))
    if entry.listing_key:
        listing = f"{command_lines.program()} providers {entry.listing_key}"
        rows.append(("", f"`{listing}` lists the event types of {entry.provider}"))
    rows += _rows("set up", textwrap.wrap(entry.setup, _WIDTH))
    if example:
        rows.append(("try it", example))
    yield from (f"  {title.ljust(8)}  {printable(text)}" for title, text in rows)


def _rows(title: str, lines: Sequence[str]) -> list[tuple[str, str]]:
    """Return a row for each line, of which only the first has the title."""
    return [(title if number == 0 else "", line) for number, line in enumerate(lines)]


def event_types_text(entry: SenderSettings) -> str:
    """Return which event types to select at the provider, with the routes that take them, and which are not known."""
    if not entry.routes:
        return "none: no route matches its events"
    named = f" ({', '.join(entry.routes)})"
    if entry.unknown_events:
        named += f"; no known event type of {entry.provider}: {', '.join(entry.unknown_events)}"
    if entry.unknown_events and not entry.events:
        return f"none{named}"
    return (f"select {', '.join(entry.events)}" if entry.events else "all: a route matches every type") + named


def _example(configuration: LoadedConfig, name: str, base: str, platform: Platform, is_aws: bool) -> str:
    """Return a command that sends an event to the source: the first of these that can.

    1. a message to the bus of a source that has one, on this machine
    2. a link, on this machine
    3. the provider's sample, on this machine
    4. a line of curl or `hookchain send` with an example event

    It is empty if none of them can. If no example can be made, it is a sentence that says why. `is_aws`:
    `make dev PLATFORM=aws` is running.
    """
    source = requests_sources.compiled_sources(configuration.slices["receive"])[name]
    is_local = platform.traits.is_local
    if isinstance(bus := source.get("bus"), dict):
        if is_aws:
            return _queue_line(configuration, name, base)
        return _publishing_line(requests_sources.dev_topic(source), bus, base) if is_local else ""
    schemes = requests_sources.auth_entries(source)
    if not schemes:
        return ""
    if is_local and schemes[0]["scheme"] == "link":
        return shlex.join([command_lines.program(), "link", name, "event=example"])
    if "POST" not in jsontext.list_at(source, "methods"):
        return ""
    if is_local and (line := _trigger_line(configuration, name)):
        return line
    if not command_lines.can_send(schemes[0]):
        return ""
    try:
        event = command_lines.accepted_example(configuration.slices, name)
    except CommandError as error:
        return str(error)
    return command_lines.example_line(f"{base}/{name}", schemes[0], event, platform.secret_command())


def _publishing_line(topic: str, bus: jsontext.JsonObject, receive_url: str) -> str:
    """Return the command that publishes a message to a topic of the emulated Pub/Sub beside this receive."""
    data: jsontext.JsonObject = {"detail-type": "example", "id": "1"} if bus["kind"] == "eventbridge" else {"a": 1}
    attributes: jsontext.JsonObject = {"ce-type": "example"} if bus["kind"] in ("pubsub", "sqs") else {}
    if bus["kind"] == "bucket":
        data = {"size": "12"}
        attributes = {
            "eventType": "OBJECT_FINALIZE",
            "bucketId": bus["bucket"],
            "objectId": f"{bus.get('prefix', '')}a.txt",
        }
    encoded = b64encode(jsontext.to_json(data).encode()).decode()
    message: jsontext.JsonObject = {"data": encoded, "attributes": attributes}
    apis = ports_from(urlsplit(receive_url).port or DEFAULT_BASE).apis
    url = f"http://{HOST}:{apis}/v1/projects/{LOCAL_PROJECT}/topics/{topic}:publish"
    return shlex.join(["curl", "--json", jsontext.to_json({"messages": [message]}), url])


def _queue_line(configuration: LoadedConfig, name: str, base: str) -> str:
    """Return the command that sends a message to the source's queue in the local AWS."""
    # Imported here, because it is seldom needed.
    from deploy.dev.aws.stack import sending_line

    [source] = [each for each in bus_sources(configuration.slices["receive"]) if each.source == name]
    return sending_line(source, ports_from(urlsplit(base).port or DEFAULT_BASE).apis)


def _trigger_line(configuration: LoadedConfig, name: str) -> str:
    """Return the line for the first sample that a route matches, else for the provider's first; empty without one."""
    provider = requests_sources.provider_key(configuration, name)
    sample_names = samples.sample_names(provider) if provider else ()
    if not sample_names:
        return ""
    types = requests_sources.route_types(requests_sources.routes_from(configuration.slices["transform"], name))
    matching = [each for each in sample_names if requests_sources.may_match(types, each)]
    return shlex.join([command_lines.program(), "trigger", provider, *matching[:1], "--source", name])


def _providers(configuration: LoadedConfig) -> dict[str, Provider]:
    """Return the provider of each source that names one. A source with a `type` of its own has other event types."""
    catalogue = load_catalogue()
    found: dict[str, Provider] = {}
    for name in requests_sources.compiled_sources(configuration.slices["receive"]):
        key = requests_sources.provider_key(configuration, name)
        has_own_type = jsontext.value_at(configuration.document, "sources", name, "type") is not None
        event_types = None if has_own_type else known_event_types().get(key)
        if key in catalogue:
            setup = catalogue[key].setup or ""
            if key in KINDS:
                apply = f"{command_lines.program()} hooks apply {name}"
                setup += f" Or let `{apply}` register it: deploy/docs/hooks.md"
            found[name] = Provider(key, catalogue[key].name, setup, event_types)
    return found
