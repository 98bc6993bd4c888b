"""Charts of the last hour, day and 30 days: GET /api/charts?span=…&source=…&destination=….

The process of the page counts the journal's rows once, in their order, while a page is open: per minute, per quarter of
an hour and per half a day. So nothing more is written for an event, and a look reads new rows only. A cloud's metrics
have the counts of a deployment.
"""

import asyncio
import math
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from aiohttp import web

from deploy.dev.inspector.api import BACKEND, Backend, bad_request, not_found
from deploy.dev.local_server import json_answer
from deploy.history import documents, journal_view
from deploy.history.local_journal import JournalReader
from deploy.history.state import configured_name
from deploy.terminal.command_line import CommandError
from deploy.topology.monitoring import MetricCount, MetricWindow
from shared.delivery import ROUTE_ITSELF
from shared.jsontext import Json

BATCH: Final = 2_000
LOOK_SECONDS: Final = 0.2
"""How long one look may count. The next look continues: a page asks again at once until all rows are counted."""
LATENCY_STEPS: Final = 12
"""Delivery times are counted in steps of e^(1/12), so a percentile is exact to 5 %."""


class Span(NamedTuple):
    bucket_seconds: int
    buckets: int


METRIC_SECONDS: Final = 60.0
ReadCounts: TypeAlias = Callable[[MetricWindow], Sequence[MetricCount]]
"""Reads a cloud's metrics. Raises CommandError."""
SPANS: Final = {"hour": Span(60, 60), "day": Span(900, 96), "month": Span(43_200, 60)}


class Names(NamedTuple):
    """A source and a destination. The destination is empty for a request, the source is if the event is deleted."""

    source: str
    destination: str = ""


@dataclass(slots=True)
class Bucket:
    """The counts of one source and destination. `latencies` has the number of first attempts by step."""

    accepted: int = 0
    rejected: int = 0
    delivered: int = 0
    not_delivered: int = 0
    latencies: Counter[int] = field(default_factory=Counter)


class Series(NamedTuple):
    """The buckets of a span, oldest first, and the percentiles of the whole span."""

    buckets: tuple[journal_view.Bucket, ...]
    p50_ms: float | None
    p95_ms: float | None


class Charts(ABC):
    """The counts of each span, in memory. `missing` says what they have not, and why; empty if they have all."""

    missing = ""

    def __init__(self) -> None:
        self._buckets: dict[str, dict[int, dict[Names, Bucket]]] = {name: {} for name in SPANS}

    @abstractmethod
    async def refresh(self, backend: Backend, now: float, name: str) -> bool:
        """Count what is new for a span. Return whether all is counted. Raises CommandError."""

    def series(self, name: str, now: float, source: str = "", destination: str = "") -> Series:
        """Return the counts of a span, of one source or destination where it is given.

        A request has no destination, so none is counted for one.
        """
        span = SPANS[name]
        last = math.floor(now / span.bucket_seconds)
        buckets: list[journal_view.Bucket] = []
        whole = Counter[int]()
        for number in range(last - span.buckets + 1, last + 1):
            parts = [
                bucket
                for names, bucket in self._buckets[name].get(number, {}).items()
                if source in ("", names.source) and destination in ("", names.destination)
            ]
            latencies = Counter[int]()
            for each in parts:
                latencies.update(each.latencies)
            whole.update(latencies)
            buckets.append(
                journal_view.Bucket(
                    at=number * span.bucket_seconds,
                    accepted=sum(each.accepted for each in parts),
                    rejected=sum(each.rejected for each in parts),
                    delivered=sum(each.delivered for each in parts),
                    not_delivered=sum(each.not_delivered for each in parts),
                    p50_ms=percentile_ms(latencies, 0.5),
                    p95_ms=percentile_ms(latencies, 0.95),
                )
            )
        return Series(tuple(buckets), percentile_ms(whole, 0.5), percentile_ms(whole, 0.95))

    def names(self, name: str) -> tuple[list[str], list[str]]:
        """Return the sources and the destinations that the span has, in order."""
        known = {names for buckets in self._buckets[name].values() for names in buckets}
        return _listed(each.source for each in known), _listed(each.destination for each in known)


