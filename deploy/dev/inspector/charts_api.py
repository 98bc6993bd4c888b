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
from deploy.history import chart, documents, local_journal, state
from deploy.terminal.command_line import CommandError
from deploy.topology.monitoring import MetricCount, MetricWindow
from shared.delivery import ROUTE_ITSELF
from shared.jsontext import Json

BATCH: Final = 2_000
"""The rows of a table that are read at once."""
LOOK_SECONDS: Final = 0.2
"""How long one look may count. The next look continues: a page asks again at once until all rows are counted."""
LATENCY_STEPS: Final = 12
"""Delivery times are counted in steps of e^(1/12), so a percentile is exact to 5 %."""


class Span(NamedTuple):
    """The time of a chart, up to now. A bucket's number times `bucket_seconds` is its beginning, in Unix seconds."""

    bucket_seconds: int
    bucket_count: int

    def numbers(self, now: float) -> range:
        """Return the numbers of the buckets, oldest first. The last one is not over."""
        last = math.floor(now / self.bucket_seconds)
        return range(last - self.bucket_count + 1, last + 1)


METRIC_SECONDS: Final = 60.0
"""The time after which a cloud's metrics are read again."""
ReadCounts: TypeAlias = Callable[[MetricWindow], Sequence[MetricCount]]
"""Reads a cloud's metrics. Raises CommandError."""
SPANS: Final = {"hour": Span(60, 60), "day": Span(900, 96), "month": Span(43_200, 60)}


class Names(NamedTuple):
    """A source and a destination. The destination is empty for a request, the source is if the event is deleted."""

    source: str
    destination: str = ""


@dataclass(slots=True)
class Counts:
    """The counts of one source and destination in a bucket. `latencies` counts first attempts by latency_step."""

    accepted: int = 0
    rejected: int = 0
    delivered: int = 0
    not_delivered: int = 0
    latencies: Counter[int] = field(default_factory=Counter)


class Series(NamedTuple):
    """The buckets of a span, oldest first, and the percentiles of the whole span."""

    buckets: tuple[chart.Bucket, ...]
    p50_ms: float | None
    p95_ms: float | None


class Charts(ABC):
    """The counts of each span, in memory: by the span's name, the bucket's number, and the source and destination.

    `missing` is a text for the page about what a cloud does not count; empty if everything is counted.
    """

    missing = ""

    def __init__(self) -> None:
        self._counts: dict[str, dict[int, dict[Names, Counts]]] = {span: {} for span in SPANS}

    @abstractmethod
    async def refresh(self, backend: Backend, now: float, span: str) -> bool:
        """Count what is new for a span. Return whether all is counted. Raises CommandError."""

    def series(self, span: str, now: float, source: str = "", destination: str = "") -> Series:
        """Return the counts of a span, of one source or destination where it is given.

        A request has no destination, so none is counted for one.
        """
        buckets: list[chart.Bucket] = []
        whole = Counter[int]()
        for number in SPANS[span].numbers(now):
            chosen = [
                counts
                for names, counts in self._counts[span].get(number, {}).items()
                if source in ("", names.source) and destination in ("", names.destination)
            ]
            latencies = Counter[int]()
            for each in chosen:
                latencies.update(each.latencies)
            whole.update(latencies)
            buckets.append(
                chart.Bucket(
                    at=number * SPANS[span].bucket_seconds,
                    accepted=sum(each.accepted for each in chosen),
                    rejected=sum(each.rejected for each in chosen),
                    delivered=sum(each.delivered for each in chosen),
                    not_delivered=sum(each.not_delivered for each in chosen),
                    p50_ms=percentile_ms(latencies, 0.5),
                    p95_ms=percentile_ms(latencies, 0.95),
                )
            )
        return Series(tuple(buckets), percentile_ms(whole, 0.5), percentile_ms(whole, 0.95))

    def names(self, span: str) -> tuple[list[str], list[str]]:
        """Return the sources and the destinations that the span has, in order."""
        known = {names for by_names in self._counts[span].values() for names in by_names}
        return _listed(each.source for each in known), _listed(each.destination for each in known)


