"""The plots over a cloud's journal: what was accepted and attempted, in buckets at fixed times."""

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from deploy.history.journal_view import Bucket, make_buckets
from shared.journal import AttemptEntry

MAX_POINTS: Final = 2_000
MAX_LATENCIES: Final = 100


class Span(NamedTuple):
    since: float
    width: float
    buckets: int

    def number_of(self, seconds: float) -> int:
        return int((seconds - self.since) / self.width)


def span_of(now: float, span_seconds: float, count: int) -> Span:
    width = span_seconds / count
    return Span((math.floor(now / width) + 1 - count) * width, width, count)


def time_of(seq: int) -> float:
    """Return the time in a `seq`, in Unix seconds."""
    return (seq >> 12) / 1000


async def series_of(
    span: Span,
    accepted_at: Iterable[float],
    attempts: Iterable[AttemptEntry],
    received_at: Callable[[Sequence[str]], Awaitable[Mapping[str, float]]],
) -> tuple[Bucket, ...]:
    """Return the buckets. Rejected requests are not in such a journal, so none are counted.

    `received_at` returns when events were received, by id, as far as they are known.
    """
    accepted = Counter(span.number_of(each) for each in accepted_at)
    tried = sorted(
        (each for each in attempts if each.ended_at >= span.since), key=lambda each: each.ended_at, reverse=True
    )
    good = Counter(span.number_of(each.ended_at) for each in tried if each.outcome == "delivered")
    bad = Counter(span.number_of(each.ended_at) for each in tried if each.outcome != "delivered")
    first = [each for each in tried if each.outcome == "delivered" and each.attempt_number == 1][:MAX_LATENCIES]
    received = await received_at(list({each.event_id for each in first})) if first else {}
    latencies = [(each.ended_at, received.get(each.event_id)) for each in first]
    return make_buckets(
        *span,
        [(number, total, 0) for number, total in accepted.items()],
        [(number, good[number], bad[number]) for number in good | bad],
        [(span.number_of(ended), ended - at) for ended, at in latencies if at is not None],
    )
