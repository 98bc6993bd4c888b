"""`hookchain logs`: what the functions said, one readable line a record; and as it goes on, with --follow."""

import argparse
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

from deploy.cli.ending import DONE, ended
from deploy.cli.kept_command import add_limit
from deploy.cli.main import parser
from deploy.config.compiler import FUNCTIONS
from deploy.config.configured import add_configuration, environ_of
from deploy.google.gcloud import Gcloud
from deploy.history.gcp_log import PAGE, LogQuery, cloud_records
from deploy.history.local_log import local_records
from deploy.history.log_records import Record, clock
from deploy.history.platform_options import add_platform, add_state, is_gcp, target_of
from deploy.terminal.log_view import LogView
from deploy.terminal.tables import screen_of
from deploy.terminal.when import moment
from shared.logs import SEVERITIES

DEFAULT_LIMIT: Final = 200
DEFAULT_SINCE: Final = "1h"
EPILOG: Final = """\
examples:
  hookchain logs --follow
  hookchain logs --severity warning --since 2d
  hookchain logs --platform gcp --function notify --follow

Times are UTC. Ctrl-C ends --follow.

exit code: 0 done, 1 where it cannot be read, 2 for a command that makes no sense"""


def main(arguments: list[str]) -> int:
    words = parser("logs", EPILOG)
    words.add_argument("--follow", "-f", action="store_true", help="go on with what comes")
    words.add_argument("--function", choices=FUNCTIONS, action="append", help="of this function alone (several times)")
    words.add_argument("--severity", type=str.upper, choices=SEVERITIES, help="at least so severe")
    words.add_argument(
        "--since", metavar="TIME", type=_time, default=DEFAULT_SINCE, help="`1h` or `2d` ago, or RFC 3339 (1h)"
    )
    words.add_argument("--event", metavar="ID", help="of this event alone")
    add_limit(words, DEFAULT_LIMIT)
    add_configuration(words)
    add_platform(words)
    add_state(words)
    words.add_argument("--json", action="store_true", help="print each record as one line of JSON")
    options = words.parse_args(arguments)
    return ended("logs", lambda: _run(options))


def _time(text: str) -> float:
    try:
        return moment(text, time.time())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _run(options: argparse.Namespace) -> int:
    screen = screen_of(sys.stdout, os.environ)
    view = LogView("DEBUG" if options.severity == "DEBUG" else "INFO", screen.colours)
    count = 0
    for record in _chosen(options):
        text = _json_line(record) if options.json else record.text(view)
        if text:
            count += 1
            print(text, flush=options.follow)
    if not count:
        print("nothing was logged that is like that", file=sys.stderr)
    return DONE


def _chosen(options: argparse.Namespace) -> Iterator[Record]:
    """The newest `--limit` of what was there; then, followed, each as it comes."""
    waiting: deque[Record] | None = deque(maxlen=options.limit)
    for record in _records(options):
        if record is None:
            yield from waiting or ()
            waiting = None
        elif not _is_wanted(record, options):
            continue
        elif waiting is None:
            yield record
        else:
            waiting.append(record)
    yield from waiting or ()


def _records(options: argparse.Namespace) -> Iterator[Record | None]:
    if not is_gcp(options):
        return local_records(options.state, options.since, options.follow)
    target = target_of(options, environ_of(options))
    wanted = LogQuery(options.function or FUNCTIONS, options.severity, options.event)
    # Some of what is read says nothing for a person; followed, more than was asked for would be read again.
    limit = options.limit if options.follow else max(PAGE, options.limit)
    return cloud_records(Gcloud(target.project), target, wanted, options.since, limit, options.follow)


def _is_wanted(record: Record, options: argparse.Namespace) -> bool:
    if options.function and record.process not in options.function:
        return False
    if options.event and not str(record.document.get("event_id", "")).startswith(options.event):
        return False
    return options.severity is None or record.is_at_least(options.severity)


def _json_line(record: Record) -> str:
    fields = {"time": clock(record.at), "process": record.process, "severity": record.severity}
    return json.dumps({**record.document, **fields})