class JournalCharts(Charts):
    """The counts of the journal, in memory. Used in the thread of the reader only."""

    def __init__(self, reader: local_journal.JournalReader, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._reader = reader
        self._clock = clock
        self._counted_at = 0.0
        self._last_request = self._last_attempt = 0

    async def refresh(self, backend: Backend, now: float, span: str) -> bool:  # noqa: ARG002 it counts for all spans
        return await backend.in_thread(partial(self.update, now))

    def update(self, now: float) -> bool:
        """Count the next rows for LOOK_SECONDS. Return whether all of them are counted."""
        ends_at = self._clock() + LOOK_SECONDS
        # A clock that was ahead made `_forget_old` forget counts that the spans have again, now that it was set back.
        is_clock_set_back = now < self._counted_at - SPANS["hour"].bucket_seconds
        if is_clock_set_back or not self._has_last_rows():
            self._begin_again()
        self._counted_at = now
        is_done = False
        while not is_done and self._clock() < ends_at:
            requests = self._reader.requests_after(self._last_request, BATCH)
            attempts = self._reader.attempts_after(self._last_attempt, BATCH)
            for seq, at, status, source in requests:
                self._last_request = seq
                for counts in self._counts_at(at, Names(source), now):
                    counts.accepted += status < 400
                    counts.rejected += status >= 400
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
        """Forget the counts, because all rows are counted again."""
        self._last_request = self._last_attempt = 0
        for by_number in self._counts.values():
            by_number.clear()

    def _count_attempt(self, attempt: chart.AttemptTimes, now: float) -> None:
        if attempt.destination == ROUTE_ITSELF:  # a route waits for a system that a step asks: no delivery failed
            return
        names = Names(attempt.source, state.configured_name(attempt.destination))
        for counts in self._counts_at(attempt.ended_at, names, now):
            if attempt.outcome != "delivered":
                counts.not_delivered += 1
                continue
            counts.delivered += 1
            if attempt.is_first and attempt.received_at is not None:
                counts.latencies[latency_step(attempt.ended_at - attempt.received_at)] += 1

    def _counts_at(self, at: float, names: Names, now: float) -> Iterator[Counts]:
        """Yield the counts to add to: those of a bucket in each span that has the time. Creates them."""
        for name, span in SPANS.items():
            number = math.floor(at / span.bucket_seconds)
            if number >= span.numbers(now).start:
                yield self._counts[name].setdefault(number, {}).setdefault(names, Counts())

    def _forget_old(self, now: float) -> None:
        for name, span in SPANS.items():
            oldest = span.numbers(now).start
            for number in [each for each in self._counts[name] if each < oldest]:
                del self._counts[name][number]


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

    async def refresh(self, backend: Backend, now: float, span: str) -> bool:
        """Read the counts in a thread of their own, so that the page goes on if the metrics do not answer."""
        async with self._lock:
            if self._clock() - self._read_at.get(span, -math.inf) >= METRIC_SECONDS:
                await self._read(backend, now, span)
            if fault := self._faults.get(span):
                raise CommandError(fault)
        return True

    async def _read(self, backend: Backend, now: float, span: str) -> None:
        destinations = await asyncio.to_thread(backend.destinations)
        window = MetricWindow(now, *SPANS[span], tuple(destinations))
        self._faults.pop(span, None)
        try:
            counts = await asyncio.to_thread(self._read_counts, window)
            self._counts[span] = _metric_counts(counts, window.bucket_seconds)
        except CommandError as error:
            self._faults[span] = str(error)
        self._read_at[span] = self._clock()


def _metric_counts(metric_counts: Iterable[MetricCount], bucket_seconds: int) -> dict[int, dict[Names, Counts]]:
    """Return the counts by bucket and destination.

    Of a cloud's metrics, `requests` includes those that were rejected, and `attempts` those that delivered.
    """
    by_number: dict[int, dict[Names, Counts]] = {}
    for each in metric_counts:
        by_names = by_number.setdefault(math.floor(each.at / bucket_seconds), {})
        counts = by_names.setdefault(Names("", each.destination), Counts())
        match each.kind:
            case "requests":
                counts.accepted += each.number
            case "rejected":
                counts.rejected += each.number
                counts.accepted -= each.number
            case "attempts":
                counts.not_delivered += each.number
            case "delivered":
                counts.delivered += each.number
                counts.not_delivered -= each.number
    for counts in chain.from_iterable(each.values() for each in by_number.values()):
        # Below 0 if a cloud has written one metric of a minute and not yet the other.
        counts.accepted = max(counts.accepted, 0)
        counts.not_delivered = max(counts.not_delivered, 0)
    return by_number


def _listed(names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name})


def latency_step(seconds: float) -> int:
    """Return the number of the step, of LATENCY_STEPS to each factor of e. All times up to 1 ms are in step 0."""
    return round(math.log(max(seconds * 1000, 1.0)) * LATENCY_STEPS)


def percentile_ms(latencies: Counter[int], share: float) -> float | None:
    """Return the time below which that share of the deliveries is; None without deliveries."""
    wanted = latencies.total() * share
    passed = 0
    for step in sorted(latencies):
        passed += latencies[step]
        if passed >= wanted:
            return round(math.exp(step / LATENCY_STEPS), 1)
    return None


CHARTS: Final = web.AppKey("charts", Charts)
"""Not present beside the local AWS, which has neither a file with the journal nor metrics."""


async def count_ahead(backend: Backend, charts: JournalCharts, has_open_page: Callable[[], bool]) -> None:
    """Count the next rows while a page is open, so that a person who chooses a span need not wait."""
    if has_open_page():
        await backend.in_thread(partial(charts.update, time.time()))


async def show_charts(request: web.Request) -> web.Response:
    charts = request.app.get(CHARTS)
    if charts is None:
        raise not_found("The local AWS has no counts of longer spans.")
    span, source, destination = (request.query.get(name, "") for name in ("span", "source", "destination"))
    if span not in SPANS:
        raise bad_request(f"span: must be one of {', '.join(SPANS)}; got {span!r}.")
    backend, now = request.app[BACKEND], time.time()
    try:
        is_done = await charts.refresh(backend, now, span)
    except CommandError as error:
        raise web.HTTPServiceUnavailable(text=f"{error}\n") from error
    series = await backend.in_thread(partial(charts.series, span, now, source, destination))
    sources, destinations = await backend.in_thread(partial(charts.names, span))
    whole: dict[str, Json] = {
        "whole_p50_ms": series.p50_ms,
        "whole_p95_ms": series.p95_ms,
        "sources": [*sources],
        "destinations": [*destinations],
        "counting": not is_done,
        "missing": charts.missing,
    }
    return json_answer({**documents.series_document(series.buckets, SPANS[span].bucket_seconds), **whole})
