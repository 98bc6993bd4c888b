"""The rules of grants: how each request changes a bucket. They apply in every store, which only keeps the result.

A bucket has slots, or it has places. Slots are times that are an interval apart: a request reserves the next ones.
Places are leased to a holder for a while. Slots can be leased, too: a holder may then use that many of them in each
period. While slots are reserved ahead, the bucket is queued, and no slots are leased. Reserved slots are further apart
while others are leased, so that both together keep the rate.
"""

import json
from collections.abc import Callable, Sequence
from math import ceil
from typing import Final, NamedTuple, TypeAlias, TypeVar

from shared.jsontext import Json, to_json
from shared.store_ports import Kept, Lease, Records, Slots

SKEW_SECONDS: Final = 60.0
"""The clocks of two instances may differ by this. A time that is further in the future was written before the clock was
set back."""
QUEUED_SECONDS: Final = 1.0
"""A bucket is queued if slots are reserved for more than this time ahead."""
KEEP_SECONDS: Final = 3_600.0
"""The time for which a bucket is kept after its last slot and lease. Without them, it is the same as a new bucket."""

Answer = TypeVar("Answer")


class Holding(NamedTuple):
    """The places that a holder has until a time, and the number that it wanted."""

    holder: str
    places: int
    wanted: int
    until: float


class Bucket(NamedTuple):
    """The state of a bucket.

    next_at     the time from which on slots are free
    holdings    the leases of places, or of slots
    written_at  the time of the last change
    """

    next_at: float = 0.0
    holdings: tuple[Holding, ...] = ()
    written_at: float = 0.0

    @property
    def ends_at(self) -> float:
        """Return the time from which on the bucket may be forgotten."""
        return KEEP_SECONDS + max([self.next_at, *(each.until for each in self.holdings)])


Decide: TypeAlias = Callable[[Bucket], tuple[Answer, Bucket]]
"""Takes a bucket. Returns the answer and the changed bucket, which is the same object if nothing changes."""


def reserve(
    bucket: Bucket, count: int, interval: float, now: float, ahead: float, limit: int = 0
) -> tuple[Slots, Bucket]:
    """Reserve up to `count` slots, or none if the first one is more than `ahead` seconds away.

    `limit` is the number of slots that can be leased, or 0 if the bucket's leases are of places. While some slots are
    leased, the others are further apart. Only slots up to the end of the next lease are reserved, because the distance
    changes there.
    """
    first = max(now, bucket.next_at)
    if first > now + ahead:
        return (first, interval, 0), bucket
    leases = _leases_of_slots(bucket, now) if limit else []
    for end in sorted(lease.until for lease in leases):
        leased = sum(lease.places for lease in leases if lease.until > first)
        if leased >= limit:
            first = max(first, end)  # all are leased until then
        elif end > first:
            # The slots that are left keep the rate together with the leased ones.
            wider_interval = interval * (limit / (limit - leased))
            count_until_end = ceil((end - first) / wider_interval)
            if count < count_until_end:
                return _reserved(bucket, first, wider_interval, count)
            last = first + (count_until_end - 1) * wider_interval
            # The next slot is free when the lease ends. A wider interval could end many seconds later.
            next_at = max(end, last + interval)
            return (first, wider_interval, count_until_end), bucket._replace(next_at=next_at)
    return _reserved(bucket, first, interval, count)


def _leases_of_slots(bucket: Bucket, now: float) -> list[Holding]:
    """Return the leases that have not ended.

    A lease of slots is for a short time. One that ends later than this was written before the clock was set back, and
    is left out.
    """
    return [each for each in bucket.holdings if each.places and now < each.until <= now + 2 * SKEW_SECONDS]


def _reserved(bucket: Bucket, first: float, interval: float, count: int) -> tuple[Slots, Bucket]:
    return (first, interval, count), bucket._replace(next_at=first + count * interval)


def lease(
    bucket: Bucket, holder: str, wanted: int, limit: int, now: float, seconds: float, used: int
) -> tuple[Lease, Bucket]:
    """Lease up to `wanted` places, for `seconds`, in place of those that the holder has. The bucket has `limit` places.

    While another holder has fewer places than it wants, a holder gets at most its fair share, or the `used` places that
    it is using if these are more. It never gets more places than are free.
    """
    if bucket.next_at > now + QUEUED_SECONDS:
        return Lease(0, is_queued=True), bucket
    latest = now + seconds + SKEW_SECONDS
    others = [holding for holding in bucket.holdings if holding.holder != holder and now < holding.until <= latest]
    free = limit - sum(holding.places for holding in others)
    is_contended = any(holding.places < holding.wanted for holding in others)
    allowed = wanted
    if is_contended:
        fair = _fair_share(wanted, [holding.wanted for holding in others], limit)
        allowed = max(fair, used)
    places = max(0, min(allowed, free))
    holdings = [*others, Holding(holder, places, wanted, now + seconds)] if wanted else others
    return Lease(places, is_contended), bucket._replace(holdings=tuple(holdings))


def _fair_share(wanted: int, others: Sequence[int], limit: int) -> int:
    """Return the holder's share of the places. `others` are the numbers of places that the other holders want.

    A holder that wants little gets all of it. The holders that want more share the rest equally.
    """
    places_left = limit
    requests = sorted([wanted, *others])
    for number, request in enumerate(requests):
        # Rounded up: `lease` gives no more places than are free.
        share = ceil(places_left / (len(requests) - number))
        if request >= wanted or request > share:
            return min(wanted, share)
        places_left -= request
    return 0  # never reached: `wanted` is one of the requests


def by_clock(bucket: Bucket, now: float) -> Bucket:
    """Return the bucket for the present clock: if the clock was set back, the reserved slots move back by as much.

    Otherwise, they would stay in what is now a distant future, and no new slot would be free until then. A lease is
    not moved: `reserve` and `lease` ignore one that ends too late.
    """
    ahead_seconds = bucket.written_at - now
    return bucket if ahead_seconds <= SKEW_SECONDS else bucket._replace(next_at=bucket.next_at - ahead_seconds)


class RecordedGrants:
    """The Grants port over records. Each bucket is a record with the bucket's name. Raises what the records raise."""

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
"""The holder of an additional entry, whose time is `written_at`. Versions without `written_at` take it for a lease that
has ended."""


def bucket_text(bucket: Bucket, now: float) -> str:
    """Return the bucket as JSON, with `now` as the time of the change."""
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
