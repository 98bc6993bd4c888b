"""`hookchain step`: run the document on standard input through a step or a named chain."""

import argparse
import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import Final

from deploy.cli.command import DONE, NOT_DONE, USAGE, parser, report
from deploy.config.config_file import ConfigFaults, parse_config
from deploy.config.configured import add_configuration, configured, environ_of
from deploy.config.sections import route
from deploy.explain.offline import fault_text, local_services
from deploy.terminal.command_line import CommandError
from functions.transform import answer_chain, program, step_classes
from functions.transform.chain import Chain, ChainResult, NamedChains
from shared import errors, jsontext
from shared.did_you_mean import did_you_mean
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.formats.parse import parse_as

FORMATS: Final = ("json", "ndjson", "xml", "yaml", "form", "multipart", "plist", "csv", "text", "bytes")
STOPPED: Final = 3
"""The exit code if a step ended the event on purpose."""
_CHAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_NOWHERE: Final = re.compile(r"^route '[^']*': ")
"""The beginning of a message of the chain. A step that is tried here belongs to no route."""


class StepsFault(ValueError):
    """A text is not a valid chain of steps. The message has a line for each fault."""


def main(arguments: list[str]) -> int:
    command = parser("step")
    command.usage = "hookchain step STEP [options] < document"
    command.add_argument("step", metavar="STEP", help="set a step in YAML, a list of steps, or a chain's name")
    command.add_argument("--as", dest="format", choices=FORMATS, help="set the format of standard input")
    command.add_argument("--event", action="store_true", help="read a whole event, a CloudEvent in JSON")
    command.add_argument("--json", action="store_true", help="print the whole event, not only its data")
    add_configuration(command)
    command.reject_ignored(arguments, {"--event": ("--as",)})
    options = command.parse_args(arguments)
    try:
        environ = environ_of(options)
        chain = _chain(options)
        if sys.stdin.isatty():
            print("hookchain step: type the document, then press Ctrl-D", file=sys.stderr)
        content = sys.stdin.buffer.read()
        event = _event(options, content)
        result = asyncio.run(chain.run(event, local_services(environ) if chain.asks else None))
    except (StepsFault, ValueError, ConfigFaults, CommandError) as fault:
        return _report(str(fault), USAGE)
    except errors.HookchainError as error:
        # shared/secrets.py writes so of a secret that is missing on this machine.
        made = ". `hookchain dev` generates it into .env, if a configuration names it"
        return _report(f"{error.detail}{made if 'does not exist: set' in error.detail else ''}", NOT_DONE)
    is_text = options.format is None and isinstance(event.data, str)
    if result.faults and is_text and not _json_fault(content):
        _report("standard input was read as text; `--as json` reads it as JSON", DONE)
    return _print_result(result, options.json)


def _json_fault(content: bytes) -> str:
    """Return why the content is no JSON; empty if it is JSON."""
    try:
        parse_as("json", content, None)
    except errors.Rejected as error:
        return error.detail
    return ""


def _chain(options: argparse.Namespace) -> Chain:
    """Return the chain to run. A configuration is read if one is named, or if STEP is no step: it may be its chain.

    Files are relative to the configuration, else to the current folder.
    """
    if options.config not in (None, "none"):
        return _chain_of_configuration(options)
    try:
        return chain_from_text(options.step, {}, {}, Path())
    except StepsFault:
        if options.config == "none":
            raise
        try:
            return _chain_of_configuration(options)
        except (ConfigFaults, CommandError):
            if _CHAIN_NAME.fullmatch(options.step):
                raise
        raise


def _chain_of_configuration(options: argparse.Namespace) -> Chain:
    """Return the chain, which may use the named chains and the steps of the configuration. Raises as `_chain`."""
    found = configured(options)
    transform = program.read_program(found.slices["transform"])
    return chain_from_text(options.step, transform.chains, transform.own, found.path.parent if found.path else Path())


def chain_from_text(text: str, chains: NamedChains, own: step_classes.StepClasses, folder: Path) -> Chain:
    """Return the chain of a text: one step, a list of steps, or the name of a chain of the configuration.

    Names of files are relative to `folder`. Raises StepsFault.
    """
    if text in chains:
        return Chain("", chains[text], chains)
    steps = [_with_files(step, own, folder) for step in _steps_in(text, chains)]
    found, faults = program.read_chain(steps, own)
    faults += program.unknown_chains(found, chains)
    if faults:
        raise StepsFault("\n".join(map(str, faults)))
    return Chain("", tuple(found), chains)


def _steps_in(text: str, chains: NamedChains) -> list[jsontext.Json]:
    """Return the steps as the text has them. Raises StepsFault."""
    if not text.strip():
        raise StepsFault("the step is empty: write `name: settings`")
    try:
        document = parse_config(text, "the step", Path()).document
    except ConfigFaults as fault:
        raise StepsFault(str(fault)) from fault
    if isinstance(document, str):
        hint = did_you_mean(document, chains) if chains else ""
        raise StepsFault(f"there is no chain {document!r}{hint}. Write a step as `name: settings`")
    if isinstance(document, dict):
        return [{name: settings} for name, settings in document.items()]
    return document if isinstance(document, list) else [document]


def _with_files(step: jsontext.Json, own: step_classes.StepClasses, folder: Path) -> jsontext.Json:
    if not isinstance(step, dict):
        return step
    try:
        return {name: route.with_files(settings, name, folder, own) for name, settings in step.items()}
    except route.UnreadableFile as fault:
        raise StepsFault(str(fault)) from fault


def _event(options: argparse.Namespace, content: bytes) -> Event:
    """Return the event for the step. Raises ValueError and HookchainError."""
    if options.event:
        document: jsontext.Json = json.loads(content)
        return from_cloudevent(document)
    event = answer_chain.event_from(content, None, options.format, "standard-input", time.time())
    is_like_json = isinstance(event.data, str) and event.data.lstrip().startswith(("{", "["))
    if options.format is None and is_like_json and (fault := _json_fault(content)):
        # Truncated JSON: most steps would accept it as text.
        _report(f"read as text, because it is {fault}. Use `--as text` to accept that, `--as json` to reject it", DONE)
    return event


def _print_result(result: ChainResult, whole: bool) -> int:
    for note in result.notes:
        _report(note, DONE)
    if result.faults:
        return _report(fault_text(result.faults[0]), NOT_DONE)
    if not result.events:
        return _report("; ".join(result.stops), STOPPED)
    if whole:
        for event in result.events:
            print(json.dumps(to_cloudevent(event), indent=2, ensure_ascii=False))
        return DONE
    content = answer_chain.document_from(result.events).content
    sys.stdout.buffer.write(content)
    if sys.stdout.isatty() and not content.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    return DONE


def _report(text: str, code: int) -> int:
    """Print the text to standard error, and return the exit code."""
    report("step", _NOWHERE.sub("", text))
    return code
