"""Metrics as a collector gets them: counts as deltas, which are never lost or counted twice, and levels."""

import asyncio
from typing import Final

import pytest

from shared.jsontext import JsonObject
from shared.outgoing.http_client import Answer
from shared.subscribers.names import EndpointName
from shared.telemetry import exporter, metrics, spans
from shared.telemetry.spans import Span
from tests.fakes.clock import FakeClock
from tests.fakes.virtual_time import run
from tests.stand_ins.otlp_receiver import SeenPoint, points_of

AT: Final = 1_790_000_000.0
RESOURCE: Final[JsonObject] = {"service.name": "hookchain-notify", "service.instance.id": "ab12"}


def a_span(service: str, kind: int, attributes: dict[str, spans.Value | None], error: str = "") -> Span:
    return Span(service, "name", kind, spans.Place("a" * 32), "b" * 16, AT, AT + 1, attributes, error)


def processed(source: str, outcome: str) -> Span:
    return a_span("transform", spans.CONSUMER, {spans.EVENT_SOURCE: f"/sources/{source}", spans.OUTCOME: outcome})


def attempted(destination: str, outcome: str) -> Span:
    return a_span("notify", spans.CLIENT, {spans.DESTINATION: destination, spans.OUTCOME: outcome})


def values_of(points: list[SeenPoint]) -> dict[tuple[str, ...], float]:
    return {(point.name, *map(str, point.attributes.values())): point.value for point in points}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(AT)


@pytest.fixture
def measured(clock: FakeClock) -> metrics.Metrics:
    return metrics.Metrics(RESOURCE, clock.now)


def test_events_and_attempts_are_counted_by_name_and_outcome(measured: metrics.Metrics, clock: FakeClock) -> None:
    endpoint = str(EndpointName("customers", "acme", "ep_1"))
    for span in (
        processed("shop", "routed"),
        processed("shop", "routed"),
        processed("till", "no_route"),
        attempted("crm", "delivered"),
        attempted(endpoint, "failed"),
        attempted(endpoint.replace("ep_1", "ep_2"), "failed"),
        a_span("transform", spans.INTERNAL, {spans.STEP: "step 1 'drop'"}),
        a_span("transform", spans.CONSUMER, {spans.EVENT_SOURCE: "/sources/shop", spans.ROUTE: "orders"}),
        a_span("receive", spans.CONSUMER, {}),
    ):
        measured.count_span(span)
    clock.advance(2)
    points = points_of(measured.take())
    assert values_of(points) == {
        ("hookchain.events", "shop", "routed"): 2,
        ("hookchain.events", "till", "no_route"): 1,
        ("hookchain.attempts", "crm", "delivered"): 1,
        ("hookchain.attempts", "customers", "failed"): 2,
    }
    assert {(point.temporality, point.started_at, point.at) for point in points} == {("delta", AT, AT + 2)}
    assert points[0].resource == RESOURCE


def test_what_was_not_sent_is_counted_once_with_the_next(measured: metrics.Metrics, clock: FakeClock) -> None:
    measured.count_span(attempted("crm", "delivered"))
    clock.advance(1)
    measured.take()
    measured.count_span(attempted("crm", "delivered"))
    measured.put_back()
    clock.advance(1)
    [point] = points_of(measured.take())
    assert (point.value, point.started_at, point.at) == (2, AT, AT + 2)
    assert not measured.is_waiting
    measured.count_span(attempted("crm", "delivered"))
    clock.advance(1)
    [point] = points_of(measured.take())
    assert (point.value, point.started_at, point.at) == (1, AT + 2, AT + 3)


def test_levels_are_cumulative_or_gauges_and_the_newest_is_sent(measured: metrics.Metrics, clock: FakeClock) -> None:
    crm = {spans.DESTINATION: "crm"}
    measured.set_levels("hookchain.backlog", [(crm, 7)])
    measured.set_levels("hookchain.backlog.oldest", [(crm, 12.5)])
    clock.advance(60)
    measured.take()
    measured.set_levels("hookchain.backlog", [(crm, 3)])
    measured.put_back()
    points = points_of(measured.take())
    assert values_of(points) == {("hookchain.backlog", "crm"): 3, ("hookchain.backlog.oldest", "crm"): 12.5}
    kinds = {point.name: point.temporality for point in points}
    assert kinds == {"hookchain.backlog": "cumulative", "hookchain.backlog.oldest": ""}
    assert {point.started_at for point in points} == {AT}
    # The next sweep may run in another process: what it finds replaces this, whoever sent it.
    assert all(point.resource == {"service.name": "hookchain-notify"} for point in points)


class TracesOnly:
    """A collector that takes no metrics, and answers them after `seconds`. `paths` are those of the requests."""

    def __init__(self, status: int, seconds: float = 0.0) -> None:
        self.status = status
        self.seconds = seconds
        self.paths: list[str] = []

    async def connect(self) -> None: ...

    async def __call__(self, path: str, body: bytes) -> Answer:
        self.paths.append(path)
        if path != exporter.TRACES:
            await asyncio.sleep(self.seconds)
        return Answer(200 if path == exporter.TRACES else self.status, b"{}")


@pytest.mark.parametrize("status", [404, 501])
async def test_a_collector_without_metrics_gets_spans_alone_and_one_line_says_so(
    status: int, measured: metrics.Metrics, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "FLUSH_SECONDS", 0.01)
    post = TracesOnly(status)
    exporting = exporter.Exporter(post, exporter.Spans({"notify": RESOURCE}), measured)

    async def work() -> None:
        exporting.add(attempted("crm", "delivered"))

    for _ in range(3):
        await exporting.around(work())
        await asyncio.sleep(0.03)
    assert post.paths == ["/v1/traces", "/v1/metrics", "/v1/traces", "/v1/traces"]
    assert capsys.readouterr().out.count(f"the collector answered {status} at /v1/metrics") == 1


@pytest.mark.parametrize(("status", "seconds"), [(400, 0.0), (429, 0.0), (200, 5.0)])
def test_metrics_that_a_collector_rejects_or_does_not_answer_hold_back_no_spans(
    status: int, seconds: float, measured: metrics.Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        for _ in range(600):
            exporting.add(attempted("crm", "delivered"))
            await exporting.around(asyncio.sleep(0.1))
        await asyncio.sleep(5)

    post = TracesOnly(status, seconds)
    exporting = exporter.Exporter(post, exporter.Spans({"notify": RESOURCE}), measured)
    run(main())
    assert post.paths.count("/v1/traces") >= 58
    assert post.paths.count("/v1/metrics") <= 15
    assert capsys.readouterr().out.count("/v1/metrics") == (status != 200)


def test_the_number_of_series_is_bounded(measured: metrics.Metrics) -> None:
    for number in range(metrics.MAX_SERIES + 50):
        measured.count_span(attempted(f"d{number}", "delivered"))
    assert len(points_of(measured.take())) == metrics.MAX_SERIES
