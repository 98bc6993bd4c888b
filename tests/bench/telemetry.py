"""What exporting spans and metrics costs, and what arrives at a collector that is far away or dead."""

from typing import TYPE_CHECKING, Final

from shared.jsontext import JsonObject, mapping_at
from tests.bench.events import BARE_REQUEST, BARE_REQUESTS
from tests.bench.pipe import bare, cost
from tests.bench.run import Run
from tests.bench.tree import Tree
from tests.running.ports import free_port

if TYPE_CHECKING:
    from tests.stand_ins.otlp_receiver import OtlpReceiver

MOST_ROUNDS: Final = 5
STEADY_ROUNDS: Final = 1
"""A run takes 8 s, and its figures hardly vary."""
STEADY_SECONDS: Final = 8.0
SETTLED: Final = 5 / 8
"""The part of a run whose spans have arrived at its end: the last ones wait for the next flush."""
FAR_SECONDS: Final = 0.12


def measure_telemetry(run: Run) -> None:
    # Imported here, because the other groups must not need opentelemetry-proto.
    from tests.stand_ins.otlp_receiver import otlp_receiver

    with bare() as reference, otlp_receiver() as collector:
        for _, tree in run.rounds_of("telemetry", min(run.rounds, MOST_ROUNDS)):
            with run.missing_elsewhere(tree):
                found = mapping_at(tree.probe("telemetry", "costs", collector.url))
                unit = cost(reference, [BARE_REQUEST] * BARE_REQUESTS)
                microseconds = float(str(found["span_us"]))
                run.record_figure("telemetry-span", tree, microseconds / (unit.seconds * 1e6), microseconds)
                run.record("telemetry-flush", tree, float(str(found["flush_ms"])))
                run.record("telemetry-import", tree, float(str(tree.probe("telemetry_start"))))
    for _, tree in run.rounds_of("telemetry under load", STEADY_ROUNDS):
        with run.missing_elsewhere(tree), otlp_receiver() as collector:
            _measure_far(run, tree, collector)
        with run.missing_elsewhere(tree), otlp_receiver() as collector:
            collector.is_mute = True
            mute = _steady(tree, collector.url)
            refused = _steady(tree, f"http://127.0.0.1:{free_port()}")
            run.record("telemetry-dead", tree, max(float(str(each["longest_ms"])) for each in (mute, refused)))
            run.record("telemetry-warnings", tree, float(str(refused["warnings"])))


def _measure_far(run: Run, tree: Tree, collector: "OtlpReceiver") -> None:
    collector.delay_seconds = FAR_SECONDS
    found = _steady(tree, collector.url)
    settled = {f"{number:032x}" for number in range(int(int(str(found["events"])) * SETTLED))}
    arrived = {str(span.attributes["cloudevents.event_id"]) for span in collector.spans()}
    assert collector.faults == []
    run.record("telemetry-far", tree, 100 * len(settled & arrived) / len(settled))
    run.record("telemetry-flushes", tree, (len(collector.requests) - 1) / STEADY_SECONDS)


def _steady(tree: Tree, url: str) -> JsonObject:
    return mapping_at(tree.probe("telemetry", "steady", url))
