"""Print what exporting costs a process: `telemetry.py costs|steady URL`, where the URL is that of a collector.

costs   {"span_us": CPU of a span in a batch, "flush_ms": CPU of a flush with the spans and counts of one event}
steady  {"events": recorded at a steady pace, each in a request of its own, "longest_ms": the longest that a request
        waited for a flush, "warnings": lines in the log}
"""

import asyncio
import contextlib
import io
import json
import statistics
import sys
import time
from typing import Final

import uvloop

from shared.event import Event
from shared.jsontext import JsonObject
from shared.telemetry import metrics, spans
from shared.telemetry.exporter import TRACES, Exporter, OtlpPost, Spans

BATCH: Final = 256
FLUSHES: Final = 100
ROUNDS: Final = 7
STEADY_SECONDS: Final = 8.0
REQUESTS_PER_SECOND: Final = 40
RESOURCES: Final[dict[str, JsonObject]] = {
    name: {"service.name": f"hookchain-{name}"} for name in ("receive", "transform", "notify")
}


class NoSecrets:
    async def values(self, name: str, *, fresh: bool = False) -> tuple[str, ...]:
        raise KeyError(name)


def event_spans(number: int) -> list[spans.Span]:
    """Return spans of an event: two of receive, and an attempt."""
    now = time.time()
    event = Event(f"{number:032x}", "/sources/shop-0", "order.created", "2026-03-01T12:00:00.000Z", "00", {})
    received = spans.received_attribute(now, now, "POST", 200)[spans.RECEIVED]
    of_receive = spans.receive_spans(event, event.type, received, now, "gcp_pubsub", "https")
    attributes: dict[str, spans.Value | None] = {
        spans.EVENT_ID: event.id,
        spans.MESSAGING_MESSAGE_ID: f"{number:064x}",
        spans.ROUTE: "orders",
        spans.DESTINATION: "crm",
        spans.ATTEMPT_NUMBER: 1,
        spans.OUTCOME: "delivered",
        spans.HTTP_STATUS: 200,
    }
    place = spans.place_of(event, now)
    attempt = spans.Span("notify", "deliver crm", spans.CLIENT, place, spans.new_span_id(), now, now + 0.1, attributes)
    return [*of_receive, attempt]


async def costs(url: str) -> JsonObject:
    waiting, post = Spans(RESOURCES), OtlpPost(url, NoSecrets(), None)
    counts = metrics.Metrics(RESOURCES["notify"], time.time)

    async def flush(first: int, events: int) -> None:
        for number in range(first, first + events):
            for span in event_spans(number):
                waiting.add(span)
                counts.count_span(span)
        posts = post(TRACES, waiting.take()), post(metrics.METRICS, counts.take())
        assert [answer.status for answer in await asyncio.gather(*posts)] == [200, 200]

    await flush(0, 1)
    of_spans: list[float] = []
    of_flushes: list[float] = []
    for _ in range(ROUNDS):
        began = time.process_time()
        await flush(0, BATCH)
        of_spans.append((time.process_time() - began) * 1e6 / (3 * BATCH))
        began = time.process_time()
        for number in range(FLUSHES):
            await flush(number, 1)
        of_flushes.append((time.process_time() - began) * 1e3 / FLUSHES)
    return {"span_us": statistics.median(of_spans), "flush_ms": statistics.median(of_flushes)}


async def steady(url: str) -> JsonObject:
    exporter = Exporter(OtlpPost(url, NoSecrets(), None), Spans(RESOURCES))
    longest, events = 0.0, 0

    async def handle() -> None:
        for span in event_spans(events):
            exporter.add(span)

    with contextlib.redirect_stdout(io.StringIO()) as log:
        ends_at = time.monotonic() + STEADY_SECONDS
        while (began_at := time.monotonic()) < ends_at:
            await exporter.around(handle())
            events += 1
            waited = time.monotonic() - began_at
            longest = max(longest, waited)
            await asyncio.sleep(max(0.0, 1 / REQUESTS_PER_SECOND - waited))
    return {"events": events, "longest_ms": longest * 1e3, "warnings": log.getvalue().count('"WARNING"')}


if __name__ == "__main__":
    measure = {"costs": costs, "steady": steady}[sys.argv[1]]
    print(json.dumps(uvloop.run(measure(sys.argv[2]))))
