"""Counts and latencies over the last while, for small plots."""

from dataclasses import dataclass
from typing import Final

# `?1` is where the window begins, `?2` a bucket's seconds. The newest 4,000 deliveries say how long one takes.
REQUESTS_SQL: Final = """
SELECT CAST((at - ?1) / ?2 AS INTEGER), total(status < 400), total(status >= 400) FROM requests
WHERE at >= ?1 GROUP BY 1
"""
ATTEMPTS_SQL: Final = """
SELECT CAST((ended_at - ?1) / ?2 AS INTEGER), total(outcome = 'delivered'), total(outcome <> 'delivered') FROM attempts
WHERE ended_at >= ?1 AND attempt_number > 0 GROUP BY 1
"""
LATENCIES_SQL: Final = """
SELECT CAST((ended_at - ?1) / ?2 AS INTEGER), ended_at - received_at
FROM (SELECT event_id, ended_at FROM attempts WHERE ended_at >= ?1 AND outcome = 'delivered' AND attempt_number = 1
    ORDER BY ended_at DESC LIMIT 4000) JOIN events ON events.id = event_id
"""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Latency is from receive's answer to the destination's, first attempts only; None where none was delivered."""

    at: float
    accepted: int = 0
    refused: int = 0
    delivered: int = 0
    not_delivered: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None


def make_buckets(
    since: float,
    bucket_seconds: float,
    count: int,
    requests: list[tuple[int, float, float]],
    attempts: list[tuple[int, float, float]],
    latencies: list[tuple[int, float]],
) -> tuple[Bucket, ...]:
    taken = {number: (int(good), int(bad)) for number, good, bad in requests}
    tried = {number: (int(good), int(bad)) for number, good, bad in attempts}
    seconds: dict[int, list[float]] = {}
    for number, latency in latencies:
        seconds.setdefault(number, []).append(latency)
    return tuple(
        Bucket(
            since + number * bucket_seconds,
            *taken.get(number, (0, 0)),
            *tried.get(number, (0, 0)),
            percentile_ms(seconds.get(number, []), 0.5),
            percentile_ms(seconds.get(number, []), 0.95),
        )
        for number in range(count)
    )


def percentile_ms(seconds: list[float], share: float) -> float | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    return round(max(0.0, ordered[min(len(ordered) - 1, int(len(ordered) * share))]) * 1000, 1)
