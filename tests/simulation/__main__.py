"""Many seeds of the simulation on all cores, and what they came to. A failed seed is run again by its number."""

import argparse
import contextlib
import io
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation import neighbours
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
        return run_beside_troubles(range(options.first, options.first + options.seeds))
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
    accepted, strikes = sum(report.accepted for report in reports), sum(report.strikes for report in reports)
    failed = sum(not report.is_good for report in reports)
    print(f"{len(reports)} seeds in {time.monotonic() - began:.0f} s, {failed} of them failed")
    print(f"{accepted:,} events were accepted, among {strikes:,} crashes and failures")
    return 1 if failed else 0


def run_beside_troubles(seeds: range) -> int:
    """Run each seed with the trouble whose turn it is, on both clouds, and print what misses a limit.

    A loss, a repeat and a slow median count for the seed. The 99th percentile is of the quiet events of all seeds that
    have the trouble: of the 240 events of one seed it is the third slowest, which a crash alone can make slow.
    """
    began, failed = time.monotonic(), 0
    delays: dict[str, tuple[list[float], list[float]]] = {}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for reports in pool.map(_beside, seeds):
            for alone, beside in reports:
                title = f"{beside.trouble} on {beside.cloud}"
                alone_delays, beside_delays = delays.setdefault(title, ([], []))
                alone_delays += alone.delays
                beside_delays += beside.delays
                wrong = [*neighbours.losses(beside), *neighbours.slow_median(alone, beside)]
                failed += bool(wrong)
                for each in [*wrong, *neighbours.slow_tail(alone, beside)]:
                    print(f"{title}: seed {beside.seed}: {each}", flush=True)
    for title, (alone_delays, beside_delays) in sorted(delays.items()):
        p99_alone, p99_beside = neighbours.percentile(alone_delays, 99), neighbours.percentile(beside_delays, 99)
        failed += p99_beside > p99_alone + 1
        print(f"{title}: p99 of {len(beside_delays)} quiet events {p99_beside:.2f} s, alone {p99_alone:.2f} s")
    print(f"{len(seeds)} seeds on two clouds in {time.monotonic() - began:.0f} s; {failed} miss a limit")
    return 1 if failed else 0


def _beside(seed: int) -> list[tuple[neighbours.Report, neighbours.Report]]:
    """Return for each cloud the reports of the quiet sender alone and beside the trouble whose turn it is."""
    trouble = list(neighbours.TROUBLES)[seed % len(neighbours.TROUBLES)]
    clouds: tuple[neighbours.Cloud, ...] = ("gcp", "aws")
    with contextlib.redirect_stdout(io.StringIO()):
        return [neighbours.simulate_neighbours(seed, cloud, trouble) for cloud in clouds]


def _quiet(seed: int, events: int) -> Report:
    with contextlib.redirect_stdout(io.StringIO()):
        return simulate(seed, events)


if __name__ == "__main__":
    sys.exit(main())
