"""Measure what an event costs, in multiples of a bare asynchronous function of functions-framework.

CPU counts, user and system, of all processes of a function over a counted number of requests: machines differ by two
times, and throughput with them, but such ratios last. Every ratio is made within one round, and its median reported.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tests.bench.durable import measure_durable
from tests.bench.events import measure_events, measure_google, measure_growth, measure_memory, measure_webhooks
from tests.bench.hanging import measure_hanging
from tests.bench.neighbours import measure_neighbours
from tests.bench.on_lambda import measure_lambda
from tests.bench.parts import measure_portal, measure_search, measure_sending, measure_steps, measure_tap
from tests.bench.peers import measure_peers
from tests.bench.report import headline, row_line, table
from tests.bench.rows import ROWS, Group, Row
from tests.bench.run import Run
from tests.bench.senders import measure_senders
from tests.bench.sql import measure_sql
from tests.bench.starts import measure_starts, measure_webhook_start
from tests.bench.subscribers import measure_subscribers
from tests.bench.telemetry import measure_telemetry
from tests.bench.tree import TreeFault, trees

PEERS: Final = "peers"
MEASURES: Final[Mapping[Group, Callable[[Run], None]]] = {
    "events": measure_events,
    "growth": measure_growth,
    "google": measure_google,
    "durable": measure_durable,
    "memory": measure_memory,
    "search": measure_search,
    "portal": measure_portal,
    "starts": measure_starts,
    "webhook-start": measure_webhook_start,
    "lambda": measure_lambda,
    "sending": measure_sending,
    "webhooks": measure_webhooks,
    "hanging": measure_hanging,
    "neighbours": measure_neighbours,
    "subscribers": measure_subscribers,
    "sql": measure_sql,
    "tap": measure_tap,
    "steps": measure_steps,
    "telemetry": measure_telemetry,
}


def parser() -> argparse.ArgumentParser:
    example = "Example: python -m tests.bench --only receive --against main"
    found = argparse.ArgumentParser(
        prog="python -m tests.bench", description=(__doc__ or "").partition("\n")[0], epilog=example
    )
    found.add_argument("--against", metavar="REV", help="measure this commit too, in the same rounds, and compare")
    found.add_argument(
        "--only", metavar="ROW", action="append", help="measure this row or group, or peers, only; repeatable"
    )
    found.add_argument("--rounds", metavar="N", type=_positive, default=9, help="measure N rounds [9]")
    found.add_argument("--events", metavar="N", type=_positive, default=3_000, help="in the memory rows [3000]")
    found.add_argument("--stored", metavar="N", type=_positive, default=1_000_000, help="events to search [1000000]")
    found.add_argument("--list", action="store_true", help="print the rows and their limits, and measure nothing")
    found.add_argument("--peers", action="store_true", help="measure other receivers and senders too, side by side")
    return found


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return number


def chosen_rows(names: Sequence[str] | None) -> list[Row]:
    """Return the rows with these names or of these groups, with those that are measured together; all of them for None.

    Raises ValueError for another name.
    """
    known = {row.name for row in ROWS} | {row.group for row in ROWS} | {PEERS}
    if unknown := sorted(set(names or ()) - known):
        raise ValueError(f"--only: must be a row or a group; got {unknown[0]!r}. --list prints them.")
    if names is None:
        return list(ROWS)
    parts = {row.part for row in ROWS if row.name in names and row.part}
    return [row for row in ROWS if row.name in names or row.group in names or row.part in parts]


def measure(run: Run, rows: Sequence[Row]) -> None:
    """Measure the groups of these rows. A group that fails has no figures, and the others go on."""
    run.parts = frozenset(row.part for row in rows)
    for group in dict.fromkeys(row.group for row in rows):
        try:
            MEASURES[group](run)
        except (TreeFault, RuntimeError, AssertionError, OSError) as error:
            run.faults[group] = f"{type(error).__name__}: {error}"
            run.clear()
            print(f"{group}: {run.faults[group]}", file=sys.stderr)
    run.clear()


def main(arguments: Sequence[str]) -> int:
    command = parser()
    options = command.parse_args(arguments)
    try:
        rows = chosen_rows(options.only)
    except ValueError as error:
        command.error(str(error))
    if options.list:
        print("\n".join(row_line(row) for row in rows))
        return 0
    try:
        with trees(options.against) as measured:
            run = Run(measured, options.rounds, options.events, options.stored)
            measure(run, rows)
            wants_peers = options.peers or PEERS in (options.only or ())
            tables = [measure_peers(run), measure_senders(run)] if wants_peers else []
    except TreeFault as fault:
        print(fault, file=sys.stderr)
        return 2
    print("\n\n".join([headline(run), *([table(rows, run)] if rows else []), *tables]))
    return 1 if run.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
