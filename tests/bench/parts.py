"""Rows that need no server: the probes, which run with each tree's own modules."""

from typing import Final

from shared.jsontext import mapping_at, texts_at
from tests.bench.configurations import configuration, everything, order, small_order
from tests.bench.events import bare_cost
from tests.bench.folders import new_folder
from tests.bench.pipe import bare, stand_in
from tests.bench.run import Run
from tests.bench.stand_in import HOOK_PATH

STORED_DELIVERIES: Final = 100_000


def measure_steps(run: Run) -> None:
    """Measure compiling, the steps, and verifying and parsing."""
    folder = new_folder()
    thousand, everything_file, data = (folder / each for each in ("thousand.yaml", "everything.yaml", "data.json"))
    thousand.write_text(configuration(sources=1_000), encoding="utf-8")
    everything_file.write_text(everything(), encoding="utf-8")
    data.write_bytes(order("order-4711"))
    slices = {tree.name: tree.bundles(everything_file, folder / tree.name.replace("/", "-")) for tree in run.trees}
    for _, tree in run.rounds_of("compiling, steps, signatures", min(run.rounds, 4)):
        slice_file = slices[tree.name] / "transform" / "slice.json"
        probes = {
            "compile-1000": ("compile", str(thousand)),
            "ten-steps": ("steps", str(slice_file), str(data)),
            "verify": ("verify", str(data)),
        }
        for row, (program, *arguments) in probes.items():
            with run.missing_elsewhere(tree):
                run.record(row, tree, float(str(tree.probe(program, *arguments))))


def measure_sending(run: Run) -> None:
    """Send webhooks through the guarded way out, and by requests, to the same receiver."""
    with stand_in(new_folder()) as host:
        for _, tree in run.rounds_of("webhooks sent"):
            with run.missing_elsewhere(tree):
                own, by_requests = map(float, texts_at(tree.probe("send", f"http://{host}{HOOK_PATH}")))
                run.record_figure("send", tree, own / by_requests, own)
            with run.missing_elsewhere(tree):
                row, webhook = map(float, texts_at(tree.probe("sheet")))
                run.record_figure("sheet", tree, row / webhook, row)


def measure_tap(run: Run) -> None:
    """Measure what `develop` adds to a small event while nobody listens, beside a bare request."""
    data = new_folder() / "data.json"
    data.write_bytes(small_order("order-4711"))
    with bare() as reference:
        for _, tree in run.rounds_of("tap"):
            unit = bare_cost(reference)
            with run.missing_elsewhere(tree):
                microseconds = float(str(tree.probe("tap", str(data))))
                run.record_figure("tap", tree, microseconds / (unit.seconds * 1e6), microseconds)


def measure_search(run: Run) -> None:
    """Search a journal of many events, as the page and the commands do."""
    _measure_stored(run, "search", run.stored_events)


def measure_portal(run: Run) -> None:
    """Read what the portal shows first, of a tenant with many deliveries."""
    _measure_stored(run, "portal", STORED_DELIVERIES)


def _measure_stored(run: Run, probe: str, count: int) -> None:
    for tree in run.trees:
        run.say(f"{probe}: store {count:,} of {tree.name}")
        with run.missing_elsewhere(tree):
            found = tree.probe(probe, str(count), str(new_folder()), str(run.rounds))
            for row, milliseconds in mapping_at(found).items():
                for each in texts_at(milliseconds):
                    run.record(row, tree, float(each))
