"""`hookchain doctor`: find what would make a start here, or a deployment, fail, and say what to do about each."""

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.cli.command import parser, run_command
from deploy.config.checkout import checked_config
from deploy.config.configured import add_configuration, config_path, configured_at, environ_of
from deploy.config.faults import ConfigFaults
from deploy.doctor.checks import LONGEST_SECONDS, Subject, checkup, gcp_checks, gcp_checks_without_project, local_checks
from deploy.google.gcloud import Answer, Gcloud, configured_project
from deploy.google.target import TargetFault, find_target
from deploy.history.platform_options import add_platform, add_state, is_gcp
from deploy.secrets.dotenv_backend import DotenvBackend
from deploy.terminal.command_error import CommandError
from deploy.terminal.finding import Check, Finding
from deploy.terminal.printing import count_of
from deploy.terminal.progress import PassingLine
from deploy.terminal.tables import DIM, GREEN, RED, YELLOW, Screen, printable, screen_of, width_of
from shared.jsontext import Json

DETAILS: Final = "It changes nothing and takes at most 45 seconds. `?` marks what could not be checked."
_MARKS: Final = {"ok": ("✓", GREEN), "problem": ("✗", RED), "unknown": ("?", YELLOW)}


def main(arguments: list[str]) -> int:
    command = parser(
        "doctor",
        "hookchain doctor --platform gcp --project my-project",
        details=DETAILS,
        exit_codes="0 no problem, 1 a problem, 2 usage error",
    )
    add_configuration(command)
    add_platform(command)
    add_state(command)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    options = command.parse_args(arguments)
    return run_command("doctor", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    checks = _checks(_subject(options))
    line = PassingLine(sys.stderr)
    found = checkup(
        checks,
        lambda done: line.show(f"checking: {done} of {len(checks)} …"),
        LONGEST_SECONDS - (time.monotonic() - began),
    )
    line.clear()
    screen = Screen() if options.json else screen_of(sys.stdout, os.environ)
    print(json.dumps(document(found), indent=2) if options.json else "\n".join(lines(found, screen)))
    return 1 if any(finding.verdict == "problem" for _, finding in found) else 0


def _subject(options: argparse.Namespace) -> Subject:
    environ = environ_of(options)
    try:
        return Subject(options, environ, configured_at(_path(options, environ), environ))
    except ConfigFaults as faults:
        return Subject(options, environ, faults)


def _path(options: argparse.Namespace, environ: Mapping[str, str]) -> Path | None:
    if is_gcp(options):
        return config_path(options, environ)
    chosen = checked_config(options.config, environ, options.state)
    if not options.json:
        print(chosen.line, flush=True)
    return chosen.path


def _checks(subject: Subject) -> list[Check]:
    options, environ = subject.options, subject.environ
    if not is_gcp(options):
        folder = Path(environ.get("SECRETS_DIR") or "/secrets")
        today = datetime.datetime.now(datetime.UTC).date()
        return local_checks(subject, DotenvBackend(options.env_file, os.environ, folder, today))
    try:
        return gcp_checks(subject, find_target(options, environ, lambda: configured_project(_HurriedGcloud())))
    except TargetFault as fault:
        if options.project or options.region or options.prefix:
            raise CommandError(str(fault)) from fault
        return gcp_checks_without_project(subject, str(fault))


def document(found: Sequence[tuple[str, Finding]]) -> Mapping[str, Json]:
    checks: list[Json] = [
        {"check": name, "verdict": finding.verdict, "found": finding.found, "todo": finding.todo}
        for name, finding in found
    ]
    return {"ok": all(finding.verdict != "problem" for _, finding in found), "checks": checks}


def lines(found: Sequence[tuple[str, Finding]], screen: Screen) -> list[str]:
    """Return a line for each check. What to do has a line of its own and is never cut: it is there to be copied."""
    width = max(width_of(name) for name, _ in found)
    shown: list[str] = []
    for name, finding in found:
        mark, colour = _MARKS[finding.verdict]
        shown.append(f"{screen.coloured(mark, colour)} {name.ljust(width)}  {printable(finding.found)}")
        if finding.todo:
            shown.append(f"  {' ' * width}  {screen.coloured('→', colour)} {printable(finding.todo)}")
    return [*shown, "", screen.coloured(summary(found), DIM)]


def summary(found: Sequence[tuple[str, Finding]]) -> str:
    count = {verdict: sum(finding.verdict == verdict for _, finding in found) for verdict in _MARKS}
    return f"{count['ok']} ok, {count_of(count['problem'], 'problem')}, {count['unknown']} not checked"


class _HurriedGcloud:
    """gcloud with a short time limit: every other check waits for the project's name."""

    def run(self, arguments: Sequence[str], stdin: bytes | None = None, timeout_seconds: float = 10.0) -> Answer:
        return Gcloud().run(arguments, stdin, min(timeout_seconds, 10.0))
