"""Documents by time, in shards, which a reader asks all and merges.

An index of values that only grow takes few writes a second (500 on Firestore, 1,000 on DynamoDB), so a time that is
asked for stands behind a shard.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain
from typing import Final, TypeVar
from zlib import crc32

SHARDS: Final = 8

Item = TypeVar("Item")


def shard_of(identity: str) -> int:
    return crc32(identity.encode()) % SHARDS


async def merge_shards(
    read: Callable[[int, int], Awaitable[list[Item]]],
    moment_of: Callable[[Item], float],
    limit: int,
    *,
    descending: bool = False,
) -> list[Item]:
    """Return the first `limit` items of all shards, in their order. Fewer than `limit` are all that there are.

    `read` returns the first items of a shard, as many as it is asked for.
    """
    # Read more than its share from each shard, so that usually one turn is enough.
    at_once = min(limit, 2 * (limit // SHARDS + 1))
    while True:
        results = await asyncio.gather(*(read(shard, at_once) for shard in range(SHARDS)), return_exceptions=True)
        answers: list[list[Item]] = []
        for result in results:  # all have ended: where one fails, none is left behind
            if isinstance(result, BaseException):
                raise result
            answers.append(result)
        found = sorted(chain.from_iterable(answers), key=moment_of, reverse=descending)
        # What lies beyond the last item of a shard that has more is not complete.
        ends = [moment_of(answer[-1]) for answer in answers if len(answer) == at_once]
        if ends:
            end = max(ends) if descending else min(ends)
            found = [each for each in found if (moment_of(each) >= end if descending else moment_of(each) <= end)]
        if not ends or len(found) >= limit:
            return found[:limit]
        at_once *= 2
