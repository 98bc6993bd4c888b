"""`hookchain explain`: what would happen to a request, check by check and why, without sending it anywhere."""

import argparse
import os
import sys
import time
from dataclasses import replace
from typing import Final

from deploy.cli.ending import USAGE, ended
from deploy.cli.main import parser
from deploy.config.checkout import state_folder
from deploy.config.configured import add_configuration, configured
from deploy.explain.case_inputs import without_authentication
from deploy.explain.receive_stage import explain_receive
from deploy.explain.report import Check, Report, report_document, report_text
from deploy.explain.request_options import add_request_options, request_from_options
from deploy.explain.transform_stage import transform_stages
from deploy.terminal.printing import print_json
from deploy.terminal.tables import screen_of
from shared.cloud.local.owners import FILE_NAME, KnownOwners

_GRANTED: Final = {
    "secret": "not asked for (--unsigned)",
    "signature": "taken for granted, and with it all that proves the sender (--unsigned)",
    "time": "not looked at (--unsigned)",
}
EPILOG: Final = """\
examples:
  hookchain explain --source github --body push.json \\
      -H 'X-GitHub-Event: push' -H 'X-Hub-Signature-256: sha256=0d1a…'
  hookchain explain --source github --body push.json -H 'X-GitHub-Event: push' --unsigned
  hookchain explain --curl "curl -u web:… -d event=signup http://localhost:8080/signup-form"

Nothing is sent: receive itself decides, over the configuration and the secrets that are here (/secrets/<name>, the
environment, .env). Give the body byte for byte as it came; --now is when it came, for signatures that carry a time.
What needs a key from somewhere else (Amazon SNS, PayPal, keys_url) cannot be told offline and ends as not confirmed.

exit code: 0 if it is accepted, 3 if it is not, 4 if it is accepted and nothing is delivered, 2 for a usage error"""


def main(arguments: list[str]) -> int:
    words = parser("explain", EPILOG)
    add_configuration(words)
    add_request_options(words)
    words.add_argument("--unsigned", action="store_true", help="as if its proof held: what routes and steps make of it")
    words.add_argument("--now", metavar="UNIX", type=float, help="when it came, in Unix seconds (default: now)")
    words.add_argument("--json", action="store_true", help="print one JSON object: status, code, checks, events …")
    options = words.parse_args(arguments)
    return ended("explain", lambda: _run(options), ValueError, OSError, faulty=USAGE)


def _run(options: argparse.Namespace) -> int:
    report = explained(options)
    if options.json:
        print_json(report_document(report))
    else:
        print("\n".join(report_text(report, screen_of(sys.stdout, os.environ))))
    return report.exit_code


def explained(options: argparse.Namespace) -> Report:
    """Raises ValueError, OSError, and the faults of a configuration."""
    request = request_from_options(options)
    found = configured(options)
    now = time.time() if options.now is None else options.now
    receive = found.slices["receive"]
    if options.unsigned:
        report = _granted(explain_receive(request, without_authentication(receive), found.environ, now))
    else:
        report = explain_receive(request, receive, found.environ, now)
    seen = KnownOwners(state_folder() / FILE_NAME)
    later = tuple(
        stage for event in report.events for stage in transform_stages(event, found.slices, found.environ, seen)
    )
    return replace(report, stages=(*report.stages, *later))


def _granted(report: Report) -> Report:
    """Receive was told that the source asks for no proof, which it does."""
    stages = [replace(stage, checks=tuple(map(_granted_check, stage.checks))) for stage in report.stages]
    return replace(report, stages=tuple(stages))


def _granted_check(check: Check) -> Check:
    words = _GRANTED.get(check.name)
    return Check(check.name, "skipped", words) if words else check
