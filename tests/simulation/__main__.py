"""Many seeds of the simulation on all cores, and what they came to. A failed seed is run again by its number."""

import argparse
import contextlib
import io
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.neighbours import TROUBLES, Cloud, faults, simulate_neighbours
from tests.simulation.world import Report, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--events", type=int, default=1_000, help="in each (default 1000)")
    parser.add_argument(
        "--neighbours", action="store_true", help="let each seed have a trouble beside a quiet sender, on both clouds"
    )
    options = parser.parse_args()
    if options.neighbours:
        return neighbours(range(options.first, options.first + options.seeds))
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


def neighbours(seeds: range) -> int:
    """Run each seed with the trouble whose turn it is. Print the worst delays, and each seed that misses a limit."""
    began, failed = time.monotonic(), 0
    worst: dict[str, float] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(_beside, seeds):
            for title, excess, wrong in found:
                worst[title] = max(excess, worst.get(title, -1.0))
                failed += bool(wrong)
                if wrong:
                    print(f"{title}: {'; '.join(wrong)}", flush=True)
    for title, excess in sorted(worst.items()):
        print(f"{title}: p99 beside the trouble at most {excess:.2f} s beyond p99 alone")
    print(f"{len(seeds)} seeds on two clouds in {time.monotonic() - began:.0f} s; {failed} miss a limit")
    return 1 if failed else 0


def _beside(seed: int) -> list[tuple[str, float, list[str]]]:
    """Return for each cloud the title of the trouble, p99 beyond p99 alone, and what is wrong."""
    trouble = list(TROUBLES)[seed % len(TROUBLES)]
    clouds: tuple[Cloud, ...] = ("gcp", "aws")
    found = []
    for cloud in clouds:
        with contextlib.redirect_stdout(io.StringIO()):
            alone, beside = simulate_neighbours(seed, cloud, trouble)
        wrong = [f"seed {seed}: {each}" for each in faults(alone, beside)]
        found.append((f"{trouble} on {cloud}", beside.rank(99) - alone.rank(99), wrong))
    return found


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
