"""Many seeds of the simulation on all cores, and what they came to. A failed seed is run again by its number."""

import argparse
import contextlib
import io
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.world import Report, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--events", type=int, default=1_000, help="in each (default 1000)")
    options = parser.parse_args()
    began = time.monotonic()
    reports: list[Report] = []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        seeds = range(options.first, options.first + options.seeds)
        for report in pool.map(partial(_quiet, events=options.events), seeds, chunksize=4):
            reports.append(report)
            if not report.is_good:
                print(f"\nseed {report.seed}: lost {report.lost}, doubled {report.doubled}, repeated {report.repeated}")
            if sys.stderr.isatty():
                print(f"\r{len(reports)}/{options.seeds} seeds", end="", file=sys.stderr, flush=True)
    print(summary(reports, time.monotonic() - began))
    return 0 if all(report.is_good for report in reports) else 1


def _quiet(seed: int, events: int) -> Report:
    with contextlib.redirect_stdout(io.StringIO()):
        return simulate(seed, events)


def summary(reports: list[Report], seconds: float) -> str:
    def total(name: str) -> int:
        values = [getattr(report, name) for report in reports]
        return sum(value if isinstance(value, int) else len(value) for value in values)

    return (
        f"{len(reports)} seeds in {seconds:.0f} s: {total('accepted'):,} events accepted, "
        f"{total('strikes'):,} crashes and failures and {total('stalls'):,} stalls; "
        f"{total('effects'):,} effects ({total('in_window'):,} of them in the promised window), "
        f"{total('dead_letters'):,} dead letters; {total('lost')} lost, {total('doubled')} done twice outside it, "
        f"{total('repeated')} repeated too soon or too often"
    )


if __name__ == "__main__":
    sys.exit(main())
