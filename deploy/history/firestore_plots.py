"""The small plots over the journal on Firestore, from the newest events and attempts of the span, up to a bound."""

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

from deploy.history.firestore_queries import attempts_since, events_since
from deploy.history.journal_series import Bucket, make_buckets
from shared.cloud.gcp.collections import EVENTS
from shared.cloud.gcp.firestore import Firestore
from shared.cloud.gcp.firestore_values import document_id
from shared.cloud.gcp.journal_documents import attempt_of, entry_of
from shared.journal import AttemptEntry

MAX_POINTS: Final = 2_000
MAX_LATENCIES: Final = 100


async def read_series(store: Firestore, now: float, span_seconds: float, count: int) -> tuple[Bucket, ...]:
    """Their edges stand still as time goes on. Refusals are not in this journal, so none are counted."""
    width = span_seconds / count
    since = (math.floor(now / width) + 1 - count) * width
    events, attempts = await asyncio.gather(
        store.query(events_since(since, MAX_POINTS)), store.query(attempts_since(since, MAX_POINTS))
    )

    def number_of(seconds: float) -> int:
        return int((seconds - since) / width)

    accepted = Counter(number_of((int(str(each.fields["seq"])) >> 12) / 1000) for each in events)
    tried = [attempt_of(each.fields) for each in attempts]
    good = Counter(number_of(each.ended_at) for each in tried if each.outcome == "delivered")
    bad = Counter(number_of(each.ended_at) for each in tried if each.outcome != "delivered")
    return make_buckets(
        since,
        width,
        count,
        [(number, total, 0) for number, total in accepted.items()],
        [(number, good[number], bad[number]) for number in good | bad],
        [(number_of(ended), took) for ended, took in await _latencies(store, tried)],
    )


async def _latencies(store: Firestore, tried: Sequence[AttemptEntry]) -> list[tuple[float, float]]:
    """When each of the newest first attempts that delivered ended, and how long after its event was received."""
    first = [each for each in tried if each.outcome == "delivered" and each.attempt_number == 1][:MAX_LATENCIES]
    if not first:
        return []
    names = list({document_id(each.event_id) for each in first})
    found = await store.get(EVENTS, names, ("entry",))
    received = {name: float(str(entry_of(fields)["received_at"])) for name, fields in found.items()}
    known = [(each, received.get(document_id(each.event_id))) for each in first]
    return [(each.ended_at, each.ended_at - at) for each, at in known if at is not None]
