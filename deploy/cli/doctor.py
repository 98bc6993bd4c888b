"""`hookchain doctor`: find what would make a start here, or a deployment, fail, and say what to do about each.

The checks run side by side within a time limit, so that one that hangs or fails does not hide what others found.
"""

import argparse
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.cli.command import parser, run_command
from deploy.cloud_access import aws, gcp
from deploy.config import checkout, config_file, configured
from deploy.doctor.checks import Subject
from deploy.platforms.choice import add_platform, add_state, chosen_kind, is_local, same_platform
from deploy.terminal import command_line, output, progress
from deploy.terminal.finding import Check, Finding, unknown
from shared import errors
from shared.jsontext import Json, JsonObject

ACCESS: Final = frozenset({"credentials", "project", "signed in"})
"""The checks that ask whether a cloud answers. Where one has no result, nothing in the cloud could be checked."""
LONGEST_SECONDS: Final = 45.0
"""gcloud may take 30 s for a token on a small machine; the requests that use it come after that."""
PROGRESS_SECONDS: Final = 0.5
_MARKS: Final = {"ok": ("✓", output.GREEN), "problem": ("✗", output.RED), "unknown": ("?", output.YELLOW)}


def main(arguments: list[str]) -> int:
    command = parser("doctor")
    configured.add_configuration(command)
    add_platform(command)
    add_state(command)
    command.add_argument("--json", action="store_true", help="print one JSON document")
    options = command.parse_args(arguments)
    return run_command("doctor", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    """Print the finding of each check. Return 1 if there is a problem. All checks together take LONGEST_SECONDS."""
    began = time.monotonic()
    checks = chosen_kind(options).doctor_checks(_subject(options))
    line = progress.PassingLine(sys.stderr)
    findings = checkup(
        checks,
        lambda done: line.show(f"checking: {done} of {len(checks)} …"),
        LONGEST_SECONDS - (time.monotonic() - began),
    )
    line.clear()
    if options.json:
        output.print_json(document(findings))
    else:
        print("\n".join(lines(findings, output.stdout_screen())))
    return 0 if is_well(findings) else 1


def checkup(
    checks: Sequence[Check], show_progress: Callable[[int], None], longest_seconds: float
) -> list[tuple[str, Finding]]:
    """Return the findings in the order of `checks`. `show_progress` gets the number that are done, twice a second."""
    done: queue.SimpleQueue[tuple[str, Finding]] = queue.SimpleQueue()

    def run(check: Check) -> None:
        done.put((check.name, _finding_of(check)))

    for check in checks:
        # A daemon: what hangs in a system call must not keep the command from ending.
        threading.Thread(target=run, args=(check,), daemon=True).start()
    deadline = time.monotonic() + longest_seconds
    found: dict[str, Finding] = {}
    while len(found) < len(checks) and (left := deadline - time.monotonic()) > 0:
        try:
            name, finding = done.get(timeout=min(PROGRESS_SECONDS, left))
            found[name] = finding
        except queue.Empty:
            show_progress(len(found))
    late = unknown(f"no answer within {longest_seconds:.0f} s", "try again; or check your connection")
    return [(check.name, found.get(check.name, late)) for check in checks]


def _finding_of(check: Check) -> Finding:
    """Run the check. An error means that its result is unknown."""
    try:
        return check.run()
    except (gcp.NotSignedIn, gcp.GcloudMissing):
        return unknown("needs gcloud, signed in")
    except aws.NoCredentials:
        return unknown("needs AWS credentials")
    except (gcp.ApiError, command_line.CommandError) as fault:
        return unknown(str(fault).split("\n")[0])
    except errors.Temporary as fault:  # a store that cannot be read now
        return unknown(fault.detail)
    except Exception as error:  # one check's own fault must not hide what the others found
        return unknown(f"the check failed: {errors.place_of(error)}", "please report it")


def is_well(findings: Sequence[tuple[str, Finding]]) -> bool:
    """Return whether there is no problem, and a cloud could be asked at all."""
    return not any(
        each.verdict == "problem" or (each.verdict == "unknown" and name in ACCESS) for name, each in findings
    )


def _subject(options: argparse.Namespace) -> Subject:
    environ = configured.environ_of(options)
    where = same_platform(options)
    try:
        return Subject(options, environ, configured.configured_at(_path(options, environ), environ), where)
    except config_file.ConfigFaults as faults:
        return Subject(options, environ, faults, where)


def _path(options: argparse.Namespace, environ: Mapping[str, str]) -> Path | None:
    """Return the configuration's file; None without one. On this machine, print which one it is."""
    if not is_local(options):
        return configured.config_path(options, environ)
    chosen = checkout.config_to_check(options.config, environ, options.state)
    if not options.json:
        print(chosen.line, flush=True)
    return chosen.path


def document(findings: Sequence[tuple[str, Finding]]) -> JsonObject:
    checks: list[Json] = [
        {"check": name, "verdict": finding.verdict, "found": finding.found, "todo": finding.todo}
        for name, finding in findings
    ]
    return {"ok": is_well(findings), "checks": checks}


def lines(findings: Sequence[tuple[str, Finding]], screen: output.Screen) -> list[str]:
    """Return a line for each check. The advice has a line of its own, which is never cut, so that it can be copied."""
    width = max(output.width_of(name) for name, _ in findings)
    shown: list[str] = []
    for name, finding in findings:
        mark, colour = _MARKS[finding.verdict]
        shown.append(f"{screen.coloured(mark, colour)} {name.ljust(width)}  {output.printable(finding.found)}")
        if finding.todo:
            shown.append(f"  {' ' * width}  {screen.coloured('→', colour)} {output.printable(finding.todo)}")
    return [*shown, "", screen.coloured(summary(findings), output.DIM)]


def summary(findings: Sequence[tuple[str, Finding]]) -> str:
    """Return the number of checks by verdict."""
    count = {verdict: sum(finding.verdict == verdict for _, finding in findings) for verdict in _MARKS}
    why = "" if is_well(findings) or count["problem"] else ": the cloud could not be asked"
    return f"{count['ok']} ok, {output.count_of(count['problem'], 'problem')}, {count['unknown']} not checked{why}"
