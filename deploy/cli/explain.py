"""`hookchain explain`: explain offline how a request would be handled, check by check."""

import argparse
import os
import sys
import time
from dataclasses import replace
from typing import Final

from deploy.cli.command import USAGE, parser, run_command
from deploy.config.checkout import state_folder
from deploy.config.configured import add_configuration, configured
from deploy.explain.case_input import without_proof
from deploy.explain.given_request import add_request, request_of
from deploy.explain.receive_stage import explain_receive
from deploy.explain.report import Check, Report, report_document
from deploy.explain.report_text import report_text
from deploy.explain.transform_stage import transform_stages
from deploy.terminal.printing import print_json
from deploy.terminal.tables import screen_of
from shared.cloud.local.owners import FILE_NAME, KnownOwners

_SKIPPED: Final = {
    "secret": "not checked (--unsigned)",
    "signature": "assumed valid, like all authentication (--unsigned)",
    "time": "not checked (--unsigned)",
}
DETAILS: Final = """\
Nothing is sent: receive's own code decides, with the configuration and the secrets of this machine (/secrets/<name>,
the environment, .env). Give the body byte for byte as it arrived. Set --now to the time of arrival for signatures that
carry a time. A request that needs a key from elsewhere (Amazon SNS, PayPal, keys_url) ends as not confirmed."""
EXAMPLES: Final = """\
  hookchain explain --source github --body push.json -H 'X-GitHub-Event: push' --unsigned
  hookchain explain --source github --body push.json \\
      -H 'X-GitHub-Event: push' -H 'X-Hub-Signature-256: sha256=0d1a…'
  hookchain explain --curl "curl -u web:… -d event=signup http://localhost:8080/signup-form\""""


def main(arguments: list[str]) -> int:
    codes = "0 accepted, 3 rejected, 4 accepted but nothing is delivered, 2 usage error"
    command = parser("explain", EXAMPLES, details=DETAILS, exit_codes=codes)
    add_configuration(command)
    add_request(command)
    command.add_argument("--unsigned", action="store_true", help="assume valid authentication and show the rest")
    command.add_argument("--now", metavar="UNIX", type=float, help="set the time of arrival, in Unix seconds [now]")
    command.add_argument("--json", action="store_true", help="print one JSON object: status, code, checks, events …")
    options = command.parse_args(arguments)
    return run_command("explain", lambda: _run(options), ValueError, OSError, error_code=USAGE)


def _run(options: argparse.Namespace) -> int:
    report = explained(options)
    if options.json:
        print_json(report_document(report))
    else:
        print("\n".join(report_text(report, screen_of(sys.stdout, os.environ))))
    return report.exit_code


def explained(options: argparse.Namespace) -> Report:
    """Raises ValueError, OSError, and the faults of a configuration."""
    request = request_of(options)
    found = configured(options)
    now = time.time() if options.now is None else options.now
    receive = found.slices["receive"]
    if options.unsigned:
        report = _mark_skipped(explain_receive(request, without_proof(receive), found.environ, now))
    else:
        report = explain_receive(request, receive, found.environ, now)
    seen = KnownOwners(state_folder() / FILE_NAME)
    later = tuple(
        stage for event in report.events for stage in transform_stages(event, found.slices, found.environ, seen)
    )
    return replace(report, stages=(*report.stages, *later))


def _mark_skipped(report: Report) -> Report:
    """Mark the checks that were skipped: receive ran as if the source had `auth: none`."""
    stages = [replace(stage, checks=tuple(map(_mark_skipped_check, stage.checks))) for stage in report.stages]
    return replace(report, stages=tuple(stages))


def _mark_skipped_check(check: Check) -> Check:
    shown = _SKIPPED.get(check.name)
    return Check(check.name, "skipped", shown) if shown else check
