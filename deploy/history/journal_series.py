"""Counts and latencies over the last while, for small plots."""

from dataclasses import dataclass


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