class JournalCharts(Charts):
    """The counts of the journal, in memory. Used in the thread of the reader only."""

    def __init__(self, reader: JournalReader, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._reader = reader
        self._clock = clock
        self._counted_at = 0.0
        self._last_request = self._last_attempt = 0

    async def refresh(self, backend: Backend, now: float, name: str) -> bool:  # noqa: ARG002 it counts for all spans
        return await backend.read(partial(self.update, now))

    def update(self, now: float) -> bool:
        """Count the next rows for LOOK_SECONDS. Return whether all of them are counted."""
        ends_at = self._clock() + LOOK_SECONDS
        if now < self._counted_at - SPANS["hour"].bucket_seconds or not self._has_last_rows():
            self._begin_again()  # a clock that was ahead has let counts be forgotten that belong to the spans now
        self._counted_at = now
        is_done = False
        while not is_done and self._clock() < ends_at:
            requests = self._reader.requests_after(self._last_request, BATCH)
            attempts = self._reader.attempts_after(self._last_attempt, BATCH)
            for seq, at, status, source in requests:
                self._last_request = seq
                for bucket in self._at(at, Names(source), now):
                    bucket.accepted += status < 400
                    bucket.rejected += status >= 400
            for attempt in attempts:
                self._last_attempt = attempt.seq
                self._count_attempt(attempt, now)
            is_done = len(requests) < BATCH and len(attempts) < BATCH
        self._forget_old(now)
        return is_done

    def _has_last_rows(self) -> bool:
        """Return whether the rows that were counted last, or newer ones, are there.

        If retention deletes the newest rows, the next rows get their numbers.
        """
        newest_request, newest_attempt = self._reader.newest_numbers()
        return newest_request >= self._last_request and newest_attempt >= self._last_attempt

    def _begin_again(self) -> None:
        """Forget the counts, so that no row is counted twice."""
        self._last_request = self._last_attempt = 0
        for buckets in self._buckets.values():
            buckets.clear()

    def _count_attempt(self, attempt: journal_view.AttemptTimes, now: float) -> None:
        if attempt.destination == ROUTE_ITSELF:  # a route waits for a system that a step asks: no delivery failed
            return
        names = Names(attempt.source, configured_name(attempt.destination))
        for bucket in self._at(attempt.ended_at, names, now):
            if attempt.outcome != "delivered":
                bucket.not_delivered += 1
                continue
            bucket.delivered += 1
            if attempt.is_first and attempt.received_at is not None:
                bucket.latencies[latency_step(attempt.ended_at - attempt.received_at)] += 1

    def _at(self, at: float, names: Names, now: float) -> Iterator[Bucket]:
        """Yield the bucket of each span that has the time."""
        for name, span in SPANS.items():
            number = math.floor(at / span.bucket_seconds)
            if number > math.floor(now / span.bucket_seconds) - span.buckets:
                yield self._buckets[name].setdefault(number, {}).setdefault(names, Bucket())

    def _forget_old(self, now: float) -> None:
        for name, span in SPANS.items():
            oldest = math.floor(now / span.bucket_seconds) - span.buckets
            for number in [each for each in self._buckets[name] if each <= oldest]:
                del self._buckets[name][number]


class MetricCharts(Charts):
    """The counts of a cloud's metrics. A span is read again after a minute, also after a failure: a read may cost."""

    missing = (
        "The metrics of a cloud count requests in total and attempts by destination, so these plots show no sources "
        "and no time to delivery."
    )

    def __init__(self, read_counts: ReadCounts, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._read_counts = read_counts
        self._clock = clock
        self._read_at: dict[str, float] = {}
        self._faults: dict[str, str] = {}
        self._lock = asyncio.Lock()

    async def refresh(self, backend: Backend, now: float, name: str) -> bool:
        """Read the counts in a thread of their own, so that the page goes on if the metrics do not answer."""
        async with self._lock:
            if self._clock() - self._read_at.get(name, -math.inf) >= METRIC_SECONDS:
                await self._read(backend, now, name)
            if fault := self._faults.get(name):
                raise CommandError(fault)
        return True

    async def _read(self, backend: Backend, now: float, name: str) -> None:
        destinations = await asyncio.to_thread(backend.destinations)
        window = MetricWindow(now, *SPANS[name], tuple(destinations))
        self._faults.pop(name, None)
        try:
            counts = await asyncio.to_thread(self._read_counts, window)
            self._buckets[name] = _metric_buckets(counts, window.bucket_seconds)
        except CommandError as error:
            self._faults[name] = str(error)
        self._read_at[name] = self._clock()


def _metric_buckets(counts: Iterable[MetricCount], bucket_seconds: int) -> dict[int, dict[Names, Bucket]]:
    buckets: dict[int, dict[Names, Bucket]] = {}
    for each in counts:
        by_names = buckets.setdefault(math.floor(each.at / bucket_seconds), {})
        bucket = by_names.setdefault(Names("", each.destination), Bucket())
        match each.kind:
            case "requests":
                bucket.accepted += each.number
            case "rejected":
                bucket.rejected += each.number
                bucket.accepted -= each.number
            case "attempts":
                bucket.not_delivered += each.number
            case "delivered":
                bucket.delivered += each.number
                bucket.not_delivered -= each.number
    for bucket in chain.from_iterable(each.values() for each in buckets.values()):
        # A cloud may have written one metric of a minute and not yet the other.
        bucket.accepted = max(bucket.accepted, 0)
        bucket.not_delivered = max(bucket.not_delivered, 0)
    return buckets


def _listed(names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name})


def latency_step(seconds: float) -> int:
    return round(math.log(max(seconds * 1000, 1.0)) * LATENCY_STEPS)


def percentile_ms(steps: Counter[int], share: float) -> float | None:
    """Return the time below which that share of the deliveries is; None without deliveries."""
    wanted = steps.total() * share
    passed = 0
    for step in sorted(steps):
        passed += steps[step]
        if passed >= wanted:
            return round(math.exp(step / LATENCY_STEPS), 1)
    return None


CHARTS: Final = web.AppKey("charts", Charts)
"""Not present beside the local AWS, which has neither a file with the journal nor metrics."""
ELSEWHERE: Final = "The local AWS has no counts of longer spans."


async def count_ahead(backend: Backend, charts: JournalCharts, has_open_page: Callable[[], bool]) -> None:
    """Count the next rows while a page is open, so that a person who chooses a span need not wait."""
    if has_open_page():
        await backend.read(partial(charts.update, time.time()))


async def show_charts(request: web.Request) -> web.Response:
    charts = request.app.get(CHARTS)
    if charts is None:
        raise not_found(ELSEWHERE)
    span, source, destination = (request.query.get(name, "") for name in ("span", "source", "destination"))
    if span not in SPANS:
        raise bad_request(f"span: must be one of {', '.join(SPANS)}; got {span!r}.")
    backend, now = request.app[BACKEND], time.time()
    try:
        is_done = await charts.refresh(backend, now, span)
    except CommandError as error:
        raise web.HTTPServiceUnavailable(text=f"{error}\n") from error
    series = await backend.read(partial(charts.series, span, now, source, destination))
    sources, destinations = await backend.read(partial(charts.names, span))
    whole: dict[str, Json] = {
        "whole_p50_ms": series.p50_ms,
        "whole_p95_ms": series.p95_ms,
        "sources": [*sources],
        "destinations": [*destinations],
        "counting": not is_done,
        "missing": charts.missing,
    }
    return json_answer({**documents.series_document(series.buckets, SPANS[span].bucket_seconds), **whole})


CHARTS_ROUTES: Final = [web.get("/api/charts", show_charts)]
