"""`hookchain logs`: print the functions' logs, one readable line a record, and follow them."""

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterator
from typing import Final

from deploy.cli.command import DONE, add_limit, add_since, parser, run_command
from deploy.config.configured import add_env_file, environ_of
from deploy.history.logs import ALL_FUNCTIONS, PAGE, LogQuery, Record, log_time
from deploy.platforms.choice import add_platform, add_state, open_platform
from deploy.terminal import log_view, output
from shared.logs import SEVERITIES

DEFAULT_LIMIT: Final = 200
DEFAULT_SINCE: Final = "1h"


def main(arguments: list[str]) -> int:
    command = parser("logs")
    command.add_argument("--follow", "-f", action="store_true", help="keep printing new records")
    command.add_argument(
        "--function", choices=ALL_FUNCTIONS, action="append", help="print this function only (repeatable)"
    )
    command.add_argument("--severity", type=str.upper, choices=SEVERITIES, help="print this severity and above")
    add_since(command, DEFAULT_SINCE)
    command.add_argument("--event", metavar="ID", help="print this event only")
    add_limit(command, DEFAULT_LIMIT)
    add_env_file(command)
    add_platform(command)
    add_state(command)
    command.add_argument("--json", action="store_true", help="print each record as one line of JSON")
    options = command.parse_args(arguments)
    return run_command("logs", lambda: _run(options))


def _run(options: argparse.Namespace) -> int:
    screen = output.stdout_screen()
    view = log_view.LogView("DEBUG" if options.severity == "DEBUG" else "INFO", screen.colours)
    count = 0
    for record in _chosen_records(options):
        text = _json_line(record) if options.json else record.text(view)
        if text:
            count += 1
            print(text, flush=options.follow)
    if not count:
        print("no log record matches", file=sys.stderr)
    return DONE


def _chosen_records(options: argparse.Namespace) -> Iterator[Record]:
    """Yield the newest `--limit` records, and with --follow each new one."""
    newest: deque[Record] = deque(maxlen=options.limit)
    records = _records(options)
    for record in records:
        if record is None:
            break
        if _is_wanted(record, options):
            newest.append(record)
    yield from newest
    for record in records:
        if record is not None and _is_wanted(record, options):
            yield record


def _records(options: argparse.Namespace) -> Iterator[Record | None]:
    """Return the records, oldest first. With --follow, the first None separates existing records from new records."""
    platform = open_platform(options, environ_of(options))
    wanted = LogQuery(options.function or ALL_FUNCTIONS, options.severity, options.event)
    # `_is_wanted` drops some records, so more than the limit are read. A followed log would then read them all again.
    limit = options.limit if options.follow else max(PAGE, options.limit)
    return platform.records(wanted, options.since, limit, options.follow)


def _is_wanted(record: Record, options: argparse.Namespace) -> bool:
    """Return whether the options choose the record. The platform may have filtered only by some of them."""
    if options.function and record.process not in options.function:
        return False
    if options.event and not str(record.document.get("event_id", "")).startswith(options.event):
        return False
    return options.severity is None or record.is_at_least(options.severity)


def _json_line(record: Record) -> str:
    """Return the record with its time, process and severity, which replace fields of these names."""
    fields = {"time": log_time(record.at), "process": record.process, "severity": record.severity}
    return json.dumps({**record.document, **fields})
