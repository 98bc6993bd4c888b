"""`hookchain step`: any step, or a named chain, on what standard input holds."""

import argparse
import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import Final

from deploy.cli.ending import DONE, FAULTS, NOT_DONE, USAGE, tell
from deploy.cli.main import parser
from deploy.config.configured import add_configuration, configured, environ_of
from deploy.explain.offline import local_services
from deploy.explain.steps import StepsFault, chain_from_text
from functions.transform.chain import Chain
from functions.transform.read_routes import read_program
from functions.transform.run_chain import document_of, event_of, run_alone
from functions.transform.walk import Course
from shared.errors import HookchainError, Rejected
from shared.event import Event, from_cloudevent, to_cloudevent
from shared.formats.parse import parse_as
from shared.jsontext import Json

FORMATS: Final = ("json", "ndjson", "xml", "yaml", "form", "multipart", "plist", "csv", "text", "bytes")
STOPPED: Final = 3
_CHAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_NOWHERE: Final = re.compile(r"^route '[^']*': ")

EPILOG: Final = """\
examples:
  hookchain step 'convert: {to: plist}' < in.json > out.plist
  hookchain step 'convert: {from: yaml, to: json}' < in.yaml
  hookchain step 'digest: {algorithm: md5, of: body}' < anything
  hookchain step '[{drop: [data.password]}, {convert: {to: yaml}}]' < in.json
  hookchain step clean --config deploy/hookchain.yaml < in.json

`hookchain steps` lists the steps. What comes in is taken for what it looks like, JSON, XML or a property list, else
for text; --as says otherwise. What comes out is the document itself, of several events a list.

exit code: 0 done, 1 a step failed, 2 for a command that makes no sense, 3 a step stopped the event on purpose"""


def main(arguments: list[str]) -> int:
    words = parser("step", EPILOG)
    words.usage = "hookchain step STEP [options] < document"
    words.add_argument("step", metavar="STEP", help="a step as the configuration has it, a list, or a chain's name")
    words.add_argument("--as", dest="format", choices=FORMATS, help="what standard input holds")
    words.add_argument("--event", action="store_true", help="standard input is a whole event, a CloudEvent in JSON")
    words.add_argument("--json", action="store_true", help="print the whole event, not its data alone")
    add_configuration(words)
    options = words.parse_args(arguments)
    try:
        environ = environ_of(options)
        chain = _chain(options)
        if sys.stdin.isatty():
            print("hookchain step: type the document; Ctrl-D ends it", file=sys.stderr)
        content = sys.stdin.buffer.read()
        event = _event(options, content)
        course = asyncio.run(run_alone(chain, event, local_services(environ) if chain.asks else None))
    except (StepsFault, ValueError, *FAULTS) as fault:
        return _told(str(fault), USAGE)
    except HookchainError as error:
        return _told(error.detail, NOT_DONE)
    if course.faults and options.format is None and isinstance(event.data, str) and _is_json(content):
        _told("standard input was taken for text; `--as json` takes it for JSON", DONE)
    return _done(course, options.json)


def _is_json(content: bytes) -> bool:
    try:
        parse_as("json", content, None)
    except Rejected:
        return False
    return True


def _chain(options: argparse.Namespace) -> Chain:
    """A configuration is read where one is named, or where the steps alone lead nowhere: to a chain of its, or a step.

    Files are relative to it, else to here.
    """
    if options.config not in (None, "none"):
        return _of_configuration(options)
    try:
        return chain_from_text(options.step, {}, {}, Path())
    except StepsFault:
        if options.config == "none":
            raise
        try:
            return _of_configuration(options)
        except FAULTS:
            if _CHAIN_NAME.fullmatch(options.step):
                raise
        raise


def _of_configuration(options: argparse.Namespace) -> Chain:
    found = configured(options)
    program = read_program(found.slices["transform"])
    return chain_from_text(options.step, program.chains, program.own, found.path.parent if found.path else Path())


def _event(options: argparse.Namespace, content: bytes) -> Event:
    """Raises ValueError and HookchainError."""
    if not options.event:
        event = event_of(content, None, options.format, "standard-input", time.time())
        if options.format is None and isinstance(event.data, str) and event.data.lstrip().startswith(("{", "[")):
            _tell_of_text(content)
        return event
    document: Json = json.loads(content)
    return from_cloudevent(document)


def _tell_of_text(content: bytes) -> None:
    """What was cut off on its way is otherwise a text that most steps take."""
    try:
        parse_as("json", content, None)
    except Rejected as error:
        _told(f"taken for text, as it is {error.detail}; `--as text` says so, `--as json` refuses it", DONE)


def _done(course: Course, whole: bool) -> int:
    for note in course.noted:
        _told(note, DONE)
    if course.faults:
        return _told(course.faults[0].detail, NOT_DONE)
    if not course.arrived:
        return _told("; ".join(course.stopped), STOPPED)
    if whole:
        for event in course.arrived:
            print(json.dumps(to_cloudevent(event), indent=2, ensure_ascii=False))
        return DONE
    content = document_of(course.arrived).content
    sys.stdout.buffer.write(content)
    if sys.stdout.isatty() and not content.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    return DONE


def _told(text: str, code: int) -> int:
    tell("step", _NOWHERE.sub("", text))
    return code
