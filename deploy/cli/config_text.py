"""Lint or test a configuration text that nobody has verified, because an assistant may have written it.

It is checked in a process of its own, which has no secrets, can write no file, and ends after MAX_SECONDS. Of what it
prints, at most MAX_OUTPUT_BYTES are read. The process is this module, run with `python -m`: see `main`.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.cli import lint, test
from deploy.cli.fenced_folder import FencedFolder, NotAllowed
from deploy.config import checkout, compiler, config_file, warnings
from deploy.config.sections.own_files import KINDS_SECTION, STEPS_SECTION
from deploy.explain.config_tests import run_config_tests
from deploy.explain.event_types import event_type_findings
from deploy.terminal.command_line import CommandError
from deploy.terminal.output import print_json
from shared.jsontext import JsonObject, mapping_at

MAX_SECONDS: Final = 60
MAX_MEMORY_BYTES: Final = 2 * 1024**3
LIMITS: Final = {resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CPU: MAX_SECONDS, resource.RLIMIT_AS: MAX_MEMORY_BYTES}
"""The limits of the process: bytes of a file that it writes, seconds of computing, and bytes of memory."""
MAX_OUTPUT_BYTES: Final = 1_000_000
"""The size of what the process may print: larger than any result, whose limit is in shared/mcp.py."""
MAX_ENTRIES: Final = 200
"""The faults, warnings or tests that are returned."""
NAME: Final = "the text"
"""The name of the configuration in messages."""
NOTHING: Final = Path(os.devnull)


def check_text(
    action: str, text: str, folder: Path, excluded: Sequence[Path], environ: Mapping[str, str]
) -> JsonObject:
    """Return what `hookchain lint --json` or `test --json` prints of the text, without its own Python files.

    Names of files in it are relative to `folder`. Raises CommandError.
    """
    line = [sys.executable, "-m", __spec__.name, action, *(str(each.absolute()) for each in (folder, *excluded))]
    kept = {name: environ[name] for name in ("EMAIL_FROM", "PATH") if name in environ}
    alone = {**kept, "SECRETS_DIR": os.devnull, "HOOKCHAIN_ENV_FILE": os.devnull, "PYTHONPATH": str(checkout.ROOT)}
    document = mapping_at(json.loads(_output(line, text, alone)))
    if isinstance(rule := document.get("not_allowed"), str):
        raise CommandError(f"{rule}. Nothing was checked.")
    return document


def _output(line: Sequence[str], text: str, environ: Mapping[str, str]) -> bytes:
    """Run the process with the text as its input, and return what it prints. Raises CommandError."""
    began_at = time.monotonic()
    with tempfile.TemporaryFile() as source:
        source.write(text.encode("utf-8", "replace"))
        source.seek(0)
        process = subprocess.Popen(
            line, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ, cwd=checkout.ROOT
        )
    assert process.stdout is not None
    stop = threading.Timer(MAX_SECONDS, process.kill)
    stop.start()
    with process:
        try:
            output = process.stdout.read(MAX_OUTPUT_BYTES + 1)
            if len(output) > MAX_OUTPUT_BYTES:
                process.kill()
            process.wait()
        finally:
            stop.cancel()
    if len(output) > MAX_OUTPUT_BYTES:
        raise CommandError(f"the result has more than {MAX_OUTPUT_BYTES:,} bytes. Use a smaller text")
    if process.returncode and time.monotonic() - began_at >= MAX_SECONDS:
        raise CommandError(f"the check took longer than {MAX_SECONDS} seconds")
    if process.returncode:
        raise CommandError("the text cannot be checked: it takes too much memory, or uncovers a fault of Hookchain")
    return output


def _lint(file: config_file.ConfigFile) -> JsonObject:
    try:
        slices = compiler.compile_config(file)
    except config_file.ConfigFaults as error:
        return lint.lint_document(error.file, error.faults)
    types = event_type_findings(file, slices)
    if types.faults:
        return lint.lint_document(file.file, types.faults)
    found = lint.all_warnings(file, slices, types, os.environ, NOTHING)
    return lint.lint_document(file.file, (), found, warnings.configuration_notes(file))


def _test(file: config_file.ConfigFile) -> JsonObject:
    try:
        slices = compiler.compile_config(file)
    except config_file.ConfigFaults as error:
        return test.faults_document(error)
    return test.results_document(run_config_tests(file.document, slices, file.folder))


ACTIONS: Final[Mapping[str, Callable[[config_file.ConfigFile], JsonObject]]] = {"lint": _lint, "test": _test}


def checked(action: str, text: str, folder: Path, excluded: Sequence[Path] = ()) -> JsonObject:
    """Return the document of the action for the text. Raises NotAllowed for a file that may not be read."""
    try:
        file = config_file.parse_config(text, NAME, FencedFolder.around(folder, excluded))
    except config_file.ConfigFaults as error:
        return test.faults_document(error) if action == "test" else lint.lint_document(error.file, error.faults)
    for section in (STEPS_SECTION, KINDS_SECTION):
        if file.value(section) is not None:
            raise NotAllowed(f"`{section}` is not allowed: a text can name no Python files")
    return ACTIONS[action](file)


def main(action: str, folder: str, *excluded: str) -> None:
    for limit, most in LIMITS.items():
        with contextlib.suppress(ValueError, OSError):  # macOS does not have each limit
            resource.setrlimit(limit, (most, most))
    try:
        document = checked(action, sys.stdin.read(), Path(folder), [Path(each) for each in excluded])
    except NotAllowed as rule:
        document = {"not_allowed": str(rule)}
    print_json(_shortened(document))


def _shortened(document: JsonObject) -> JsonObject:
    """Return the document with at most MAX_ENTRIES in each list, and with how many are left out."""
    short: JsonObject = {
        name: value[:MAX_ENTRIES] if isinstance(value, list) else value for name, value in document.items()
    }
    left_out = sum(
        len(value) - MAX_ENTRIES for value in document.values() if isinstance(value, list) and len(value) > MAX_ENTRIES
    )
    return {**short, "left_out": left_out} if left_out else short


if __name__ == "__main__":
    main(*sys.argv[1:])
