"""The spans that transform records, and the ids in its log lines."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from functions.transform import entry, tracing
from functions.transform.transform import Transformer
from shared import logs
from shared.errors import Temporary
from shared.event import to_cloudevent
from shared.jsontext import to_json
from shared.ports import DELIVERIES
from shared.push import Push
from shared.telemetry import spans
from shared.telemetry.spans import Span
from tests.fakes.clock import FakeClock
from tests.fakes.pushes import from_anybody
from tests.unit.transform.transform_bench import EVENT, Bench

EVENT_ID: Final = "5d03509d68ce534406a308d4b4ddf7f7"
NOW: Final = 1_772_366_400.0
"""The time at which EVENT was received."""


@dataclass
class TracedBench:
    """A transformer that records its spans."""

    bench: Bench = field(default_factory=Bench)
    clock: FakeClock = field(default_factory=lambda: FakeClock(NOW + 1))
    spans: list[Span] = field(default_factory=list)

    async def take(self, data: bytes, sent: str = "", **attributes: str) -> bool:
        recorder = tracing.TransformSpans(self.spans.append, "gcp_pubsub", "https", self.clock, {"signup-form": 1})
        logs.set_ids(recorder.ids)
        made = self.bench.transformer
        transformer = Transformer(
            made.routes, recorder.recording(made.bus), made.blobs, made.journal, self.clock, spans=recorder
        )
        push = Push(data, attributes, "m1", sent)
        return await entry.take_event(entry.Service(transformer, {}, None, from_anybody), push, 0.0)

    def named(self, name: str) -> list[Span]:
        return [each for each in self.spans if each.name == name]


@pytest.fixture
def bench() -> Iterator[TracedBench]:
    yield TracedBench()
    logs.set_ids(None)


def content(event_id: str = EVENT_ID) -> bytes:
    return to_json(to_cloudevent(replace(EVENT, id=event_id))).encode()


async def test_an_event_s_spans_and_its_lines_are_in_one_trace(
    bench: TracedBench, capsys: pytest.CaptureFixture[str]
) -> None:
    times = spans.received_attribute(NOW, NOW + 0.25, "POST", 200)
    assert await bench.take(content(), "2026-03-01T12:00:00.500Z", **times)
    assert {each.place.trace_id for each in bench.spans} == {EVENT_ID}
    [receive], [process] = bench.named("POST /signup-form"), bench.named("process events")
    assert receive.ended_at == NOW + 0.5
    assert process.place.parent_id == bench.named("publish events")[0].span_id
    assert (process.error, process.attributes[spans.OUTCOME]) == ("path_conflict", "routed")
    assert [(each.error, each.attributes[spans.ROUTE]) for each in bench.named("step set")] == [
        ("", "tell the list"),
        ("path_conflict", "broken"),
    ]
    published = bench.named("publish deliveries")[0]
    assert bench.bench.bus.on(DELIVERIES)[0].attributes["traceparent"] == f"00-{EVENT_ID}-{published.span_id}-01"
    kept = bench.bench.journaled.spans
    assert [each["id"] for each in kept] == [each.span_id for each in bench.spans]
    names = [str(each["name"]) for each in kept]
    assert [name for name in names if "step" in name] == ["tell the list: step 1 'set'", "broken: step 1 'set'"]
    assert kept[-1] == {
        **{"service": "transform", "name": "process events", "id": process.span_id, "parent": process.place.parent_id},
        **{"at": NOW + 1, "ms": 0.0},
    }
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(each["trace"], each["span"]) for each in lines} == {(EVENT_ID, process.span_id)}


async def test_a_replay_days_later_has_a_trace_of_its_own(bench: TracedBench) -> None:
    bench.clock.advance(3 * 86_400)
    await bench.take(content(), replay="r1")
    [process] = bench.named("process events")
    assert process.place.trace_id != EVENT_ID
    assert (process.place.parent_id, process.place.links) == ("", (spans.event_ids(EVENT_ID, EVENT.receivedat),))


async def test_the_further_run_of_a_route_that_waited_names_it(bench: TracedBench) -> None:
    await bench.take(content(), route="tell the list")
    [process] = bench.named("process events")
    assert process.attributes[spans.ROUTE] == "tell the list"


async def test_what_comes_again_says_why(bench: TracedBench) -> None:
    async def publish(*_: object) -> None:
        raise Temporary("bus_unavailable", "no answer")

    bench.bench.bus.publish = publish  # type: ignore[assignment,method-assign] # a bus that is down
    assert not await bench.take(content())
    [process] = bench.named("process events")
    assert process.error == "bus_unavailable"
    assert {each.error for each in bench.spans if each.kind == spans.PRODUCER} == {"bus_unavailable"}


async def test_an_event_of_no_time_is_processed_all_the_same(bench: TracedBench) -> None:
    assert await bench.take(to_json(to_cloudevent(replace(EVENT, id=EVENT_ID, receivedat="soon"))).encode())
    assert {each.place.trace_id for each in bench.spans} == {EVENT_ID}


async def test_a_message_that_is_no_event_has_no_span(bench: TracedBench) -> None:
    assert await bench.take(b"no event")
    assert bench.spans == []


@pytest.mark.parametrize(
    ("sent", "ended_at"),
    [("1772366400500", NOW + 0.5), ("", NOW + 1), ("soon", NOW + 1), ("2999-01-01T00:00:00Z", NOW + 1)],
)
async def test_receive_ends_when_the_bus_had_the_message(bench: TracedBench, sent: str, ended_at: float) -> None:
    await bench.take(content(), sent, **spans.received_attribute(NOW, NOW + 0.25, "POST", 200))
    assert bench.named("POST /signup-form")[0].ended_at == ended_at
