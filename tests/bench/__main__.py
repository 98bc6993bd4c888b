"""`make bench`: what Hookchain costs, in one run, beside what the alternatives cost on the same machine."""

import argparse
import compileall
import platform
import shutil
import sys

from tests.bench import bundles, inspector, pipe, proof, receive, steps
from tests.bench.table import Figure, at_least, at_most, table
from tests.processes import ROOT


def receive_figures(seconds: int, starts: int) -> list[Figure]:
    alone = receive.bus_alone(2)
    bare, library, ours = receive.measure(seconds, starts)
    measured = [
        Figure(
            f"{m.name}: requests/s, p50, p99",
            f"{m.load.requests_per_second:,.0f}, {m.load.p50_ms:.2f} ms, {m.load.p99_ms:.2f} ms",
        )
        for m in (bare, library, ours)
    ]
    starts_up = [
        Figure(f"{m.name}: start to first 200, worker", f"{m.start_seconds:.2f} s, {m.worker_mib:.0f} MiB")
        for m in (bare, library, ours)
    ]
    rate = ours.load.requests_per_second
    return [
        Figure("the stand-in bus alone: publishes/s", f"{alone.requests_per_second:,.0f}"),
        *measured,
        *starts_up,
        Figure("receive: answers that were not 200", str(ours.load.refused), "0", ours.load.refused == 0),
        at_least("receive / bare, requests/s", rate / bare.load.requests_per_second, 1.8),
        at_least("receive / google-cloud-pubsub, requests/s", rate / library.load.requests_per_second, 7),
        at_most("receive: p99 at 16 connections", ours.load.p99_ms, 25, " ms"),
        at_most("receive / google-cloud-pubsub, start", ours.start_seconds / library.start_seconds, 0.75),
        at_most("receive: worker's memory", ours.worker_mib, 50, " MiB"),
    ]


def proof_figures(starts: int) -> list[Figure]:
    costs = proof.microseconds()
    return [
        *(Figure(f"{provider}: verify and parse 2 KB, CPU", f"{cost:,.0f} µs") for provider, cost in costs.items()),
        at_most("the dearest of these", max(costs.values()), 150, " µs"),
        at_most("start with the whole catalogue as sources / with one", proof.start_ratio(2 * starts + 1), 1.1),
    ]


def pipe_figures(seconds: int) -> list[Figure]:
    seconds *= 3  # some 20,000 events
    piped, idle = pipe.measure(seconds)
    return [
        Figure("events posted", f"{piped.events:,} in {seconds} s, all mailed after {piped.seconds:.1f} s"),
        Figure("accepted without a mail", str(piped.lost), "0", piped.lost == 0),
        at_least("post to mail, under load", piped.per_second, 800, " events/s"),
        at_most("post to mail, idle, p50", pipe.median(idle), 10, " ms"),
        at_most("CPU of the three functions for an event", piped.cpu_ms, 1.5, " ms"),
    ]


def bundle_figures(starts: int) -> list[Figure]:
    bare, measured = bundles.measure(starts)
    sizes = [
        Figure(
            f"{m.name}: its own files, installed with what it needs",
            f"{m.own_kib:,.0f} KiB, {m.installed_mib:,.0f} MiB",
        )
        for m in measured
    ]
    receives, *others = measured
    return [
        *sizes,
        Figure("bare: start to first answer", f"{bare:.2f} s"),
        at_most("receive / bare, start to first answer", receives.start_seconds / bare, 1.5),
        *(at_most(f"{m.name}: start to first answer", m.start_seconds, 0.6, " s") for m in others),
        at_most("receive: installed with what it needs", receives.installed_mib, 60, " MiB"),
        at_most("receive: memory of all its processes", receives.memory_mib, 60, " MiB"),
        *(Figure(f"{m.name}: memory of all its processes", f"{m.memory_mib:,.0f} MiB") for m in others),
    ]


def inspector_figures(seconds: int) -> list[Figure]:
    events = 100_000
    return [
        at_least("the pipe with the page open / without", inspector.watched_ratio(seconds), 0.9),
        at_most(f"search among {events:,} events, the slowest", inspector.search_milliseconds(events), 200, " ms"),
    ]


def step_figures(starts: int) -> list[Figure]:
    return [
        at_most("ten ordinary steps on an event of 2 KB, CPU", steps.step_milliseconds(), 0.5, " ms"),
        at_most("transform: start to first answer, everything configured", steps.start_seconds(starts), 0.45, " s"),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of load for each function (default 5)")
    parser.add_argument("--starts", type=int, default=5, help="starts of each function; the median counts (default 5)")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        print(
            "make bench measures with wrk, which is not here: apt-get install wrk, or brew install wrk", file=sys.stderr
        )
        return 1
    for folder in ("functions", "shared", "tests/bench/functions"):  # as they are where they are deployed
        compileall.compile_dir(ROOT / folder, quiet=1)
    print(f"Python {platform.python_version()}, {platform.machine()}; {options.seconds} s of load each\n", flush=True)
    print(table("receive", receive_figures(options.seconds, options.starts)), flush=True)
    print("\n" + table("proofs", proof_figures(options.starts)), flush=True)
    print("\n" + table("the bundles for Google Cloud", bundle_figures(options.starts)), flush=True)
    print("\n" + table("the whole pipe", pipe_figures(options.seconds)), flush=True)
    print("\n" + table("the inspector", inspector_figures(options.seconds)), flush=True)
    print("\n" + table("steps", step_figures(options.starts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
