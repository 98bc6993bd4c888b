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
                print(f"\nseed {report.seed}: {report.verdict}; repeated {report.repeated}; torn {report.torn}")
            if sys.stderr.isatty():
                print(f"\r{len(reports)}/{options.seeds} seeds", end="", file=sys.stderr, flush=True)
    print(summary(reports, time.monotonic() - began))
    return 0 if all(report.is_good for report in reports) else 1


def _quiet(seed: int, events: int) -> Report:
    with contextlib.redirect_stdout(io.StringIO()):
        return simulate(seed, events)


def summary(reports: list[Report], seconds: float) -> str:
    verdicts = [report.verdict for report in reports]
    return (
        f"{len(reports)} seeds in {seconds:.0f} s: {sum(report.accepted for report in reports):,} events accepted, "
        f"{sum(report.strikes for report in reports):,} crashes and failures and "
        f"{sum(report.stalls for report in reports):,} stalls; "
        f"{sum(verdict.arrivals for verdict in verdicts):,} deliveries arrived "
        f"({sum(verdict.explained for verdict in verdicts):,} extra and explained), "
        f"{sum(report.dead_letters for report in reports):,} dead letters; "
        f"{sum(len(verdict.lost) for verdict in verdicts)} lost, "
        f"{sum(sum(verdict.unexplained.values()) for verdict in verdicts)} extra and not explained, "
        f"{sum(len(report.repeated) for report in reports)} repeated too soon or too often; "
        f"{sum(report.merged for report in reports):,} deliveries made of others, "
        f"{sum(len(report.torn) for report in reports)} wrong in contents or count"
    )


if __name__ == "__main__":
    sys.exit(main())
