"""The series of a chart: what was received and delivered in each of its buckets of time, and how fast.

A latency is that of a delivery whose first attempt succeeded, from receive's answer to the destination's. A replay
would count as very late, so what it delivers has no latency.
"""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from shared import batching, delivery, journal
from shared.jsontext import JsonObject

REPLAYED_SECONDS: Final = 60
"""An event that is routed again so long after it was received is replayed."""
MAX_POINTS: Final = 2_000
"""The most events, and the most attempts, that are read for a chart."""
MAX_LATENCIES: Final = 100
"""The most deliveries whose latency is computed for a chart. Each costs a read of its event."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The counts of one interval, which begins at `at`. `p50_ms` and `p95_ms` are percentiles of its latencies."""

    at: float
    accepted: int = 0
    rejected: int = 0
    delivered: int = 0
    not_delivered: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None


class AttemptTimes(NamedTuple):
    """An attempt as it is counted. `source` is empty and `received_at` is None if the event is deleted.

    is_first  it is the first attempt of its delivery, before any replay
    """

    seq: int
    ended_at: float
    outcome: str
    is_first: bool
    destination: str
    source: str
    received_at: float | None


class ChartSpan(NamedTuple):
    """The time of a chart: it begins at `since` and has buckets of `width` seconds."""

    since: float
    width: float
    buckets: int

    def number_of(self, seconds: float) -> int:
        return int((seconds - self.since) / self.width)


def span_of(now: float, span_seconds: float, count: int) -> ChartSpan:
    """Return the span that ends now. A bucket has the same edges in each call."""
    width = span_seconds / count
    return ChartSpan((math.floor(now / width) + 1 - count) * width, width, count)


def make_buckets(
    span: ChartSpan,
    requests: list[tuple[int, float, float]],
    attempts: list[tuple[int, float, float]],
    latencies: list[tuple[int, float]],
) -> tuple[Bucket, ...]:
    """Return the buckets of the span.

    requests   for some buckets: its number, then how many requests were accepted, and how many rejected
    attempts   for some buckets: its number, then how many attempts delivered, and how many did not
    latencies  for some deliveries: the number of its bucket, and its latency in seconds
    """
    request_counts = {number: (int(good), int(bad)) for number, good, bad in requests}
    attempt_counts = {number: (int(good), int(bad)) for number, good, bad in attempts}
    seconds = batching.grouped(latencies)
    buckets: list[Bucket] = []
    for number in range(span.buckets):
        accepted, rejected = request_counts.get(number, (0, 0))
        delivered, not_delivered = attempt_counts.get(number, (0, 0))
        p50_ms, p95_ms = (_percentile_ms(seconds.get(number, []), share) for share in (0.5, 0.95))
        at = span.since + number * span.width
        buckets.append(Bucket(at, accepted, rejected, delivered, not_delivered, p50_ms, p95_ms))
    return tuple(buckets)


def _percentile_ms(seconds: list[float], share: float) -> float | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    return round(max(0.0, ordered[min(len(ordered) - 1, int(len(ordered) * share))]) * 1000, 1)


# Of a journal in a cloud


def time_of(seq: int) -> float:
    """Return the time in a `seq`, in Unix seconds. A `seq` is milliseconds, shifted by 12 bits."""
    return (seq >> 12) / 1000


def received_unless_replayed(entry: JsonObject, passes: int) -> float | None:
    """Return when an event was received; None if a replay may have delivered it."""
    received_at, routed_at = float(str(entry["received_at"])), float(str(entry["routed_at"]))
    is_replayed = passes > 1 and routed_at > received_at + REPLAYED_SECONDS
    return None if is_replayed else received_at


async def series_of(
    span: ChartSpan,
    accepted_at: Iterable[float],
    attempts: Iterable[journal.AttemptEntry],
    received_at: Callable[[Sequence[str]], Awaitable[Mapping[str, float | None]]],
) -> tuple[Bucket, ...]:
    """Return the buckets. Rejected requests are not in such a journal, so none are counted.

    `received_at` returns when events were received, by id, as far as they are known: received_unless_replayed.
    """
    accepted = Counter(span.number_of(each) for each in accepted_at)
    newest_first = sorted(attempts, key=lambda each: each.ended_at, reverse=True)
    # A route that waits for a system that a step asks has attempts too, although no delivery failed.
    tried = [each for each in newest_first if each.ended_at >= span.since and each.destination != delivery.ROUTE_ITSELF]
    good = Counter(span.number_of(each.ended_at) for each in tried if each.outcome == "delivered")
    bad = Counter(span.number_of(each.ended_at) for each in tried if each.outcome != "delivered")
    # A replay begins again with attempt 1, so the number does not show which attempt was the first of its delivery.
    # The oldest of a delivery's attempts comes last, and so replaces the others.
    first_by_delivery = {each.delivery_id: each for each in newest_first if each.attempt_number > 0}
    firsts = [each for each in first_by_delivery.values() if each.attempt_number == 1 and each.ended_at >= span.since]
    good_first = [each for each in firsts if each.outcome == "delivered"][:MAX_LATENCIES]
    received = await received_at(list({each.event_id for each in good_first})) if good_first else {}
    latencies = [(each.ended_at, received.get(each.event_id)) for each in good_first]
    return make_buckets(
        span,
        [(number, total, 0) for number, total in accepted.items()],
        [(number, good[number], bad[number]) for number in good | bad],
        [(span.number_of(ended), ended - at) for ended, at in latencies if at is not None],
    )
