"""The rules of grants: what each request makes of a bucket. Every store decides by these and only keeps the result.

A bucket has slots, which are moments an interval apart, or places, which are leased. Slots can be leased as well: a
bucket is queued while some are reserved ahead, and then none is leased; what is reserved leaves room for the leases.
"""

import json
from collections.abc import Callable, Sequence
from math import ceil
from typing import Final, NamedTuple, TypeAlias, TypeVar

from shared.jsontext import Json, to_json
from shared.store_ports import Kept, Lease, Records, Slots

SKEW_SECONDS: Final = 60.0
"""What is from the future by more than this was written before the clock was set back."""
QUEUED_SECONDS: Final = 1.0
"""A bucket with slots reserved further ahead is queued."""
KEEP_SECONDS: Final = 3_600.0
"""A bucket is forgotten so long after its last slot and its last lease: from then on it is as a new one."""

Answer = TypeVar("Answer")


class Holding(NamedTuple):
    """A holder's places until a time, and how many it wanted."""

    holder: str
    places: int
    wanted: int
    until: float


class Bucket(NamedTuple):
    """`next_at` is the time from which on slots are free; `written_at` that of the last change."""

    next_at: float = 0.0
    holdings: tuple[Holding, ...] = ()
    written_at: float = 0.0

    @property
    def ends_at(self) -> float:
        """Return the time from which on the bucket may be forgotten."""
        return KEEP_SECONDS + max([self.next_at, *(each.until for each in self.holdings)])


Decide: TypeAlias = Callable[[Bucket], tuple[Answer, Bucket]]
"""From the bucket as it is to an answer and the bucket as it then is: the same object where nothing changes."""


def reserve(
    bucket: Bucket, count: int, interval: float, now: float, ahead: float, limit: int = 0
) -> tuple[Slots, Bucket]:
    """Reserve slots, unless the first is more than `ahead` seconds away.

    While slots are leased, those that are not are further apart; the request ends where the next lease does.
    """
    first = max(now, bucket.next_at)
    if first > now + ahead:
        return (first, interval, 0), bucket
    leases = [each for each in bucket.holdings if each.places and now < each.until <= now + 2 * SKEW_SECONDS]
    for lease in sorted(leases if limit else (), key=lambda each: each.until):
        leased = sum(each.places for each in leases if each.until > first)
        if first >= lease.until:
            continue
        if leased < limit:
            interval *= limit / (limit - leased)
            count = min(count, ceil((lease.until - first) / interval))
            break
        first = lease.until  # all are leased until then
    return (first, interval, count), bucket._replace(next_at=first + count * interval)


def lease(
    bucket: Bucket, holder: str, wanted: int, limit: int, now: float, seconds: float, used: int
) -> tuple[Lease, Bucket]:
    """Lease places. While other holders lack some, no holder gets more than its fair share, or less than it uses."""
    if bucket.next_at > now + QUEUED_SECONDS:
        return Lease(0, is_queued=True), bucket
    latest = now + seconds + SKEW_SECONDS
    others = [each for each in bucket.holdings if each.holder != holder and now < each.until <= latest]
    free = limit - sum(each.places for each in others)
    is_contended = any(each.places < each.wanted for each in others)
    fair = _fair_share(wanted, [each.wanted for each in others], limit)
    places = max(0, min(max(fair, used) if is_contended else wanted, free))
    holdings = [*others, Holding(holder, places, wanted, now + seconds)] if wanted else others
    return Lease(places, is_contended), bucket._replace(holdings=tuple(holdings))


def _fair_share(wanted: int, others: Sequence[int], limit: int) -> int:
    """Return what a holder gets if small wishes are met whole and the large ones share the rest equally."""
    left = limit
    wishes = sorted([wanted, *others])
    for number, wish in enumerate(wishes):
        share = -(-left // (len(wishes) - number))  # rounded up: what is free bounds it
        if wish >= wanted or wish > share:
            return min(wanted, share)
        left -= wish
    return 0


def by_clock(bucket: Bucket, now: float) -> Bucket:
    """Return the bucket by the clock as it is now. If the clock was set back, the queue is as long as it was."""
    ahead_seconds = bucket.written_at - now
    return bucket if ahead_seconds <= SKEW_SECONDS else bucket._replace(next_at=bucket.next_at - ahead_seconds)


class RecordedGrants:
    """The Grants port over records: one a bucket, of its name."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def reserve(self, bucket: str, most: int, interval: float, now: float, ahead: float, limit: int = 0) -> Slots:
        return await self._change(bucket, now, lambda found: reserve(found, most, interval, now, ahead, limit))

    async def lease(
        self, bucket: str, holder: str, wanted: int, limit: int, now: float, seconds: float, used: int = 0
    ) -> Lease:
        return await self._change(bucket, now, lambda found: lease(found, holder, wanted, limit, now, seconds, used))

    async def _change(self, name: str, now: float, decide: Decide[Answer]) -> Answer:
        def decide_text(text: str | None) -> tuple[Answer, Kept | None]:
            before = bucket_from(text)
            answer, after = decide(by_clock(before, now))
            return answer, None if after is before else Kept(bucket_text(after, now), after.ends_at)

        return await self._records.change(name, now, decide_text)


_WRITTEN: Final = ""
"""The holder of the last entry, whose time is that of the change. Earlier versions read it as an ended lease."""


def bucket_text(bucket: Bucket, now: float) -> str:
    holdings: list[Json] = [[*each] for each in (*bucket.holdings, Holding(_WRITTEN, 0, 0, now))]
    return to_json([bucket.next_at, *holdings])


def bucket_from(text: str | None) -> Bucket:
    """Return the bucket that `bucket_text` wrote; a new one for None."""
    if text is None:
        return Bucket()
    next_at, *entries = json.loads(text)
    holdings = [Holding(*each) for each in entries]
    written_at = max((each.until for each in holdings if each.holder == _WRITTEN), default=0.0)
    return Bucket(next_at, tuple(each for each in holdings if each.holder != _WRITTEN), written_at)
